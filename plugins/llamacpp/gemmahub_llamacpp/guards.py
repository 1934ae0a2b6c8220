"""What is looked at before a shared library of llama.cpp is trusted: it may be another build than
the one that llama-cpp-python was made for (``LLAMA_CPP_LIB_PATH``)."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any, Final

from gemmahub.errors import BackendMissing
from gemmahub.python_environment import install_command
from gemmahub.text import one_line

OTHER_FOLDER: Final = "LLAMA_CPP_LIB_PATH"
"""Where llama-cpp-python looks for the libraries instead, if set."""

# ``llama_model_default_params`` (``src/llama-model.cpp``) and ``llama_context_default_params``
# (``src/llama-context.cpp``) of ggml-org/llama.cpp@0c1e57098. A build whose structures have a field
# more or less gives these to other names, and would take ours in the wrong places without a word.
_MODEL: Final = {
    "split_mode": 1,
    "main_gpu": 0,
    "vocab_only": False,
    "check_tensors": False,
    "use_extra_bufts": True,
    "no_alloc": False,
}
_CONTEXT: Final = {
    "n_batch": 2048,
    "n_ubatch": 512,
    "n_seq_max": 1,
    "n_threads": 4,
    "n_threads_batch": 4,
    "pooling_type": -1,
    "yarn_ext_factor": -1.0,
    "yarn_orig_ctx": 0,
    "type_k": 1,
    "type_v": 1,
    "embeddings": False,
    "offload_kqv": True,
    "no_perf": True,
    "op_offload": True,
    "swa_full": True,
    "kv_unified": False,
}


def check_structures(llama_cpp: Any, checked: str) -> None:
    """Raises: BackendMissing for a library whose structures are not those of llama-cpp-python.

    ``checked`` is the version of llama-cpp-python whose structures are known here.
    """
    shared = llama_cpp.llama_cpp._lib
    for params, known in (
        (llama_cpp.llama_model_default_params(), _MODEL),
        (llama_cpp.llama_context_default_params(), _CONTEXT),
    ):
        for name, value in known.items():
            if (found := getattr(params, name, value)) != value:
                raise BackendMissing(
                    f"{_named(shared)} has other structures than llama-cpp-python: its {name} "
                    f"is {found}, not {value}",
                    f"unset {OTHER_FOLDER}"
                    if os.environ.get(OTHER_FOLDER)
                    else f"`{install_command(f'llama-cpp-python=={checked}')}`",
                )


def load_backends(shared: Any) -> None:
    """Load the libraries of the devices where the build keeps them apart and has loaded none.

    As ``ggml_backend_load_all()``, which also looks into the current folder: what a stranger left
    there is not loaded.
    """
    if not shared.ggml_backend_dev_count():
        folder = str(Path(shared._name).absolute().parent)
        shared.ggml_backend_load_all_from_path(folder.encode())


def _named(shared: Any) -> str:
    """As ``the llama.cpp 86a2835 in /folder``."""
    commit = ""
    if hasattr(shared, "ggml_commit"):
        shared.ggml_commit.restype = ctypes.c_char_p
        commit = one_line((shared.ggml_commit() or b"").decode(errors="replace"), 40)
    where = one_line(str(Path(shared._name).parent))
    return f"the llama.cpp {commit} in {where}".replace("  ", " ")

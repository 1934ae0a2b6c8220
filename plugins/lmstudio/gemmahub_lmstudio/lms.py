"""Loading with a part of the layers on the GPU: LM Studio's program ``lms`` alone can say so.

The REST interface has no field for it (https://lmstudio.ai/docs/developer/rest/load, whose body
takes no other keys). ``lms load`` takes ``--gpu`` with a share from 0 to 1, ``off`` or ``max``,
``--context-length`` and ``--identifier`` (lmstudio-ai/lms@0499fc14 ``src/subcommands/load.ts``,
https://lmstudio.ai/docs/cli/load). With ``--yes`` it loads the first model that resembles the name:
what it loaded is looked at afterwards.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.errors import LoadFailed
from gemmahub.text import one_line
from gemmahub_lmstudio.store import lm_studio_home

if TYPE_CHECKING:
    from gemmahub.engines.contract import Artifact

_PROGRAM: Final = "lms"
_SAID: Final = 300


def find_lms() -> Path | None:
    """The program: on ``PATH``, else in LM Studio's own folder; None where it is not."""
    if found := shutil.which(_PROGRAM):
        return Path(found)
    place = (
        lm_studio_home(Path.home()) / "bin" / (f"{_PROGRAM}.exe" if os.name == "nt" else _PROGRAM)
    )
    return place if place.is_file() and os.access(place, os.X_OK) else None


def gpu_share(layers: int, artifact: Artifact | None) -> str:
    """``--gpu`` for so many layers on the GPU: a share of the model's own.

    Raises: LoadFailed where the model does not say how many it has.
    """
    if layers <= 0:
        return "off"
    count = None if artifact is None else _layers_of(artifact)
    if count is None:
        raise LoadFailed(
            "LM Studio needs a share of the layers, but this model does not state its number "
            "of layers",
            "leave out --gpu-layers: LM Studio then chooses; or give 0",
        )
    return "max" if layers >= count else f"{layers / count:.4f}"


def load(key: str, identifier: str, share: str, context: int, seconds: float) -> None:
    """Load a model under a name of its own.

    Raises: LoadFailed without the program, and with what it says.
    """
    program = find_lms()
    if program is None:
        raise LoadFailed(
            "putting some layers on the GPU needs LM Studio's program lms, which is not installed",
            "npx lmstudio install-cli; or leave out --gpu-layers: LM Studio then chooses",
        )
    options = ["--gpu", share, "--context-length", str(context), "--identifier", identifier]
    command = [str(program), "load", key, *options, "--yes"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise LoadFailed(
            f"lms load did not end within {seconds:.0f} s",
            "raise the option timeout to wait longer",
        ) from None
    except OSError as error:
        raise LoadFailed(f"{program} cannot be started: {error.strerror}", "reinstall it") from None
    if done.returncode:
        said = (done.stderr or done.stdout).decode("utf-8", "replace")
        reason = one_line(said, _SAID) or f"exit code {done.returncode}"
        raise LoadFailed(f"lms load refuses: {reason}", "lms ls shows what it has")


def _layers_of(artifact: Artifact) -> int | None:
    """The layers of a GGUF file, by its header."""
    from gemmahub.errors import GemmahubError
    from gemmahub.formats.detect import open_model

    try:
        metadata = open_model(artifact.files[0] if artifact.files else artifact.path).metadata
    except (GemmahubError, OSError):
        return None
    count = metadata.get(f"{metadata.get('general.architecture')}.block_count")
    return count if isinstance(count, int) and 0 < count < 10_000 else None

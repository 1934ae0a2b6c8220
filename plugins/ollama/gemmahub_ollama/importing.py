"""A GGUF file from elsewhere, given to an Ollama server's store under a name of ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gemmahub.errors import LoadFailed
from gemmahub_ollama.upload import digest_of, readable

if TYPE_CHECKING:
    from gemmahub.engines.contract import Artifact
    from gemmahub_ollama.server import OllamaServer

_NAMESPACE: Final = "gemmahub"
_LONGEST: Final = 80


def model_name(artifact: Artifact) -> str:
    """The name that a file gets in Ollama's store: ``gemmahub/gemma-3-270m-q4_k_m:a5fd3b62230a``.

    The tag is the beginning of the file's sha256, so that another file gets another name.
    """
    stem = (artifact.files[0] if artifact.files else artifact.path).stem
    name = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:_LONGEST] or "model"
    return f"{_NAMESPACE}/{name}:{_sha256(artifact)[:12]}"


def import_model(server: OllamaServer, artifact: Artifact) -> str:
    """Give a file to the server, unless it is there already. Returns its name there.

    The server keeps a copy of its own. Raises: LoadFailed, BackendMissing.
    """
    if artifact.format != "gguf" or len(artifact.files) > 1:
        raise LoadFailed(
            "Ollama needs a model in one GGUF file",
            "join the parts (llama-gguf-split --merge), or run it with llama.cpp",
        )
    name = model_name(artifact)
    if server.has(name):
        return name
    path = artifact.files[0] if artifact.files else artifact.path
    files = {path.name: server.upload(path)}
    if artifact.projector is not None:
        files[artifact.projector.name] = server.upload(artifact.projector)
    server.create(name, files)
    return name


def _sha256(artifact: Artifact) -> str:
    if artifact.sha256:
        return artifact.sha256
    path = artifact.files[0] if artifact.files else artifact.path
    with readable(path):
        return digest_of(path).removeprefix("sha256:")

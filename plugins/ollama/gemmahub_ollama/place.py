"""Names of models in registries, and where they are.

Source: ollama/ollama ``types/model/name.go``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gemmahub.errors import UsageError
from gemmahub.text import one_line

MIRROR: Final = "GEMMAHUB_OLLAMA_REGISTRY"
"""The address that is asked in place of registry.ollama.ai: a mirror, or one's own registry."""

_HOST: Final = "registry.ollama.ai"
_NAMESPACE: Final = "library"


@dataclass(frozen=True, slots=True)
class TagAddress:
    """A model and tag in a registry. ``base`` is the registry's address."""

    base: str
    namespace: str
    model: str
    tag: str
    mirrored: bool = False

    @property
    def url(self) -> str:
        """Where its manifests and blobs are."""
        return f"{self.base}/v2/{self.namespace}/{self.model}"

    @property
    def host(self) -> str:
        """The registry's host and port."""
        return urlsplit(self.base).netloc.rpartition("@")[2]

    @property
    def name(self) -> str:
        """As Ollama shows it: ``gemma3:4b``, ``user/model:tag``, ``hf.co/user/repo:Q4_0``."""
        parts = [self.model]
        if self.host != _HOST and not self.mirrored:
            parts = [self.host, self.namespace, self.model]
        elif self.namespace != _NAMESPACE:
            parts = [self.namespace, self.model]
        return f"{'/'.join(parts)}:{self.tag}"

    @property
    def full_name(self) -> str:
        """As an Ollama server has to be told it: with the mirror's host, where there is one."""
        if not self.mirrored:
            return self.name
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def repository(self) -> str:
        """The Hugging Face repository that it is, empty for other registries."""
        hub = self.host in ("hf.co", "huggingface.co")
        return f"{self.namespace}/{self.model}" if hub else ""


def place_of(name: str) -> TagAddress:
    """The place of ``gemma3``, ``gemma3:4b``, ``user/model:tag``, ``host/user/model:tag``.

    Raises: UsageError for a name of more or other parts.
    """
    found = _parts(name)
    if found is None:
        raise UsageError(
            f"{one_line(name)} is not a name in an Ollama registry",
            "for example: ollama://gemma3:4b",
        )
    parts, tag = found
    if len(parts) == 3:
        return TagAddress(f"https://{parts[0]}", parts[1], parts[2], tag)
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    if mirror and urlsplit(mirror).scheme not in ("http", "https"):
        raise UsageError(f"{MIRROR} is not a web address", f"for example: {MIRROR}=https://{_HOST}")
    namespace = parts[0] if len(parts) == 2 else _NAMESPACE
    return TagAddress(mirror or f"https://{_HOST}", namespace, parts[-1], tag, bool(mirror))


def name_in_full(name: str) -> str | None:
    """A name with its tag, and without the namespace that Ollama leaves out; None if it is none."""
    found = _parts(name)
    if found is None:
        return None
    parts, tag = found
    if len(parts) == 2 and parts[0] == _NAMESPACE:
        parts = parts[1:]
    return f"{'/'.join(parts)}:{tag}"


def _parts(name: str) -> tuple[list[str], str] | None:
    path, separator, tag = name.rpartition(":")
    if not separator or "/" in tag:
        path, tag = name, "latest"
    parts = path.split("/")
    named = all(re.fullmatch(r"[\w.-]*\w[\w.-]*", part) for part in (*parts, tag))
    return (parts, tag) if len(parts) <= 3 and named else None

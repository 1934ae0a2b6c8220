"""Names of models on Kaggle: ``OWNER/MODEL/FRAMEWORK/VARIATION[/VERSION][/FILE]``.

Source: kagglehub 1.0 ``handle.py`` (``parse_model_handle``) and kagglesdk 0.1.38
``models/types/model_enums.py`` (``ModelFramework``). kagglehub names a file beside the handle; here
it is its end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from gemmahub.errors import UsageError
from gemmahub.text import one_line
from gemmahub_kaggle.file_names import problem_of

SCHEME: Final = "kaggle://"
EXAMPLE: Final = "for example: kaggle://google/gemma-3/flax/gemma3-4b-it-int4"
_SLUG: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_.-]{0,98}(?<!\.)")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}")
FRAMEWORKS: Final = (
    "tensorFlow1", "tensorFlow2", "tfLite", "tfJs", "pyTorch", "jax", "flax", "pax", "maxText",
    "gemmaCpp", "ggml", "gguf", "coral", "scikitLearn", "mxnet", "onnx", "keras", "transformers",
    "api", "other", "tensorRtLlm", "triton", "vllm",
)  # fmt: skip
"""As kagglehub spells them in its cache and in handles."""
_SPELLED: Final = {name.lower(): name for name in FRAMEWORKS}


@dataclass(frozen=True, slots=True)
class Handle:
    """A model on Kaggle, or what is below it; ``version`` 0 is the newest one, ``file`` a path."""

    owner: str
    model: str
    framework: str = ""
    variation: str = ""
    version: int = 0
    file: str = ""

    @property
    def model_name(self) -> str:
        """``google/gemma-3``: what has one page, and one licence."""
        return f"{self.owner}/{self.model}"

    @property
    def name(self) -> str:
        """All of it without the scheme, and without a file."""
        version = str(self.version) if self.version else ""
        parts = (self.owner, self.model, self.framework, self.variation, version)
        return "/".join(filter(None, parts))

    @property
    def repository(self) -> str:
        """The variation without its version."""
        return replace(self, version=0).name

    @property
    def reference(self) -> str:
        """As commands take it."""
        return SCHEME + "/".join(filter(None, (self.name, self.file)))


def handle_of(name: str) -> Handle:
    """What a name means, with or without the scheme.

    Raises: UsageError for what is no name of a model on Kaggle.
    """
    found = parsed(name)
    if found is None:
        raise UsageError(
            f"{one_line(name)} is not a model name on Kaggle: "
            "owner/model/framework/variation, perhaps with a version and a file",
            EXAMPLE,
        )
    return found


def parsed(name: str) -> Handle | None:
    """The same, None for what is no such name."""
    parts = name.removeprefix(SCHEME).split("/")
    if not len(parts) >= 2 or not all(_SLUG.fullmatch(part) for part in parts[:4]):
        return None
    owner, model, framework, variation = (*parts[:4], "", "")[:4]
    framework = spelled(framework)
    version, rest = 0, parts[4:]
    if rest and _VERSION.fullmatch(rest[0]):
        version, rest = int(rest[0]), rest[1:]
    file = "/".join(rest)
    if rest and (problem_of(file) or not file.isprintable() or " " in file):
        return None
    return Handle(owner, model, framework, variation, version, file)


def spelled(framework: str) -> str:
    """A framework as kagglehub spells it; one that is not known as it is."""
    return _SPELLED.get(framework.lower().replace("_", ""), framework)


def is_slug(text: str) -> bool:
    """Whether a text can be one part of a handle."""
    return _SLUG.fullmatch(text) is not None


def version_in(text: str) -> int | None:
    """The version that a text is, None where it is none."""
    return int(text) if _VERSION.fullmatch(text) else None

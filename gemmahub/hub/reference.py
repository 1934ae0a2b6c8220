"""The forms in which a model on Hugging Face is named. Pure: nobody is asked.

``user/repo``, ``user/repo:Q4_K_M``, ``hf://user/repo/file.gguf``, ``hf.co/user/repo:Q4_0``,
``https://huggingface.co/user/repo/blob/main/file.gguf``, each but the last with ``@revision``.
A label may stand in place of the revision, as some stores write it: ``user/repo@q4_k_m``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from gemmahub.precision.labels import label_in_name

PART: Final = r"[A-Za-z0-9][\w.-]*"
"""A name, of a user or a repository."""

HUB_SCHEME: Final = "hf"
"""What a reference may begin with, followed by ``://``."""

_SCHEME: Final = f"{HUB_SCHEME}://"
_WEB: Final = re.compile(r"^(?:https?://)?(?:www\.)?(?:hf\.co|huggingface\.co)/")
_WEB_PATH: Final = re.compile(
    r"^(?P<repo>[^/]+/[^/]+)/(?:blob|resolve)/(?P<rev>[^/]+)/(?P<file>.+)$"
)
_REPOSITORY: Final = re.compile(
    rf"(?P<repo>{PART}/{PART})(?:/(?P<file>[^:@]+))?(?::(?P<label>[\w.-]+))?(?:@(?P<rev>[\w./-]+))?"
)


@dataclass(frozen=True, slots=True)
class HuggingFaceReference:
    """A repository, with a file or a quantization label in it."""

    repository: str
    file: str | None = None
    label: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        where = f"{_SCHEME}{self.repository}"
        where += f"/{self.file}" if self.file else ""
        where += f":{self.label}" if self.label else ""
        return where + (f"@{self.revision}" if self.revision else "")


def names_the_hub(text: str) -> bool:
    """Whether a reference says itself that it is one of Hugging Face."""
    return text.startswith(_SCHEME) or _WEB.match(text) is not None


def hub_reference(text: str) -> HuggingFaceReference | None:
    """What a reference names on Hugging Face; None for a text of another form."""
    rest = text.removeprefix(_SCHEME)
    if _WEB.match(text):
        rest = _WEB.sub("", text).split("?")[0].rstrip("/")
        if web := _WEB_PATH.match(rest):
            return HuggingFaceReference(web["repo"], unquote(web["file"]), revision=web["rev"])
    match = _REPOSITORY.fullmatch(rest)
    if match is None:
        return None
    repository, file, label, revision = match.group("repo", "file", "label", "rev")
    if revision and not file and not label and label_in_name(revision):  # no branch is called so
        label, revision = revision, None
    return HuggingFaceReference(repository, file, label, revision)

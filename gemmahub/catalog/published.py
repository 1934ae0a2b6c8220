"""Tags of other sources, such as Ollama's registry: what they held, and what they hold now."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from gemmahub.catalog.replaced import Outdated, day_of
from gemmahub.catalog.table import Entry, Grade, Positive, Sha256, ShortDigest, Training


class ReplacedTag(Entry, frozen=True, kw_only=True):
    """What a tag held before its publisher moved it; it was seen there on the day ``date``.

    ``digest`` is the beginning of the sha256 of its manifest, ``wrong`` says what the tag has now.
    """

    date: str
    digest: ShortDigest
    wrong: str
    aborts: str | None = None
    grade: Grade
    source: str

    def __post_init__(self) -> None:
        super().__post_init__()
        day_of(self.date)


class PublishedTag(Entry, frozen=True, kw_only=True):
    """What a tag of another source held on the day ``as_of``; tags can be moved by their publisher.

    ``scheme`` is that of its references, ``place`` what people call the source. ``size`` is as the
    source prints it (weights and projector together, decimal units). ``digest`` is the ID that its
    tools print, ``manifest_sha256`` the whole of it; ``digest_verified`` means that what several
    people saw printed agrees on it. ``inside`` is what lies beside the weights, in words.
    ``replaced`` is what the tag had before.
    """

    scheme: str
    place: str
    tag: str
    resolves_to: str
    model: str
    format: Literal["gguf", "mlx"] = "gguf"
    label: str
    training: Training
    size: str
    context_length: Positive = field(name="context")
    digest: ShortDigest | None = None
    manifest_sha256: Sha256 | None = None
    digest_verified: bool = field(name="verified", default=False)
    inside: str | None = None
    note: str | None = None
    replaced: tuple[ReplacedTag, ...] = ()
    as_of: str
    grade: Grade
    source: str

    @property
    def reference(self) -> str:
        """``ollama://gemma3:4b``."""
        return f"{self.scheme}://{self.tag}"

    def is_now(self, manifest_sha256: str) -> bool:
        """Whether a manifest is the one that the tag has, as far as it is known."""
        return bool(self.digest) and manifest_sha256.startswith(self.digest or "")

    def outdated(self, manifest_sha256: str) -> Outdated | None:
        """What is to be said of a manifest that the tag had before, None for any other."""
        for old in self.replaced:
            if manifest_sha256.startswith(old.digest):
                confirmed = old.grade != "C"
                return Outdated(old.date, old.wrong, old.aborts or "", self.reference, confirmed)
        return None

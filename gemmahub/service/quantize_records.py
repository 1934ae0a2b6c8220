"""What is asked of quantizing a model, and what it would make."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.choice import BackendChoice
    from gemmahub.engines.contract import Artifact
    from gemmahub.planning.fit import Fit
    from gemmahub.planning.quantized import QuantizedFile
    from gemmahub.recommend.quality import Quality
    from gemmahub.registry.variants import Variant


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """``to`` is a label, "" where all but the exceptions stays as it is; ``keep`` are exceptions as
    ``ROLE=TYPE``. ``importance`` is an importance matrix, ``text`` the name of a text, or its
    file, of which one is made.
    Without ``lattice`` weights of a QAT checkpoint are rounded as others; with ``compare`` both
    roundings are tried, whatever is known of the training.
    """

    to: str = ""
    embedding: str = ""
    keep: tuple[str, ...] = ()
    importance: Path | None = None
    text: str = ""
    output: Path | None = None
    backend: str | None = None
    lattice: bool = True
    compare: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class QuantizePlan:
    """What would be made, and from what; nothing is written yet.

    ``made`` describes the file as it will be, ``quality`` what is known of its loss. ``lattice``:
    the weights were trained for this type. ``importance`` is made of ``text`` where there is one.
    ``left_out`` says what of the model is not written. ``free_bytes`` is None where the system does
    not say.
    """

    source: Variant
    made: Variant
    file: QuantizedFile
    fit: Fit
    quality: Quality
    choice: BackendChoice
    artifact: Artifact
    label: str
    exceptions: dict[str, str]
    metadata: dict[str, str]
    target: Path
    importance: Path | None = None
    text: str = ""
    lattice: bool = False
    force: bool = False
    free_bytes: int | None = None
    left_out: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""
        return self.file.size_bytes

    def as_json(self) -> dict[str, Any]:
        """The object of ``gemmahub quantize --json``."""
        return {
            "source": self.source.reference,
            "source_precision": self.source.precision.as_json(),
            "source_bytes": self.source.size_bytes,
            "path": str(self.target),
            "label": self.made.precision.label,
            "precision": self.made.precision.as_json(),
            "size_bytes": self.size_bytes,
            "backend": self.choice.offer.backend.name,
            "importance": str(self.importance) if self.importance else None,
            "lattice": self.lattice,
            "fallbacks": [
                {
                    "role": each.role,
                    "tensors": each.count,
                    "wanted": each.wanted,
                    "type": each.type,
                    "columns": each.columns,
                }
                for each in self.file.fallbacks
            ],
            "fit": self.fit.as_json(),
            **self.quality.as_json(),
            "free_bytes": self.free_bytes,
            "metadata": self.metadata,
            "notes": list(self.notes),
        }

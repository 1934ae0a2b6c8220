"""How weights were trained for their precision: evidence for QAT, and its basis.

Quantization-aware training (QAT) cannot be seen in the tensors. It is claimed only with its basis,
the strongest first: a known sha256, what gemmahub wrote into the file when it quantized it, the
file's base-model metadata, the repository's name, the file's own name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.precision.labels import label_bits
from gemmahub.precision.provenance import AGAIN, SOURCE, TRAINING, said

if TYPE_CHECKING:
    from collections.abc import Mapping

QAT: Final = "QAT"
PTQ: Final = "PTQ"
NONE: Final = "none"
UNKNOWN: Final = "unknown"

# Google trained the Gemma QAT checkpoints for Q4_0: 4-bit integers in blocks of 32.
QAT_TYPES: Final = frozenset({"Q4_0", "MLX 4-bit g32", "INT4 g32"})

_QAT: Final = re.compile(r"(?<![A-Za-z])qat(?![A-Za-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Training:
    """``value`` is ``QAT``, ``PTQ``, ``none`` or ``unknown``; ``note`` is a warning or empty."""

    value: str
    basis: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a file besides its tensors.

    ``known`` is what the catalogue says of this very content (by sha256).
    """

    metadata: Mapping[str, Any]
    repository: str = ""
    file_name: str = ""
    known: Training | None = None


def judge_training(evidence: Evidence, main_type: str, bits: float) -> Training:
    """Training with its basis.

    ``main_type`` is the type of most weights outside the embeddings, ``bits`` its bits; it is
    ``unknown`` where the tensors are.
    """
    claim = evidence.known or _claim(evidence)
    if again := _again(evidence, bits):
        return Training(claim.value, claim.basis, again) if claim else Training(UNKNOWN, again)
    if claim is None:
        if bits >= 16:
            return Training(NONE, f"not quantized: the weights are stored as {main_type}")
        return Training(UNKNOWN, "no evidence in repository name, metadata or known hashes")
    if claim.value != QAT or main_type in (*QAT_TYPES, UNKNOWN) or claim.note:
        return claim
    if bits >= 16:
        note = f"QAT weights before quantization ({main_type}): made to be quantized to Q4_0"
    else:
        note = f"QAT weights stored as {main_type}, trained for Q4_0: the benefit is not guaranteed"
    return Training(QAT, claim.basis, note)


def _again(evidence: Evidence, bits: float) -> str:
    """What is to be said of a file that was made here from one that was quantized already."""
    if not (before := said(evidence.metadata, AGAIN)):
        return ""
    what = "stored wider" if bits > (label_bits(before) or 16) else "quantized again"
    return f"{what}, from a file in {before}: the earlier loss stays, and more may be lost"


def _claim(evidence: Evidence) -> Training | None:
    if (claimed := said(evidence.metadata, TRAINING)) in (QAT, PTQ):
        made_from = said(evidence.metadata, SOURCE) or "an unnamed file"
        how = "which was trained so" if claimed == QAT else "after training"
        return Training(claimed, f"its metadata: made here from {made_from}, {how}")
    for key, value in evidence.metadata.items():
        if "base_model" in key and isinstance(value, str) and _QAT.search(value):
            return Training(QAT, f"base-model metadata: {key} = {value}")
    if _QAT.search(evidence.repository):
        return Training(QAT, f"repository name: {evidence.repository}")
    for what, name in (
        ("file name", evidence.file_name),
        ("general.name", str(evidence.metadata.get("general.name", ""))),
    ):
        if _QAT.search(name):
            return Training(QAT, f"{what}: {name} (a name alone is weak evidence)")
    if any(key.startswith("quantize.imatrix.") for key in evidence.metadata):
        return Training(PTQ, "metadata: quantized with an importance matrix (quantize.imatrix.*)")
    return None

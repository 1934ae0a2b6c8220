"""The precision report: label, number format, measured bits per weight, mix, training, mismatch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.precision.labels import label_bits, label_in_name, method_in_name
from gemmahub.precision.mix import (
    MixEntry,
    add_sizes,
    main_type,
    outside_embeddings,
    parameters_by_type,
    total_bytes,
    total_parameters,
    unknown_packing,
)
from gemmahub.precision.number_formats import number_format
from gemmahub.precision.promises import best_label, broken_promises
from gemmahub.precision.roles import EMBEDDING
from gemmahub.precision.training import QAT, UNKNOWN, Evidence, Training, judge_training
from gemmahub.text import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.precision.promises import WholeAndBody

# One number format stands for the whole when it holds more than this share of the weights.
_ONE_FORMAT: Final = 2 / 3
_INTEGERS: Final = re.compile(r"INT[2-8]")
# Tools that make these store the embedding in the same or a similar type; those for other layouts
# leave it as it was.
_LLAMACPP: Final = re.compile(r"(?:UD[-_])?(?:I?Q|TQ)\d_|\dbit$", re.IGNORECASE)
# A number format is named in the summary from this share of the weights on.
_NAMED_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class PrecisionReport:
    """Precision of one artifact. ``bits_per_weight`` is measured: tensor bytes × 8 / weights.

    It is None when the size of a tensor type is not known. ``stated``: a server says the label, or
    nothing; there are no tensors to measure.
    """

    label: str
    label_in_name: str | None
    number_format: str
    bits: int | None
    bits_per_weight: float | None
    training: Training
    summary: str
    mismatch: str | None
    mix: tuple[MixEntry, ...]
    stated: bool = False

    @property
    def short(self) -> str:
        """Label, number format and training, for columns: ``Q4_0 int4 QAT``."""
        if self.stated:
            return self.summary
        training = " QAT" if self.training.value == QAT else ""
        if not self.mix:
            return f"{self.label}{training} (not measured)"
        numbers = "" if unknown_packing(self.mix) else f" {self.number_format}"
        return f"{self.label}{numbers}{training}"

    def as_json(self) -> dict[str, Any]:
        """The contract's ``precision`` object; ``roles`` has an entry for each role and type."""
        return {
            "label": self.label,
            "label_in_name": self.label_in_name,
            "number_format": self.number_format,
            "bits": self.bits,
            "bits_per_weight": self.bits_per_weight,
            "training": self.training.value,
            "training_basis": self.training.basis,
            "training_note": self.training.note or None,
            "summary": self.summary,
            "stated": self.stated,
            "mismatch": self.mismatch,
            "types": _types_json(self.mix),
            "roles": [
                {
                    "role": entry.role,
                    "type": entry.type,
                    "tensors": entry.tensors,
                    "parameters": entry.parameters,
                    "bytes": entry.bytes,
                }
                for entry in self.mix
            ],
        }


def precision_report(
    mix: Sequence[MixEntry], metadata_label: str | None, evidence: Evidence
) -> PrecisionReport:
    """The report for a mix of tensors.

    ``metadata_label`` is what the file says of itself; without it the file's name, then the
    dominant type, give the label.
    """
    main = main_type(mix)
    named = label_in_name(evidence.file_name) or label_in_name(evidence.repository)
    both = _shares(mix), _shares(outside_embeddings(mix))
    label = best_label(_with_method(metadata_label, evidence), named, main, both)
    training = judge_training(evidence, main, number_format(main).bits)
    bits_per_weight = _bits_per_weight(mix)
    one_format = _one_format(mix)
    return PrecisionReport(
        label=label,
        label_in_name=named,
        number_format=one_format or "mixed",
        bits=label_bits(label),
        bits_per_weight=bits_per_weight,
        training=training,
        summary=_summary(label, one_format, mix, training, bits_per_weight),
        mismatch=_mismatch(label, named, both, mix),
        mix=tuple(mix),
    )


def stated_report(label: str, server: str) -> PrecisionReport:
    """The report of a model that a server offers: its label as it is stated, or not; no figure."""
    return PrecisionReport(
        label=label,
        label_in_name=None,
        number_format="unknown",
        bits=None,
        bits_per_weight=None,
        training=Training(UNKNOWN, f"{server} does not report it"),
        summary=f"stated: {label}" if label else "not stated",
        mismatch=None,
        mix=(),
        stated=True,
    )


def _types_json(mix: Sequence[MixEntry]) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for entry in mix:
        row = rows.setdefault(
            entry.type, {"type": entry.type, "tensors": 0, "parameters": 0, "bytes": 0}
        )
        row["tensors"] += entry.tensors
        row["parameters"] += entry.parameters
        row["bytes"] = add_sizes(row["bytes"], entry.bytes)
    return sorted(rows.values(), key=lambda row: (-row["parameters"], row["type"]))


def _shares(mix: Sequence[MixEntry]) -> dict[str, float]:
    """Share of the weights by type, the largest first."""
    total = total_parameters(mix) or 1
    return {type_: count / total for type_, count in parameters_by_type(mix).items()}


def _with_method(label: str | None, evidence: Evidence) -> str | None:
    """A label of integers alone with the method that the name tells: compressed-tensors stores the
    results of several."""
    if label is None or not _INTEGERS.fullmatch(label):
        return label
    method = method_in_name(evidence.file_name) or method_in_name(evidence.repository)
    return f"{label[-1]}-bit {method}" if method else label


def _bits_per_weight(mix: Sequence[MixEntry]) -> float | None:
    size, parameters = total_bytes(mix), total_parameters(mix)
    return (
        None
        if size is None or not parameters or unknown_packing(mix)
        else round(size * 8 / parameters, 2)
    )


def _format_shares(mix: Sequence[MixEntry]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for type_, share in _shares(mix).items():
        name = number_format(type_).name
        shares[name] = shares.get(name, 0.0) + share
    return shares


def _one_format(mix: Sequence[MixEntry]) -> str | None:
    if unknown_packing(mix):
        return UNKNOWN
    name, share = max(_format_shares(mix).items(), key=lambda item: item[1], default=("unknown", 1))
    return name if share > _ONE_FORMAT else None


def _summary(
    label: str,
    one_format: str | None,
    mix: Sequence[MixEntry],
    training: Training,
    bits_per_weight: float | None,
) -> str:
    trained = " QAT" if training.value == QAT else ""
    trained += " (stored in another type)" if trained and training.note else ""
    if not mix:
        return f"{label}{trained} · not measured"
    if unknown_packing(mix):
        return f"{label}{trained}"
    if one_format is None:
        bits = {number_format(e.type).name: number_format(e.type).bits for e in mix}
        named = [n for n, share in _format_shares(mix).items() if share >= _NAMED_SHARE]
        numbers = "mixed " + "/".join(sorted(named, key=lambda name: bits[name]))
    else:
        numbers = one_format
    wide = _wide_embedding(label, mix)
    numbers += trained + (f", {wide.type} embedding" if wide else "")
    measured = "unknown" if bits_per_weight is None else f"{bits_per_weight:.2f}"
    return f"{label} · {numbers} · {measured} bits/weight"


def _wide_embedding(label: str, mix: Sequence[MixEntry]) -> MixEntry | None:
    """The embedding kept in 16 bits or more, where the label promises 8 or fewer."""
    if (label_bits(label) or 16) > 8:
        return None
    wide = [e for e in mix if e.role == EMBEDDING and number_format(e.type).bits >= 16]
    return max(wide, key=lambda e: e.parameters, default=None)


def _mismatch(
    label: str, named: str | None, both: WholeAndBody, mix: Sequence[MixEntry]
) -> str | None:
    problems = broken_promises(label, named, both)
    wide = _wide_embedding(label, mix)
    if wide and _LLAMACPP.match(label) and not any("labelled" in each for each in problems):
        part = percent(wide.parameters / (total_parameters(mix) or 1))
        problems.append(
            f"labelled {label}, but the embedding ({part} of the weights) is {wide.type}"
        )
    return "; ".join(problems) or None

"""The precision report: label, number format, measured bits per weight, mix, training, mismatch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.precision.labels import label_bits, label_in_name, promised_types, same_label
from gemmahub.precision.mix import (
    MixEntry,
    add_sizes,
    parameters_by_type,
    total_bytes,
    total_parameters,
)
from gemmahub.precision.number_formats import number_format
from gemmahub.precision.roles import EMBEDDING, PER_LAYER_EMBEDDING
from gemmahub.precision.training import QAT, UNKNOWN, Evidence, Training, judge_training
from gemmahub.text import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

# One number format stands for the whole when it holds more than this share of the weights.
_ONE_FORMAT: Final = 2 / 3
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
        return f"{self.label} {self.number_format}{training}"

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
    shares = _shares(mix)
    main_type = _main_type(mix)
    named = label_in_name(evidence.file_name) or label_in_name(evidence.repository)
    label = metadata_label or named or main_type
    training = judge_training(evidence, main_type, number_format(main_type).bits)
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
        mismatch=_mismatch(label, named, shares, mix),
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
        training=Training(UNKNOWN, f"{server} does not say it"),
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


def _main_type(mix: Sequence[MixEntry]) -> str:
    """The type of most weights outside the embeddings: what the quantizer was asked for."""
    body = [e for e in mix if e.role not in (EMBEDDING, PER_LAYER_EMBEDDING)]
    counts = parameters_by_type(body or mix)
    return next(iter(counts), UNKNOWN)


def _bits_per_weight(mix: Sequence[MixEntry]) -> float | None:
    size, parameters = total_bytes(mix), total_parameters(mix)
    return None if size is None or not parameters else round(size * 8 / parameters, 2)


def _format_shares(mix: Sequence[MixEntry]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for type_, share in _shares(mix).items():
        name = number_format(type_).name
        shares[name] = shares.get(name, 0.0) + share
    return shares


def _one_format(mix: Sequence[MixEntry]) -> str | None:
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
    label: str, named: str | None, shares: dict[str, float], mix: Sequence[MixEntry]
) -> str | None:
    problems = []
    if named and not same_label(named, label):
        problems.append(f"named {named}, but its metadata says {label}")
    described = _described_types(label, shares)
    share = sum(shares.get(type_, 0.0) for type_ in described)
    dominant = next(iter(shares), None)
    if dominant is not None and share <= 0.5 and _judged(label, dominant):
        own = " and ".join(f"{percent(shares[t])} are {t}" for t in shares if t in described)
        own = own or f"none are {label}"
        problems.append(
            f"labelled {label}, but {percent(shares[dominant])} of the weights are {dominant} "
            f"and {own}"
        )
    elif wide := _wide_embedding(label, mix):
        part = percent(wide.parameters / (total_parameters(mix) or 1))
        problems.append(
            f"labelled {label}, but the embedding ({part} of the weights) is {wide.type}"
        )
    return "; ".join(problems) or None


def _described_types(label: str, shares: dict[str, float]) -> frozenset[str]:
    promised = promised_types(label)
    bits = label_bits(label)
    if label.lower().endswith("bit"):  # an MLX label names bits, not a type
        return frozenset(t for t in shares if number_format(t).bits == bits)
    return promised | {label}


def _judged(label: str, type_: str) -> bool:
    """Whether it is known that a label does not mean a type: not of a plugin's for its own type."""
    return number_format(type_).bits > 0 or label_in_name(label) is not None

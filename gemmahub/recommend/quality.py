"""What a model can do, in published points, and what its precision takes away.

Capability is the published MMLU-Pro score, which is of unquantized weights. The loss by precision
is a share of that score. Google gives no task scores for each quantization, so the shares below are
derived from the few figures there are; each says from which, and only their order is more than an
estimate. They are held against what others measured (``tests/catalog/published_figures.toml``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.precision.labels import label_bits
from gemmahub.precision.training import QAT, QAT_TYPES

if TYPE_CHECKING:
    from gemmahub.catalog.records import Model

BENCHMARK: Final = "MMLU-Pro"
"""The one score that all instruction-tuned Gemma models but the smallest have."""

GUESSING: Final = 10.0
"""What guessing scores there (ten choices), in percent: a model without a score counts as this."""


@dataclass(frozen=True, slots=True)
class Loss:
    """The share of a model's score that a precision costs, why, from which figures, the doubt;
    None where the precision is not known."""

    share: float | None
    reason: str
    basis: str = ""
    doubt: str = ""


# Gemma 4 E4B, QAT with 4-bit weights against BF16: 43.1 and 44.3 overall (one source, grade C, of
# Google's w4a16 checkpoint: huggingface.co/google/gemma-4-E4B-it/discussions/55).
_QAT_SHARE: Final = (44.3 - 43.1) / 44.3
# "We reduce the perplexity drop by 54% ... when quantizing down to Q4_0" (Google, Gemma 3 QAT,
# developers.googleblog.com; grade B): without QAT the drop is 1 / (1 - 0.54) times as large.
_PTQ_SHARE: Final = _QAT_SHARE / (1 - 0.54)
# Gemma 4 31B, mean KL divergence against BF16: Q8_0 0.16, UD-Q3_K_XL 0.87, Q3_K_L 0.97, Q4_K_M
# 0.76 (localbench.substack.com, one source, grade C). Taken in proportion to Q4_K_M.
_Q8_SHARE: Final = _PTQ_SHARE * 0.16 / 0.76
_Q3_SHARE: Final = _PTQ_SHARE * 0.97 / 0.76
# Gemma 3, Catalan CLAM, unsloth's files: 27B Q8 55.47, Q4 54.11, Q2 51.21; 12B 55.62, 53.98,
# 51.40; 4B Q4 41.35, Q2 34.02 (Softcatala pull request 19, one source, grade C). Against Q8, Q2 of
# the 27B loses 3.1 times what Q4 does; taken in proportion to that.
_Q2_SHARE: Final = _PTQ_SHARE * (55.47 - 51.21) / (55.47 - 54.11)

_ONE_SOURCE: Final = "the figure has one public source"
_BETWEEN: Final = "no figure for it: placed between Q8_0 and Q4_K_M"

_PTQ4: Final = Loss(
    _PTQ_SHARE,
    "4 bits, quantized after training",
    "Google gives QAT 54% less perplexity drop at Q4_0 (Gemma 3)",
    "Google publishes no task scores by quantization; in Catalan Q4 is 2.9% and 2.5% below Q8 "
    "(Gemma 3 12B, 27B; one source)",
)
_BY_BITS: Final[dict[int, Loss]] = {
    16: Loss(0.0, "not quantized"),
    8: Loss(
        _Q8_SHARE,
        "8 bits, quantized after training",
        "KL divergence of Q8_0 is 0.21 of Q4_K_M's (Gemma 4 31B)",
        _ONE_SOURCE,
    ),
    6: Loss(
        _Q8_SHARE + (_PTQ_SHARE - _Q8_SHARE) / 3, "6 bits, quantized after training", "", _BETWEEN
    ),
    5: Loss(
        _Q8_SHARE + (_PTQ_SHARE - _Q8_SHARE) * 2 / 3,
        "5 bits, quantized after training",
        "",
        _BETWEEN,
    ),
    4: _PTQ4,
    3: Loss(
        _Q3_SHARE,
        "3 bits, quantized after training",
        "KL divergence of Q3_K_L is 1.28 of Q4_K_M's (Gemma 4 31B)",
        _ONE_SOURCE,
    ),
    2: Loss(
        _Q2_SHARE,
        "2 bits, quantized after training",
        "in Catalan Q2 loses 3.1 times what Q4 does against Q8 (Gemma 3 27B)",
        _ONE_SOURCE + "; small models lose more: 18% below Q4 (Gemma 3 4B)",
    ),
}
_QAT4: Final = Loss(
    _QAT_SHARE,
    "trained for its 4 bits (QAT)",
    "43.1 against 44.3 points of the 16-bit weights (Gemma 4 E4B); "
    "perplexity 8.250 against 8.202 (Gemma 3 27B), 22.77 against 22.26 (Gemma 4 12B)",
    _ONE_SOURCE + ", measured on another QAT file of the model",
)
_QAT4_OTHERWISE: Final = Loss(
    (_QAT_SHARE + _PTQ_SHARE) / 2,
    "trained for 4 bits (QAT), but stored in another type than it was trained for",
    "",
    "the benefit of the training is not guaranteed",
)

_UNKNOWN: Final = Loss(None, "its precision is not measured")

# Gemma 3 270M, divergence from an f16 cache: q8_0 0.010 with 94 % the same most probable token,
# perplexity -0.3 %; q4_0 0.170, 80 %, +10.9 % (benchmarks/cache_quality.py). Of Gemma 4 E2B
# (QAT) it is said that q8_0 is almost free and q4_0 "catastrophic" (gemmaclaw pull request 314,
# grade C).
CACHE_SHARE: Final[dict[str, float]] = {"q8_0": 0.005, "q4_0": 0.10}
"""The share that a KV cache of that type costs; an ESTIMATE in the order of what was measured."""


@dataclass(frozen=True, slots=True)
class Quality:
    """A model's published score at 16 bits (None: there is none), and the loss of its precision."""

    score: float | None
    loss: Loss
    basis: str

    def as_text(self) -> str:
        """Score, loss, figures and doubt in one line."""
        share = self.loss.share
        lost = f"{self.loss.reason}: " + (
            "not known" if share is None else f"about {share:.1%} lost"
        )
        return "; ".join(filter(None, (self.basis, lost, self.loss.basis, self.loss.doubt)))

    def as_json(self) -> dict[str, Any]:
        """The keys of a quality in ``recommend`` and ``compare``."""
        return {
            "quality": self.score,
            "quality_loss": None if self.loss.share is None else round(self.loss.share, 4),
            "quality_basis": self.as_text(),
        }

    @property
    def lost(self) -> float:
        """The share of the score that the precision costs; an unknown one counts as a large one."""
        share = _BY_BITS[2].share if self.loss.share is None else self.loss.share
        return share or 0.0

    def points(self, cache_type: str) -> float:
        """What is left of the score with that cache."""
        score = GUESSING if self.score is None else self.score
        return score * (1 - self.lost) * (1 - CACHE_SHARE.get(cache_type, 0.0))


def loss_of(label: str, training: str) -> Loss:
    """The loss of a file with that label; not known where the label says nothing."""
    bits = min(16, label_bits(label) or 0)
    if not bits:
        return _UNKNOWN
    if training == QAT and bits == 4:
        return _QAT4 if label.upper() in QAT_TYPES else _QAT4_OTHERWISE
    return _BY_BITS.get(bits, _PTQ4)


def quality_of(
    model: Model | None,
    label: str,
    training: str,
    *,
    stated: bool = False,
    measured: Loss | None = None,
) -> Quality:
    """The quality of a variant; ``model`` is None for a file that the catalogue does not know.
    What was ``measured`` here goes before what is published. What a server only states of its
    precision is no basis for a loss."""
    loss = measured or (_UNKNOWN if stated else loss_of(label, training))
    score = model.score(BENCHMARK) if model is not None else None
    if score is None:
        what = "in the catalogue: no score is known" if model is None else f"{BENCHMARK}"
        basis = f"not {what}" if model is None else f"no {what} score is published"
        return Quality(None, loss, basis)
    # The address stays in the catalogue; a reason is read by people.
    setting = re.sub(r"\s+", " ", score.setting)
    basis = f"{score.benchmark} {score.value:g} published, unquantized: {setting} ({score.source})"
    return Quality(score.value, loss, basis)

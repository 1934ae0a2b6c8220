"""What precisions cost by divergences that were measured here.

A divergence orders the variants of one model better than any published figure, and says nothing of
task scores by itself. So the shares of several variants are as their divergences, and together they
are as large as the shares that published figures give them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmahub.precision.training import QAT
from gemmahub.recommend.quality import Loss, loss_of

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class MeasuredDivergence:
    """The mean divergence of a variant from a reference, in nats. ``alike`` is what must be the
    same for two of them to be compared: reference, text, window and number of windows; ``basis``
    says all that in words."""

    variant: str
    label: str
    training: str
    reference_training: str
    nats: float
    alike: tuple[object, ...]
    basis: str


_DOUBT = "the loss of score for a divergence is taken from published figures"
_LARGEST = 0.9


def measured_losses(measured: Iterable[MeasuredDivergence]) -> dict[str, Loss]:
    """The loss of each variant that was measured, by its name; of several measurements of one the
    first counts.

    Weights that were trained for their precision (QAT) differ from others by their training, too,
    so a divergence between the two is no loss and is left out.
    """
    groups: defaultdict[tuple[object, ...], list[MeasuredDivergence]] = defaultdict(list)
    for one in measured:
        if (one.training == QAT) == (one.reference_training == QAT) and one.nats >= 0:
            groups[one.alike].append(one)
    found: dict[str, Loss] = {}
    for group in groups.values():
        known = [(loss_of(one.label, one.training), one) for one in group]
        shares = sum(loss.share for loss, _ in known if loss.share)
        nats = sum(one.nats for loss, one in known if loss.share)
        for derived, one in known:
            if derived.share is None and not nats:
                continue
            share = one.nats * shares / nats if nats else 0.0
            loss = Loss(min(_LARGEST, share), derived.reason, one.basis, _DOUBT)
            found.setdefault(one.variant, loss)
    return found

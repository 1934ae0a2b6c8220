"""The use cases. Both front ends call these and nothing below, but for records and text.

:class:`Library` is what scripts and plugins use, too (``gemmahub.open()``); the other use cases are
functions of the modules here, whose first argument it is.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from gemmahub.recommend.goals import Requirements
from gemmahub.service import plans, pulling, running
from gemmahub.service.installation import Installation
from gemmahub.service.plans import PlanOptions
from gemmahub.service.pulling import PullOptions, PullPlan
from gemmahub.service.remote import look
from gemmahub.service.running import Running

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmahub.conversations import ConversationStore
    from gemmahub.engines.sources import Pulled
    from gemmahub.hardware.records import Machine
    from gemmahub.planning.recommending import Recommendation
    from gemmahub.registry.variants import Models, Variant
    from gemmahub.service.comparing import Comparison
    from gemmahub.service.progress import OnPullProgress
    from gemmahub.service.searching import RepositoryRow

__all__ = ["Library", "PlanOptions", "PullOptions", "PullPlan", "Requirements", "Running"]


class Library(Installation):
    """The models that are on this machine or known, and what can be done with them.

    Methods raise :class:`~gemmahub.errors.GemmahubError` and its subclasses. References are those
    of ``docs/reference/commands.md``.
    """

    plan = plans.plan
    plan_pull = pulling.plan_pull
    load = running.load

    def models(self, *, catalogue: bool = False) -> Models:
        """What is on this machine, and on request what the catalogue knows; what is broken."""
        return self.registry.models(catalogue=catalogue)

    def resolve(self, reference: str) -> Variant:
        """What a reference names, of what is here or in the catalogue; asks no server.

        A name without a variant is the one that is recommended for this machine.
        Raises: UsageError, NotFound, FormatError, IntegrityError.
        """
        return self.chosen(reference)[0]

    def inspect(self, reference: str, *, remote: bool = False) -> Variant:
        """What a reference names, with its precision. What is neither here nor in the catalogue is
        read from its header in its source; ``remote`` does that with all.

        Raises: UsageError, NotFound, FormatError, IntegrityError, Gated, NetworkError.
        """
        return look(self, reference, remote=remote).variant

    def search(self, text: str, limit: int = 20) -> list[RepositoryRow]:
        """What sources have for some words, ``limit`` repositories of each.

        Raises: NetworkError.
        """
        from gemmahub.service import searching  # the memory model comes with it

        return searching.search(self, text, limit)

    def recommend(
        self, wanted: Requirements | None = None, machine: Machine | None = None
    ) -> tuple[Recommendation, ...]:
        """What this machine, or another one, runs best, the best first.

        Raises: NotFound for an unknown model; DoesNotFit when nothing fits.
        """
        from gemmahub.planning.recommending import recommendations

        place = machine or self.machine_for()
        measured = self.measured(place)
        return recommendations(self.registry, place, wanted or Requirements(), measured)

    def compare(
        self,
        references: Sequence[str],
        wanted: Requirements | None = None,
        machine: Machine | None = None,
    ) -> Comparison:
        """Two or more models side by side; see :func:`gemmahub.service.comparing.compare`."""
        from gemmahub.service import comparing

        return comparing.compare(self, references, wanted or Requirements(), machine)

    def pull(
        self,
        wanted: str | PullPlan,
        *,
        on_progress: OnPullProgress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Pulled:
        """Get a model, by its reference or as planned; see :func:`gemmahub.service.pulling.pull`.

        Raises also: what :meth:`plan_pull` raises, for a reference.
        """
        plan = self.plan_pull(wanted) if isinstance(wanted, str) else wanted
        return pulling.pull(self, plan, on_progress=on_progress, cancelled=cancelled)

    @cached_property
    def conversations(self) -> ConversationStore:
        """The kept conversations."""
        from gemmahub.conversations import ConversationStore

        return ConversationStore(self.config.data)

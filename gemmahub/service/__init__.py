"""The use cases. Both front ends call this and nothing below it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from gemmahub.errors import GemmahubError
from gemmahub.recommend.goals import Requirements
from gemmahub.service import (
    disk,
    overview,
    plugin_rows,
    pulling,
    running,
    searching,
)
from gemmahub.service.installation import Installation
from gemmahub.service.loaded import LoadedModels, loaded_models
from gemmahub.service.overview import ModelOverview, ModelRow
from gemmahub.service.planner import Planner, planner_for
from gemmahub.service.plans import PlanOptions, plan
from gemmahub.service.plugin_rows import ChosenRow, PluginRow
from gemmahub.service.pulling import PullOptions, PullPlan
from gemmahub.service.remote import look
from gemmahub.service.running import Running
from gemmahub.service.searching import RepositoryRow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gemmahub.conversations import ChatSession, ConversationStore, Journal
    from gemmahub.engines.contract import CheckResult, OnProgress, Settings
    from gemmahub.engines.sources import Pulled as Fetched
    from gemmahub.hardware.records import Machine
    from gemmahub.hub import Pulled
    from gemmahub.hub.download_records import OnDownload
    from gemmahub.planning import Plan
    from gemmahub.planning.fit import Fit
    from gemmahub.planning.recommending import Recommendation
    from gemmahub.registry.variants import Models, Variant
    from gemmahub.service.comparing import Comparison
    from gemmahub.service.disk import Removing
    from gemmahub.service.fetching import FetchPlan
    from gemmahub.stores.dedupe import DedupePlan
    from gemmahub.stores.linking import Deduped, Undone
    from gemmahub.stores.removal_steps import Removed
    from gemmahub.stores.usage import Usage
    from gemmahub.testing.scaffold import NewPlugin

__all__ = [
    "ChosenRow",
    "Gemmahub",
    "LoadedModels",
    "ModelOverview",
    "ModelRow",
    "PlanOptions",
    "Planner",
    "PluginRow",
    "PullOptions",
    "PullPlan",
    "RepositoryRow",
    "Requirements",
    "Running",
]


class Gemmahub(Installation):
    """This installation and what can be done with it."""

    def list_models(self, *, catalogue: bool = False) -> Models:
        """What is on this machine, and on request what the catalogue knows."""
        return self.registry.models(catalogue=catalogue)

    def fits(self, variants: Sequence[Variant]) -> list[Fit]:
        """For each variant whether it fits in what is free here now, with ``run``'s defaults."""
        from gemmahub.planning import fits_of

        return fits_of(variants, self.registry.catalog, self.hardware())

    def overview(
        self,
        wanted: Requirements | None = None,
        machine: Machine | None = None,
        *,
        again: bool = False,
    ) -> ModelOverview:
        """Every model that is here or known, with what it is worth on a machine; ``again`` looks
        at the stores again. See :func:`gemmahub.service.overview.overview`."""
        if again:
            self.look_again()
        return overview.overview(self, wanted or Requirements(), machine)

    def planner(self, row: ModelRow, machine: Machine) -> Planner:
        """What other settings would take; see :func:`gemmahub.service.planner.planner_for`."""
        return planner_for(self, row.variant, machine, row.recommendation)

    def inspect(self, reference: str, *, remote: bool = False) -> Variant:
        """What a reference names, with its precision; ``remote`` reads the header on the hub also
        of what is here or in the catalogue. See :func:`gemmahub.service.remote.look`.

        Raises: UsageError, NotFound, FormatError, IntegrityError, Gated, NetworkError.
        """
        return look(self, reference, remote=remote).variant

    def search(self, text: str, limit: int = 20) -> list[RepositoryRow]:
        """Repositories for some words; see :func:`gemmahub.service.searching.search`."""
        return searching.search(self, text, limit)

    def pull_plan(self, reference: str, options: PullOptions | None = None) -> PullPlan:
        """What pulling a model would do; see :func:`gemmahub.service.pulling.prepare`."""
        return pulling.prepare(self, reference, options or PullOptions())

    def pull(
        self,
        plan: PullPlan,
        *,
        on_progress: OnDownload | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Pulled:
        """Get a model; see :func:`gemmahub.service.pulling.execute`."""
        return pulling.execute(self, plan, on_progress=on_progress, cancelled=cancelled)

    def fetch_plan(self, reference: str, to: Path | None = None) -> FetchPlan | None:
        """What getting a model from a plugin's source would do; None for what is not in one. See
        :func:`gemmahub.service.fetching.prepare`."""
        from gemmahub.service import fetching

        return fetching.prepare(self, reference, to)

    def fetch(self, plan: FetchPlan, on_progress: OnDownload | None = None) -> Fetched:
        """Get it; see :func:`gemmahub.service.fetching.execute`."""
        from gemmahub.service import fetching

        return fetching.execute(self, plan, on_progress)

    def start(
        self,
        reference: str,
        settings: Settings,
        *,
        backend: str | None = None,
        options: Mapping[str, str] | None = None,
        on_progress: OnProgress | None = None,
        on_stage: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        alone: bool = True,
    ) -> Running:
        """Load a model; see :func:`gemmahub.service.running.load`."""
        return running.load(
            self,
            reference,
            settings,
            backend=backend,
            options=options,
            on_progress=on_progress,
            on_stage=on_stage,
            cancelled=cancelled,
            alone=alone,
        )

    def chat(self, running: Running, journal: Journal) -> ChatSession:
        """Hold a kept conversation with a loaded model, which the journal then names."""
        from gemmahub.conversations import ChatSession

        running.describe_in(journal)
        return ChatSession(running.session, journal)

    @cached_property
    def conversations(self) -> ConversationStore:
        """The kept conversations."""
        from gemmahub.conversations import ConversationStore

        return ConversationStore(self.config.data)

    def plan(
        self, reference: str, options: PlanOptions, *, on_progress: OnProgress | None = None
    ) -> Plan:
        """What a variant takes; see :func:`gemmahub.service.plans.plan`."""
        return plan(self, reference, options, on_progress)

    def recommend(
        self, wanted: Requirements, machine: Machine | None = None
    ) -> tuple[Recommendation, ...]:
        """What this machine, or another one, runs best, ranked and with reasons; at least one.

        Raises: NotFound for an unknown model; DoesNotFit when nothing fits.
        """
        from gemmahub.planning.recommending import recommendations

        place = machine or self.machine_for()
        measured = self.measured(place)
        return recommendations(self.registry, place, wanted, measured)

    def compare(
        self, references: Sequence[str], wanted: Requirements, machine: Machine | None = None
    ) -> Comparison:
        """Variants side by side; see :func:`gemmahub.service.comparing.compare`."""
        from gemmahub.service import comparing

        return comparing.compare(self, references, wanted, machine)

    def disk_usage(self) -> Usage:
        """What the models take on the disks; see :func:`gemmahub.service.disk.usage`."""
        return disk.usage(self)

    def plan_removal(self, reference: str, stores: Sequence[str] = ()) -> Removing:
        """What removing a model would do; see :func:`gemmahub.service.disk.plan_removal`."""
        return disk.plan_removal(self, reference, stores)

    def remove(self, removing: Removing) -> Removed:
        """Carry a removal out."""
        return disk.remove(self, removing)

    def finish_removals(self) -> Removed | None:
        """End removals that a crash cut off; None when there were none."""
        return disk.finish_removals(self)

    def plan_dedupe(
        self, *, reflink: bool = False, on_bytes: Callable[[int], None] | None = None
    ) -> DedupePlan:
        """Which files could share their place; see :func:`gemmahub.service.disk.plan_dedupe`."""
        return disk.plan_dedupe(self, reflink=reflink, on_bytes=on_bytes)

    def dedupe(self, plan: DedupePlan, on_bytes: Callable[[int], None] | None = None) -> Deduped:
        """Carry a sharing out."""
        return disk.dedupe(self, plan, on_bytes)

    def undo_dedupe(self, on_bytes: Callable[[int], None] | None = None) -> Undone:
        """Take the last sharing back."""
        return disk.undo_dedupe(self, on_bytes)

    def loaded(self) -> LoadedModels:
        """What engines hold in memory now; see :func:`gemmahub.service.loaded.loaded_models`."""
        return loaded_models(self)

    def plugins(self) -> list[PluginRow]:
        """All plugins that were found, with the state of the backends they offer."""
        return plugin_rows.rows(self)

    def chosen_backends(self) -> list[ChosenRow]:
        """Which backend runs which format when none is named, and why."""
        return plugin_rows.chosen(self)

    def new_plugin(self, name: str, folder: Path) -> NewPlugin:
        """Write the beginning of a plugin into ``folder / gemmahub-NAME``.

        Raises: UsageError for a name that cannot be one or is taken, and for a folder that exists.
        """
        return plugin_rows.write_new(self, name, folder)

    def doctor(self) -> list[CheckResult]:
        """Checks of this installation and those of the plugins."""
        from gemmahub.hardware.probe import probe_machine
        from gemmahub.service.doctor import broken_settings, model_folders, run_checks

        try:
            config = self.config
        except GemmahubError as error:
            return broken_settings(error)
        models = self.list_models()
        machine = probe_machine(folders=model_folders(config, models), cache=config.cache)
        return run_checks(config, self.plugins_manager, models, machine)

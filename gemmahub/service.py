"""The use cases. Both front ends call this and nothing below it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gemmahub.config import Config, load_config
from gemmahub.errors import GemmahubError, NotFound

# Tokens of context that a plan is made for when nothing is said: what `run` uses.
DEFAULT_CONTEXT = 8192

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmahub.engines.contract import CheckResult, DryLoad, OnProgress, Session, Settings
    from gemmahub.engines.manager import PluginManager
    from gemmahub.hardware.records import Machine
    from gemmahub.planning import Plan
    from gemmahub.registry import Registry
    from gemmahub.variants import Models, Variant


@dataclass(frozen=True, slots=True)
class PluginRow:
    """One plugin as it is shown: ``remarks`` say what does not work and how to mend it."""

    name: str
    distribution: str
    version: str
    state: str
    offers: tuple[str, ...]
    remarks: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The row as ``gemmahub plugins --json`` prints it."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "state": self.state,
            "offers": list(self.offers),
            "remarks": list(self.remarks),
        }


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What a plan is made for. Sizes as people write them: ``24GiB``; None means what is here."""

    context: int | None = None
    cache_type: str = "f16"
    gpu_layers: int | None = None
    ubatch: int = 512
    parallel: int = 1
    memory: str | None = None
    ram: str | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """A loaded model, and what was loaded."""

    variant: Variant
    backend: str
    session: Session

    @property
    def headline(self) -> str:
        """Model, precision, engine and context in one line."""
        info = self.session.info
        parts = [
            self.variant.name,
            self.variant.precision.summary,
            f"{info.engine} on {info.device}",
            f"context {info.context:,} tokens",
        ]
        if not info.chat_template:
            parts.append("no chat template: plain completion")
        return " · ".join(parts)


class Gemmahub:
    """This installation. Everything is looked up when it is first needed."""

    def __init__(self, *, config: Config | None = None, folders: Sequence[Path] = ()) -> None:
        self._config = config
        self._folders = tuple(folders)

    @cached_property
    def config(self) -> Config:
        """The settings.

        Raises: UsageError when the settings file is broken.
        """
        config = self._config or load_config()
        return replace(config, folders=(*config.folders, *self._folders))

    @cached_property
    def plugins_manager(self) -> PluginManager:
        """The loaded plugins."""
        from gemmahub.engines.manager import load_plugins

        return load_plugins()

    @cached_property
    def registry(self) -> Registry:
        """Catalogue and stores joined."""
        from gemmahub.artifacts import Inspector
        from gemmahub.catalog.loader import load_catalog
        from gemmahub.registry import Registry
        from gemmahub.stores.folder import FolderStore

        folders = [FolderStore(folder, name=str(folder)) for folder in self.config.folders]

        def inventories() -> list[Any]:
            return [
                *self.plugins_manager.inventories(),
                *(folder.inventory() for folder in folders),
            ]

        inspector = Inspector(self.config.cache / "summaries.sqlite")
        return Registry(load_catalog(), inventories, inspector)

    def list_models(self, *, catalogue: bool = False) -> Models:
        """What is on this machine, and on request what the catalogue knows."""
        return self.registry.models(catalogue=catalogue)

    def inspect(self, reference: str) -> Variant:
        """What a reference names, with its precision.

        Raises: UsageError, NotFound, FormatError, IntegrityError.
        """
        return self.registry.resolve(reference)

    def start(
        self,
        reference: str,
        settings: Settings,
        *,
        backend: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Running:
        """Load a model. Close the session of what comes back.

        Raises: NotFound when the model is not on this machine; BackendError.
        """
        from gemmahub.engines.choice import choose_backend, load_session

        variant = self.registry.resolve(reference)
        if not variant.artifacts:
            raise NotFound(
                f"{variant.reference} is not on this machine",
                f"get it ({variant.download}) and name the file: gemmahub run ./FILE.gguf",
            )
        artifact = variant.artifacts[0]
        offer = choose_backend(self.plugins_manager, artifact, backend or self.config.backend)
        session = load_session(offer, artifact, settings, on_progress)
        return Running(variant, offer.backend.name, session)

    def hardware(self, *, measure: bool = False) -> Machine:
        """What this machine is now; ``measure`` also measures the CPU's memory bandwidth once."""
        from gemmahub.hardware.probe import probe_machine

        folders = [self.config.cache, *self.config.folders]
        return probe_machine(folders=folders, cache=self.config.cache, measure=measure)

    def plan(self, reference: str, options: PlanOptions) -> Plan:
        """What a variant takes on this machine, or on one with the memory that was given.

        Raises: UsageError, NotFound, GemmahubError for a model whose memory is not known;
        BackendError when the engine is asked and refuses.
        """
        from gemmahub.hardware.simulate import parse_size, simulate_machine
        from gemmahub.memory import MemorySettings
        from gemmahub.planning import machine_of, make_plan, model_of, with_dry_load

        machine = self.hardware()
        if options.memory or options.ram:
            memory = parse_size(options.memory) if options.memory else None
            ram = parse_size(options.ram) if options.ram else None
            machine = simulate_machine(memory, ram, base=machine)
        variant = self.registry.resolve(reference)
        model = model_of(variant, self.registry.catalog)
        settings = MemorySettings(
            context=options.context
            or min(model[0].context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT),
            cache_type_k=options.cache_type,
            cache_type_v=options.cache_type,
            ubatch=options.ubatch,
            parallel=options.parallel,
            outputs_max=options.parallel,
            gpu_layers=options.gpu_layers,
        )
        place = machine_of(machine)
        plan = make_plan(variant, model, settings, place)
        return with_dry_load(plan, self._dry_load(plan), place) if options.exact else plan

    def _dry_load(self, plan: Plan) -> DryLoad:
        from gemmahub.engines.choice import choose_backend, dry_load
        from gemmahub.engines.contract import Settings

        if not plan.variant.artifacts:
            raise NotFound(
                f"{plan.variant.reference} is not on this machine, so its header is not either",
                "plan without --exact, or get the file",
            )
        artifact, chosen = plan.variant.artifacts[0], plan.memory.settings
        settings = Settings(
            context=chosen.context,
            cache_type_k=chosen.cache_type_k,
            cache_type_v=chosen.cache_type_v,
            ubatch=chosen.ubatch,
            parallel=chosen.parallel,
            gpu_layers=plan.memory.gpu_layers,
        )
        offer = choose_backend(self.plugins_manager, artifact, self.config.backend)
        return dry_load(offer, artifact, settings)

    def plugins(self) -> list[PluginRow]:
        """All plugins that were found, with the state of the backends they offer."""
        manager = self.plugins_manager
        remarks: dict[str, list[str]] = {}
        offers: dict[str, list[str]] = {}
        for offer in manager.backends():
            answer = manager.availability(offer)
            formats = ", ".join(offer.backend.formats)
            offers.setdefault(offer.plugin, []).append(f"backend {offer.backend.name} ({formats})")
            if answer.ok:
                remarks.setdefault(offer.plugin, []).append(
                    f"{offer.backend.name} {answer.version}"
                )
            else:
                text = f"{offer.backend.name}: {answer.reason}; {answer.hint}"
                remarks.setdefault(offer.plugin, []).append(text)
        manager.inventories()  # so that a store that fails shows here
        return [
            PluginRow(
                record.name,
                record.distribution,
                record.version,
                record.state,
                tuple(offers.get(record.name, ()))
                + tuple(
                    hook.removeprefix("gemmahub_")
                    for hook in record.offers
                    if hook != "gemmahub_backends"
                ),
                tuple(p for p in (record.reason, record.hint) if p)
                + tuple(remarks.get(record.name, ())),
            )
            for record in manager.records
        ]

    def doctor(self) -> list[CheckResult]:
        """Checks of this installation and those of the plugins."""
        from gemmahub.doctor import broken_settings, run_checks

        try:
            config = self.config
        except GemmahubError as error:
            return broken_settings(error)
        return run_checks(config, self.plugins_manager, self.list_models())

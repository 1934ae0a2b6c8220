"""What is here: settings, plugins, stores, the registry. Looked up when first needed."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gemmahub.config import Config, disabled_plugins, load_config
from gemmahub.errors import UsageError
from gemmahub.service.listener import Listener, current, heard_by, wait
from gemmahub.text import one_line

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gemmahub.engines.choice import BackendChoice
    from gemmahub.engines.contract import (
        Artifact,
        EngineDevice,
        Inventory,
        ManagedStore,
        ServedModel,
    )
    from gemmahub.engines.guarded_probe import GuardedProbe
    from gemmahub.engines.guarded_reader import GuardedReader
    from gemmahub.engines.manager import PluginManager
    from gemmahub.formats.reader import ModelFile
    from gemmahub.hardware.records import Machine
    from gemmahub.hub.client import Traffic
    from gemmahub.hub.source import Hub
    from gemmahub.measurements.results import Results
    from gemmahub.measurements.speed_log import SpeedLog
    from gemmahub.planning.fit import Fit
    from gemmahub.planning.recommending import Recommendation
    from gemmahub.recommend.records import Measured
    from gemmahub.registry.registry import Registry
    from gemmahub.registry.sources import Sources
    from gemmahub.registry.variants import Variant
    from gemmahub.stores.identity import ContentSums


class Installation:
    """The parts that the use cases share."""

    def __init__(
        self,
        *,
        config: Config | None = None,
        folders: Sequence[Path] = (),
        say: Callable[[str], None] | None = None,
        workers: Sequence[str] = (),
    ) -> None:
        """``say`` is told what a person should hear, such as what a name was taken for. ``workers``
        are ``HOST:PORT`` of programs on other machines whose memory is used, too."""
        self._config = config
        self._folders = tuple(folders)
        self._say = say
        self.workers = tuple(workers)

    def say(self, text: str) -> None:
        """Tell whoever listens: see :meth:`heard_by`, else the front end."""
        listener = current()
        say = self._say if listener is None else listener.say
        if say is not None:
            say(text)

    def heard_by(
        self, say: Callable[[str], None], stop: threading.Event | None = None
    ) -> AbstractContextManager[None]:
        """What is said inside goes to ``say``; setting ``stop`` ends waits with Cancelled."""
        return heard_by(Listener(say, stop))

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

        return load_plugins(disabled=disabled_plugins())

    @cached_property
    def registry(self) -> Registry:
        """Catalogue and stores joined."""
        from gemmahub.catalog.loader import load_catalog
        from gemmahub.engines.judging import problems_of
        from gemmahub.engines.servers import served_models
        from gemmahub.registry.artifacts import Inspector
        from gemmahub.registry.registry import Registry
        from gemmahub.service.presets import model_in

        def inventories() -> list[Inventory]:
            own, others = self._stores
            return [
                *(store.inventory() for store in own),
                *self.plugins_manager.inventories(others),
            ]

        return Registry(
            load_catalog(),
            inventories,
            Inspector(self.config.cache / "summaries.sqlite", lambda: self.readers),
            self.sums,
            self.sources,
            servers=lambda: served_models(self.plugins_manager),
            problems=lambda asked: problems_of(self.plugins_manager, asked),
            model_in=model_in,
        )

    @cached_property
    def readers(self) -> tuple[GuardedReader, ...]:
        """Those of plugins, for file formats that gemmahub does not read itself."""
        from gemmahub.engines.guarded_reader import readers_of

        return readers_of(self.plugins_manager)

    @cached_property
    def sources(self) -> Sources:
        """The places that models are pulled from: Hugging Face, then those of plugins."""
        from gemmahub.registry.sources import Sources

        return Sources(lambda: [self.hub, *(s for _, s in self.plugins_manager.sources())])

    def look_again(self) -> None:
        """Forget what the stores hold: a model came or went."""
        self.__dict__.pop("registry", None)
        self.__dict__.pop("_stores", None)  # a folder may be there now

    @cached_property
    def hub(self) -> Hub:
        """Hugging Face. Nothing of the network is loaded before it is asked."""
        return self._hub(say=self.say, wait=wait)

    @cached_property
    def hub_at_once(self) -> Hub:
        """The same for what is also known without it: it is asked once, and not waited for."""
        return self._hub(tries=1)

    def _hub(self, **options: Any) -> Hub:
        from gemmahub.hub.source import Hub
        from gemmahub.stores.hf_cache import cache_folder

        folder, catalog = cache_folder(), self.registry.catalog
        return Hub(self.config.cache, catalog, folder=folder, sums=self.sums, **options)

    @property
    def why_offline(self) -> str:
        """Why the hub is sure not to be reached now; "" where it may be. Nobody is asked."""
        from gemmahub.hub.reach import why_unreachable

        return why_unreachable()

    @property
    def traffic(self) -> Traffic | None:
        """What was moved to and from the hub so far; None when it was not asked."""
        from gemmahub.hub.client import Traffic

        used = [self.__dict__[name] for name in ("hub", "hub_at_once") if name in self.__dict__]
        found = [hub.traffic for hub in used if "client" in hub.__dict__]
        if not found:
            return None
        return Traffic(sum(t.requests for t in found), sum(t.received_bytes for t in found))

    @cached_property
    def sums(self) -> ContentSums:
        """The sha256 of model files, as recorded or remembered."""
        from gemmahub.stores.identity import ContentSums

        return ContentSums(self.config.cache / "summaries.sqlite")

    @property
    def stores(self) -> list[Any]:
        """All stores that the settings let gemmahub look into: its own, then those of plugins."""
        own, others = self._stores
        return [*own, *(store for _, store in others)]

    @cached_property
    def _stores(self) -> tuple[list[ManagedStore], list[tuple[str, Any]]]:
        from gemmahub.stores.defaults import default_stores, wanted

        others = [
            (plugin, store)
            for plugin, store in self.plugins_manager.stores()
            if not getattr(store, "tool", "") or wanted(str(store.name), self.config)
        ]
        taken = {str(getattr(store, "name", "")) for _, store in others}
        formats = {suffix: reader.name for reader in self.readers for suffix in reader.suffixes}
        own = default_stores(self.config, formats)
        return [store for store in own if not store.tool or store.name not in taken], others

    @cached_property
    def speeds(self) -> SpeedLog:
        """How fast models were here."""
        from gemmahub.measurements.speed_log import SpeedLog

        return SpeedLog(self.config.data)

    @cached_property
    def results(self) -> Results:
        """What ``bench`` and ``quality`` measured here, and what was imported."""
        from gemmahub.measurements.results import Results

        return Results(self.config.data)

    def choose(
        self,
        model: Artifact | ServedModel,
        name: str | None = None,
        *,
        needs: str = "",
        header: ModelFile | None = None,
    ) -> BackendChoice:
        """The backend that runs a model: the one with that name, that of the settings, or the
        preferred one; with a capability that it ``needs``, and able to load the ``header``.

        Raises: BackendMissing; UsageError when the settings file is broken.
        """
        from gemmahub.service.engine_here import chosen_engine

        return chosen_engine(self.config, self.plugins_manager, model, name, needs, header)

    @cached_property
    def probes(self) -> tuple[GuardedProbe, ...]:
        """Those of plugins, for devices that gemmahub does not find itself."""
        from gemmahub.engines.guarded_probe import probes_of

        return probes_of(self.plugins_manager)

    def hardware(self, *, measure: bool = False) -> Machine:
        """What this machine is now; ``measure`` also measures the CPU's memory bandwidth once."""
        from gemmahub.hardware.probe import probe_machine
        from gemmahub.stores.hf_cache import cache_folder

        folders = [cache_folder(), self.config.cache, *self.config.folders]  # pulls go to the first
        return probe_machine(
            folders=folders, cache=self.config.cache, measure=measure, further=self.probes
        )

    def fits(self, variants: Sequence[Variant], machine: Machine | None = None) -> list[Fit]:
        """For each variant whether it fits in what is free here now, with ``run``'s defaults;
        ``machine`` is this one, where it was looked at already."""
        from gemmahub.planning import fits_of

        return fits_of(variants, self.registry.catalog, machine or self.as_used())

    def measured(self, machine: Machine) -> Measured:
        """What was measured of models here, as far as it holds for that machine."""
        from gemmahub.service.known_speeds import measured_here

        return measured_here(machine, self.registry, self.sums, self.speeds, self.results)

    def machine_for(
        self, machine: str | None = None, memory: str | None = None, ram: str | None = None
    ) -> Machine:
        """The machine that is meant: this one as the engine here can use it, one that is described
        (:mod:`gemmahub.hardware.described`), or one whose GPU or system memory has another size.

        Raises: UsageError for what is no machine and no size.
        """
        from gemmahub.hardware.described import described_machine

        known = described_machine(machine, self.config.hosts) if machine else None
        return self.with_sizes(memory, ram, known or self.as_used(measure=True))

    def with_sizes(
        self, memory: str | None, ram: str | None, base: Machine | None = None
    ) -> Machine:
        """``base``, or this machine, with the sizes that a person wrote instead of its own.

        Raises: UsageError for what is no size, and where workers belong to this machine.
        """
        from gemmahub.hardware.simulate import other_machine

        found = other_machine(memory, ram, base or self.as_used())
        if self.workers and found.simulated:
            raise UsageError(
                "--rpc adds memory to this machine, but another machine was given",
                "leave out one of them",
            )
        return found

    def as_used(self, *, measure: bool = False) -> Machine:
        """What this machine is now to the engine here: devices that it cannot use are unusable;
        ``measure`` as in :meth:`hardware`."""
        from gemmahub.planning.devices import usable_by
        from gemmahub.service.engine_here import engine_here

        engine = engine_here(self.choose, self.plugins_manager)
        machine = replace(self.hardware(measure=measure), engine=engine)
        stated = self.engine_devices(machine)
        machine = machine if stated is None else usable_by(machine, *stated)
        if not self.workers:
            return machine
        from gemmahub.service.remote_workers import joined

        return joined(machine, self.workers, self.choose, self.say)

    def engine_devices(self, machine: Machine) -> tuple[str, tuple[EngineDevice, ...]] | None:
        """The engine that runs GGUF files here, and the devices of the machine that it can use;
        None where there are none, or it does not say."""
        if machine.simulated or not machine.devices:
            return None
        from gemmahub.service.engine_devices import engine_devices

        return engine_devices(self.config, self.plugins_manager, machine)

    def chosen(
        self, reference: str, machine: Machine | None = None
    ) -> tuple[Variant, Recommendation | None]:
        """The variant, and the recommendation that chose it where a name left it open.

        Raises: UsageError, NotFound, FormatError, IntegrityError.
        """
        name = self.registry.open_name(reference)
        if name is None:
            return self.registry.resolve(reference), None
        from gemmahub.planning.recommending import best_of

        place = machine or self.machine_for()
        found = best_of(self.registry, name, place, self.measured(place))
        if found is None:
            return self.registry.resolve(reference), None
        self.say(f"{one_line(reference)} -> {found.summary}")
        return found.variant, found

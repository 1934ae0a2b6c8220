"""What is here: settings, plugins, stores, the registry. Looked up when first needed."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gemmahub.config import Config, load_config
from gemmahub.service import listening
from gemmahub.text import one_line

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gemmahub.catalog.records import Model
    from gemmahub.engines.choice import BackendChoice
    from gemmahub.engines.contract import Artifact, Inventory, ManagedStore
    from gemmahub.engines.manager import PluginManager
    from gemmahub.hardware.records import Machine
    from gemmahub.hub import Hub, Traffic
    from gemmahub.measurements.speed_log import SpeedLog
    from gemmahub.planning.advice import Advised
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
    ) -> None:
        """``say`` is told what a person should hear, such as what a name was taken for."""
        self._config = config
        self._folders = tuple(folders)
        self._say = say

    def say(self, text: str) -> None:
        """Tell whoever listens: see :meth:`heard_by`, else the front end."""
        listener = listening.current()
        say = self._say if listener is None else listener.say
        if say is not None:
            say(text)

    def heard_by(
        self, say: Callable[[str], None], stop: threading.Event | None = None
    ) -> AbstractContextManager[None]:
        """What is said inside goes to ``say``; setting ``stop`` ends waits with Cancelled."""
        return listening.heard_by(listening.Listener(say, stop))

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
        from gemmahub.catalog.loader import load_catalog
        from gemmahub.registry.artifacts import Inspector
        from gemmahub.registry.registry import Registry

        def inventories() -> list[Inventory]:
            own, others = self._stores
            return [
                *(store.inventory() for store in own),
                *self.plugins_manager.inventories(others),
            ]

        inspector = Inspector(self.config.cache / "summaries.sqlite")
        return Registry(load_catalog(), inventories, inspector, self.sums, self.sources)

    @cached_property
    def sources(self) -> Sources:
        """The places that models are pulled from."""
        from gemmahub.registry.sources import Sources

        return Sources(lambda: [source for _, source in self.plugins_manager.sources()])

    def look_again(self) -> None:
        """Forget what the stores hold: a model came or went."""
        self.__dict__.pop("registry", None)

    @cached_property
    def hub(self) -> Hub:
        """Hugging Face. Nothing of the network is loaded before it is asked."""
        from gemmahub.hub import Hub

        return Hub(self.config.cache, self.registry.catalog, say=self.say, wait=listening.wait)

    @property
    def why_offline(self) -> str:
        """Why the hub is sure not to be reached now; "" where it may be. Nobody is asked."""
        from gemmahub.hub.reach import why_unreachable

        return why_unreachable()

    @cached_property
    def hub_at_once(self) -> Hub:
        """The same for what is also known without it: it is asked once, and not waited for."""
        from gemmahub.hub import Hub

        return Hub(self.config.cache, self.registry.catalog, tries=1)

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
        own = default_stores(self.config)
        return [store for store in own if not store.tool or store.name not in taken], others

    @cached_property
    def speeds(self) -> SpeedLog:
        """How fast models were here."""
        from gemmahub.measurements.speed_log import SpeedLog

        return SpeedLog(self.config.data)

    def choose(
        self, artifact: Artifact, name: str | None = None, *, needs: str = ""
    ) -> BackendChoice:
        """The backend that runs an artifact: the one with that name, that of the settings, or the
        preferred one; with a capability that it ``needs``.

        Raises: BackendMissing; UsageError when the settings file is broken.
        """
        from gemmahub.engines.choice import Default, choose

        setting = self.config.backend_for(artifact.format)
        default = None if setting is None else Default(*setting)
        return choose(self.plugins_manager, artifact, name, default=default, needs=needs)

    def hardware(self, *, measure: bool = False) -> Machine:
        """What this machine is now; ``measure`` also measures the CPU's memory bandwidth once."""
        from gemmahub.hardware.probe import probe_machine

        folders = [self.config.cache, *self.config.folders]
        return probe_machine(folders=folders, cache=self.config.cache, measure=measure)

    def measured(self, machine: Machine) -> dict[str, float]:
        """Decode speeds that were seen where a recommended plan would put the layers."""
        if machine.simulated:
            return {}
        return self.speeds.speeds("gpu" if machine.devices else "cpu")

    def resolve(
        self, reference: str, machine: Machine | None = None
    ) -> tuple[Variant, Advised | None]:
        """The variant, and the advice that chose it where the reference left it open.

        Raises: UsageError, NotFound, FormatError, IntegrityError.
        """
        from gemmahub.planning.advice import advised_variant
        from gemmahub.recommend import Wish

        advised: Advised | None = None

        def choose(model: Model) -> Variant | None:
            nonlocal advised
            place = machine or self.hardware(measure=True)
            advised = advised_variant(
                self.registry, model, place, Wish(), measured=self.measured(place)
            )
            return advised.variant if advised else None

        variant = self.registry.resolve(reference, choose)
        if advised is not None:
            self.say(f"{one_line(reference)} -> {advised.said}")
        return variant, advised

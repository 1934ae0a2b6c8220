"""What plugins offer and say, and why some do not: it trusts nobody.

Each record is looked at (:mod:`gemmahub.engines.validation`), each call has a limit in time
(:mod:`gemmahub.engines.hooks`). A plugin that fails is a row with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gemmahub.engines.compatibility import update_hint
from gemmahub.engines.contract import Availability, Backend, BrokenEntry, Inventory, Loadable
from gemmahub.engines.guarded_store import guarded_store, patience
from gemmahub.engines.hooks import (
    EMPTY,
    Call,
    FoundPlugin,
    Hooks,
    PluginRecord,
    named_once,
    said,
)
from gemmahub.engines.installed import RESTRICT, to_be_loaded
from gemmahub.engines.validation import (
    check_availability,
    check_backend,
    check_inventory,
    check_loadable,
    check_result,
    check_source,
)
from gemmahub.errors import BackendMissing
from gemmahub.in_time import Outcome
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import click

    from gemmahub.engines.contract import CheckResult, Setting, Store
    from gemmahub.engines.sources import Source
    from gemmahub.formats.reader import ModelFile
    from gemmahub.hardware.records import Machine

T = TypeVar("T")

_FRESH_SECONDS: Final = 5.0  # a command asks once; the UI asks again for a server that came up


@dataclass(frozen=True, slots=True)
class BackendOffer:
    """A backend and the plugin that offers it; ``options`` is what the settings file says of the
    backend's own options."""

    plugin: str
    distribution: str
    backend: Backend
    options: Mapping[str, Any] = field(default_factory=dict)


class PluginManager:
    """The loaded plugins and what they offer. Build it with :func:`load_plugins`."""

    def __init__(self) -> None:
        self.hooks = Hooks()
        self._backends: list[BackendOffer] | None = None
        self._stores: list[tuple[str, Store]] | None = None
        self._sources: list[tuple[str, Source]] | None = None
        self._available: dict[str, tuple[float, Availability]] = {}

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """All plugins that were found, by name, with what went wrong so far."""
        return self.hooks.records

    def add(self, name: str, load: Callable[[], object], distribution: str, version: str) -> None:
        """Load one more plugin; a failure is kept as its record."""
        self.hooks.add([FoundPlugin(name, load, distribution, version)])

    # --- backends --------------------------------------------------------------------------------

    def backends(self) -> list[BackendOffer]:
        """The backends of all plugins, the preferred first. A name that is taken is refused."""
        if self._backends is None:
            offered = self.named("gemmahub_backends", "backend", check_backend)
            self._backends = sorted(
                (BackendOffer(name, self.hooks.distribution(name), b) for name, b in offered),
                key=lambda o: (-o.backend.priority, o.backend.name),
            )
        return self._backends

    def backend(self, name: str) -> BackendOffer:
        """The backend with that name.

        Raises: BackendMissing, with the nearest names.
        """
        offers = {offer.backend.name: offer for offer in self.backends()}
        if name in offers:
            return offers[name]
        by_plugin = {offer.plugin: offer for offer in offers.values()}
        if name in by_plugin:
            return by_plugin[name]
        known = nearest(name, offers) or sorted(offers)
        hint = f"installed: {', '.join(known)}" if known else "see gemmahub plugins"
        raise BackendMissing(f"no backend is called {one_line(name)!r}", hint)

    def availability(self, offer: BackendOffer) -> Availability:
        """The backend's own answer; an exception in it is the reason why it is not available."""
        return self.availabilities([offer])[0]

    def availabilities(self, offers: Sequence[BackendOffer]) -> list[Availability]:
        """The answers of several, asked at the same time, and not again within a few seconds."""
        now = monotonic()
        names = [offer.backend.name for offer in offers]
        asked = [o for o in offers if self._age(o.backend.name, now) > _FRESH_SECONDS]
        calls = [Call(o.plugin, "availability()", o.backend.availability) for o in asked]
        for offer, outcome in zip(asked, self.hooks.call(calls), strict=True):
            try:
                if outcome.error is not None:
                    raise outcome.error
                answer = check_availability(outcome.value)
            except BaseException as error:  # noqa: BLE001 - third-party code, becomes a reason
                answer = Availability(
                    False, reason=said(error), hint=update_hint(offer.distribution)
                )
            self._available[offer.backend.name] = (now, answer)
        return [self._available[name][1] for name in names]

    def _age(self, backend: str, now: float) -> float:
        return now - self._available[backend][0] if backend in self._available else float("inf")

    def suits(self, offer: BackendOffer, artifact: Any) -> bool:
        """Whether a backend may be taken for an artifact without being named; one that raises may
        not."""
        call = Call(offer.plugin, "suits()", partial(offer.backend.suits, artifact))
        (outcome,) = self.hooks.call([call])
        return outcome.error is None and bool(outcome.value)

    def loadable(self, offer: BackendOffer, headers: Sequence[ModelFile]) -> list[Loadable]:
        """Whether a backend can load models with these headers; one that raises, or answers in
        another kind, is trusted to say it when it loads."""
        own = offer.backend.loadable
        if not _has_own(offer.backend, "loadable"):
            return [Loadable(True)] * len(headers)
        call = Call(offer.plugin, "loadable()", lambda: [own(header) for header in headers])
        (outcome,) = self.hooks.call([call])
        if outcome.error is not None:
            self.hooks.fail_call(call, outcome.error)
            return [Loadable(True)] * len(headers)
        return [check_loadable(answer) for answer in outcome.value]

    def ask_servers(self, method: str, *arguments: object) -> list[tuple[BackendOffer, Outcome]]:
        """What backends that have a method of their own say, such as ``loaded``; of one that does
        not work here the reason as the error."""
        servers = [offer for offer in self.backends() if _has_own(offer.backend, method)]
        answers = self.availabilities(servers)
        working = [o for o, answer in zip(servers, answers, strict=True) if answer.ok]
        calls = [
            Call(o.plugin, f"{method}()", partial(getattr(o.backend, method), *arguments))
            for o in working
        ]
        found = dict(zip((o.backend.name for o in working), self.hooks.call(calls), strict=True))
        return [
            (offer, found.get(offer.backend.name) or Outcome(error=BackendMissing(answer.reason)))
            for offer, answer in zip(servers, answers, strict=True)
        ]

    # --- stores and sources ----------------------------------------------------------------------

    def stores(self) -> list[tuple[str, Store]]:
        """The stores of all plugins, each with its plugin's name."""
        if self._stores is None:
            self._stores = self.named("gemmahub_stores", "store", guarded_store)
        return self._stores

    def sources(self) -> list[tuple[str, Source]]:
        """The places that models are pulled from, each with its plugin's name."""
        if self._sources is None:
            self._sources = self.named("gemmahub_sources", "source", check_source)
        return self._sources

    def inventories(self, stores: Sequence[tuple[str, Store]] | None = None) -> list[Inventory]:
        """What lies in these stores (all plugins'); one that fails is a broken entry."""
        chosen = self.stores() if stores is None else stores
        calls = [Call(p, "inventory()", store.inventory, patience(store)) for p, store in chosen]
        return [
            self._inventory(plugin, store, outcome)
            for (plugin, store), outcome in zip(chosen, self.hooks.call(calls), strict=True)
        ]

    def _inventory(self, plugin: str, store: Store, outcome: Outcome) -> Inventory:
        if outcome.error is None:
            return check_inventory(outcome.value, store.name)
        reason = said(outcome.error)
        hint = "run with GEMMAHUB_DEBUG=1 for details"
        self.hooks.fail(plugin, f"its store failed: {reason}", hint)
        return Inventory(broken=(BrokenEntry(Path(store.name), store.name, reason),))

    # --- doctor and commands ---------------------------------------------------------------------

    def checks(self, machine: Machine) -> list[CheckResult]:
        """The checks of all plugins for ``gemmahub doctor`` on that machine."""
        found = self._checked("gemmahub_checks", check_result, {"machine": machine})
        return [check for _, check in found]

    def commands(self, taken: Collection[str], library: Any) -> dict[str, click.Command]:
        """The commands of all plugins by their names; one whose name is ``taken`` is refused."""
        from gemmahub.engines.plugin_commands import commands_of

        return commands_of(self.hooks, taken, library)

    def settings(self) -> list[tuple[str, Setting]]:
        """The settings that plugins declare, each with its plugin's name."""
        from gemmahub.engines.plugin_settings import check_setting

        return self._checked("gemmahub_settings", check_setting)

    # --- what they have in common ----------------------------------------------------------------

    def named(self, hook: str, what: str, check: Callable[[Any], T]) -> list[tuple[str, T]]:
        """Records with a name, which only the first one may have."""
        found = [(plugin, record.name, record) for plugin, record in self._checked(hook, check)]  # type: ignore[attr-defined]

        def refuse(plugin: str, name: str, first: str) -> None:
            one, other = self.hooks.distribution(first), self.hooks.distribution(plugin)
            self.hooks.fail(
                plugin,
                f"{what} {name!r} is offered by both {one} and {other}; the first is used",
                f"uninstall one, or set {RESTRICT} to the plugins that you want",
            )

        return named_once(found, refuse)

    def _checked(
        self, hook: str, check: Callable[[Any], T], arguments: Mapping[str, object] = EMPTY
    ) -> list[tuple[str, T]]:
        """What a hook returns, without what is not as the contract says."""
        found: list[tuple[str, T]] = []
        for plugin, record in self.hooks.ask(hook, arguments):
            try:
                found.append((plugin, check(record)))
            except Exception as error:  # noqa: BLE001 - third-party code, kept as a record
                wrong = f"{hook}: {said(error)}".replace(": it is a", " returned a")
                self.hooks.fail(plugin, wrong, "report it to its authors")
        return found


def _has_own(backend: Backend, method: str) -> bool:
    return getattr(type(backend), method, None) is not getattr(Backend, method)


def load_plugins(
    only: Iterable[str] | None = None, disabled: Collection[str] = ()
) -> PluginManager:
    """Load the installed plugins that are not ``disabled``, restricted to ``only`` or to those
    named in ``GEMMAHUB_PLUGINS``; see :func:`gemmahub.engines.installed.to_be_loaded`."""
    manager = PluginManager()
    manager.hooks.add(to_be_loaded(manager.hooks, only, disabled))
    return manager

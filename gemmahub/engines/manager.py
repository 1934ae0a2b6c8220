"""Finds plugins, loads them one by one, and asks them: the only module that owns pluggy.

A plugin that fails, at import or in a hook, becomes a record with its reason. Nothing it does
reaches the caller as an exception.
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pluggy

from gemmahub.config import disabled_plugins
from gemmahub.engines import hookspecs
from gemmahub.engines.compatibility import check_contract, load_hint, update_hint
from gemmahub.engines.contract import (
    Availability,
    Backend,
    BrokenEntry,
    CheckResult,
    Inventory,
)
from gemmahub.errors import BackendMissing
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click

    from gemmahub.hardware.records import Machine


GROUP: Final = "gemmahub"
RESTRICT: Final = "GEMMAHUB_PLUGINS"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """One plugin as it is shown; ``state`` is ``ok``, ``failed`` or ``left out``."""

    name: str
    distribution: str
    version: str
    state: str
    offers: tuple[str, ...] = ()
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class BackendOffer:
    """A backend and the plugin that offers it."""

    plugin: str
    distribution: str
    backend: Backend


class PluginManager:
    """The loaded plugins and why others are not. Build it with :func:`load_plugins`."""

    def __init__(self) -> None:
        self._pluggy = pluggy.PluginManager(hookspecs.PROJECT)
        self._pluggy.add_hookspecs(hookspecs)
        self._records: dict[str, PluginRecord] = {}
        self._backends: list[BackendOffer] | None = None

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """All plugins that were found, by name, with what went wrong so far."""
        return tuple(self._records[name] for name in sorted(self._records))

    def add(self, name: str, load: Callable[[], object], distribution: str, version: str) -> None:
        """Load one plugin; a failure is kept as its record."""
        record = PluginRecord(name, distribution, version, "ok")
        self._records[name] = record
        try:
            with redirect_stdout(sys.stderr):  # what a module prints is no data of the command
                plugin = load()
            check_contract(plugin)
            self._pluggy.register(plugin, name=name)
            self._check_hooks(plugin)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - third-party code, kept as a record
            if self._pluggy.has_plugin(name):
                self._pluggy.unregister(name=name)
            self._fail(name, _reason(error), load_hint(error, distribution))
            return
        offers = tuple(caller.name for caller in self._pluggy.get_hookcallers(plugin) or ())
        self._records[name] = replace(record, offers=tuple(sorted(offers)))

    def leave_out(self, name: str, distribution: str, version: str, reason: str) -> None:
        """Record a plugin that was found and not loaded, because the user says so."""
        self._records[name] = PluginRecord(name, distribution, version, "left out", reason=reason)

    def backends(self) -> list[BackendOffer]:
        """The backends of all plugins, the preferred first. A name that is taken is refused."""
        if self._backends is None:
            taken: dict[str, BackendOffer] = {}
            for name, backend in self._ask("gemmahub_backends", Backend):
                offer = BackendOffer(name, self._records[name].distribution, backend)
                first = taken.setdefault(backend.name, offer)
                if first is not offer:
                    self._fail(
                        name,
                        f"backend {backend.name!r} is offered by both {first.distribution} "
                        f"and {offer.distribution}; the first is used",
                        f"uninstall one, or set {RESTRICT} to the plugins you want",
                    )
            self._backends = sorted(
                taken.values(), key=lambda o: (-o.backend.priority, o.backend.name)
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
        hint = f"installed: {', '.join(known)}" if known else "gemmahub plugins shows what is wrong"
        raise BackendMissing(f"no backend is called {one_line(name)!r}", hint)

    def availability(self, offer: BackendOffer) -> Availability:
        """The backend's own answer; an exception in it is the reason why it is not available."""
        try:
            answer = offer.backend.availability()
            if isinstance(answer, Availability):
                return answer
            reason = f"availability() returned {type(answer).__name__}"
        except (Exception, SystemExit) as error:  # noqa: BLE001 - third-party code, becomes a reason
            reason = _reason(error)
        return Availability(False, reason=reason, hint=update_hint(offer.distribution))

    def stores(self) -> list[tuple[str, Any]]:
        """The stores of all plugins, each with its plugin's name."""
        return self._ask("gemmahub_stores", object)

    def sources(self) -> list[tuple[str, Any]]:
        """The places that models are pulled from, each with its plugin's name."""
        return self._ask("gemmahub_sources", object)

    def inventories(self, stores: Iterable[tuple[str, Any]] | None = None) -> list[Inventory]:
        """What lies in these stores (all plugins'); one that raises is a broken entry."""
        chosen = self.stores() if stores is None else stores
        return [self._inventory(plugin, store) for plugin, store in chosen]

    def checks(self, machine: Machine) -> list[CheckResult]:
        """The checks of all plugins for ``gemmahub doctor`` on that machine."""
        return [check for _, check in self._ask("gemmahub_checks", CheckResult, machine=machine)]

    def add_commands(self, cli: click.Group) -> None:
        """Let each plugin add its commands."""
        for name, plugin in self._pluggy.list_name_plugin():
            if plugin is not None:
                self._call(name, plugin, "gemmahub_commands", cli=cli)

    def _inventory(self, plugin: str, store: Any) -> Inventory:
        try:
            answer = store.inventory()
            if isinstance(answer, Inventory):
                return answer
            reason = f"inventory() returned {type(answer).__name__}"
        except (Exception, SystemExit) as error:  # noqa: BLE001 - third-party code, becomes a row
            reason = _reason(error)
        self._fail(plugin, f"its store failed: {reason}", "run with GEMMAHUB_DEBUG=1 for details")
        from pathlib import Path

        name = str(getattr(store, "name", plugin))
        return Inventory(broken=(BrokenEntry(Path(name), name, reason),))

    def _ask(self, hook: str, kind: type[T], **arguments: object) -> list[tuple[str, T]]:
        answers: list[tuple[str, T]] = []
        for name, plugin in self._pluggy.list_name_plugin():
            if plugin is None:
                continue
            for answer in self._call(name, plugin, hook, **arguments):
                if isinstance(answer, kind):
                    answers.append((name, answer))
                else:
                    wrong = type(answer).__name__
                    self._fail(name, f"{hook} returned a {wrong}, not a {kind.__name__}", "")
        return answers

    def _call(self, name: str, plugin: object, hook: str, **arguments: object) -> Iterable[Any]:
        """What one plugin's hook returns; it gets those of the arguments that it names."""
        found = [
            implementation
            for implementation in getattr(self._pluggy.hook, hook).get_hookimpls()
            if implementation.plugin is plugin
        ]
        try:
            return tuple(
                answer
                for implementation in found
                for answer in implementation.function(
                    *(arguments[argument] for argument in implementation.argnames)
                )
                or ()
            )
        except (Exception, SystemExit) as error:  # noqa: BLE001 - third-party code, kept as a record
            self._fail(
                name,
                f"{hook} failed: {_reason(error)}",
                update_hint(self._records[name].distribution),
            )
            return ()

    def _check_hooks(self, plugin: object) -> None:
        callers = self._pluggy.get_hookcallers(plugin) or []
        unknown = [caller.name for caller in callers if not caller.has_spec()]
        if unknown:
            near = nearest(unknown[0], (h for h in dir(hookspecs) if h.startswith("gemmahub_")))
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise LookupError(f"no hook is called {unknown[0]}{meant}")

    def _fail(self, name: str, reason: str, hint: str) -> None:
        old = self._records[name]
        reasons = "; ".join(part for part in (old.reason, reason) if part)
        self._records[name] = replace(old, state="failed", reason=reasons, hint=hint or old.hint)


def _reason(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}")


def load_plugins(only: Iterable[str] | None = None) -> PluginManager:
    """Load the installed plugins, restricted to ``only`` or to those named in ``GEMMAHUB_PLUGINS``;
    without ``only`` those that the settings disable are left out, too.

    The variable holds entry-point names with commas; set but empty, it loads none.
    """
    manager = PluginManager()
    wanted, disabled = _wanted(only), disabled_plugins()
    taken: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, _distribution(p)[0])):
        distribution, version = _distribution(point)
        if taken.setdefault(point.name, distribution) != distribution:
            manager.add(
                f"{point.name} ({distribution})", _clash(point.name, taken), distribution, version
            )
        elif wanted is not None and point.name not in wanted:
            manager.leave_out(point.name, distribution, version, f"not named in {RESTRICT}")
        elif only is None and point.name in disabled:
            manager.leave_out(point.name, distribution, version, "disabled in the settings")
        else:
            manager.add(point.name, point.load, distribution, version)
    return manager


def _wanted(only: Iterable[str] | None) -> set[str] | None:
    if only is not None:
        return set(only)
    restriction = os.environ.get(RESTRICT)
    if restriction is None:
        return None
    return {name.strip() for name in restriction.split(",") if name.strip()}


def _distribution(point: EntryPoint) -> tuple[str, str]:
    dist = point.dist
    return (dist.name, dist.version) if dist is not None else (point.module, "")


def _clash(name: str, taken: dict[str, str]) -> Callable[[], object]:
    def refuse() -> object:
        raise LookupError(f"the plugin name {name!r} is already taken by {taken[name]}")

    return refuse

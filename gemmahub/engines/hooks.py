"""Loads plugins and calls their hooks, all at the same time: the only module that owns pluggy.

A plugin that fails, at import or in a hook, or takes too long, becomes a record with its reason.
Nothing it does reaches the caller as an exception, and nothing it prints reaches standard output.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pluggy

from gemmahub.engines import hookspecs
from gemmahub.engines.compatibility import check_contract, load_hint, update_hint
from gemmahub.engines.validation import MOST_RECORDS
from gemmahub.errors import GemmahubError
from gemmahub.in_time import Outcome, TookTooLong, in_time
from gemmahub.records.parsing import Unfit
from gemmahub.text import nearest, one_line
from gemmahub.text.streams import kept_quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

EMPTY: Final[Mapping[str, object]] = {}
CALL_SECONDS: Final = 2.0
"""How long a plugin may take to be imported, in a hook, and when it is asked what there is."""


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """One plugin as it is shown; ``state`` is ``ok``, ``failed``, ``left out`` or ``disabled``."""

    name: str
    distribution: str
    version: str
    state: str
    offers: tuple[str, ...] = ()
    reason: str = ""
    hint: str = ""


class FoundPlugin(NamedTuple):
    """An entry point: its name, what imports it, and the distribution that it is of."""

    name: str
    load: Callable[[], object]
    distribution: str
    version: str


class Call(NamedTuple):
    """A call of a plugin's code; ``what`` names it in messages, ``seconds`` is how long it may
    take, None as long as calls usually may."""

    plugin: str
    what: str
    function: Callable[[], Any]
    seconds: float | None = None

    @property
    def limit(self) -> float:
        """How long it may take, in seconds."""
        return CALL_SECONDS if self.seconds is None else self.seconds


class Hooks:
    """The loaded plugins, why others are not, and their hooks."""

    def __init__(self) -> None:
        self._pluggy = pluggy.PluginManager(hookspecs.PROJECT)
        self._pluggy.add_hookspecs(hookspecs)
        self._records: dict[str, PluginRecord] = {}
        self._given_up: set[str] = set()

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """All plugins that were found, by name, with what went wrong so far."""
        return tuple(self._records[name] for name in sorted(self._records))

    def record(self, record: PluginRecord) -> None:
        """Keep what is said of a plugin that is not loaded."""
        self._records[record.name] = record

    def of(self, plugin: str) -> PluginRecord:
        """What is said of a plugin."""
        return self._records[plugin]

    def distribution(self, plugin: str) -> str:
        """The distribution that a plugin is of."""
        return self._records[plugin].distribution

    def add(self, found: Sequence[FoundPlugin]) -> None:
        """Load plugins; a failure is kept as its record."""
        for plugin in found:
            self.record(PluginRecord(plugin.name, plugin.distribution, plugin.version, "ok"))
        outcomes = self.call([Call(p.name, "its import", p.load) for p in found])
        for plugin, outcome in zip(found, outcomes, strict=True):
            self._take(plugin, outcome)

    def _take(self, plugin: FoundPlugin, outcome: Outcome) -> None:
        name, module = plugin.name, outcome.value
        try:
            if outcome.error is not None:
                raise outcome.error
            check_contract(module)
            self._pluggy.register(module, name=name)
            self._check_hooks(module)
        except BaseException as error:  # noqa: BLE001 - third-party code, kept as a record
            if self._pluggy.has_plugin(name):
                self._pluggy.unregister(name=name)
            if name not in self._given_up:
                self.fail(name, reason_of(error), load_hint(error, plugin.distribution))
            return
        offers = tuple(caller.name for caller in self._pluggy.get_hookcallers(module) or ())
        self.record(replace(self._records[name], offers=tuple(sorted(offers))))

    def ask(
        self,
        hook: str,
        arguments: Mapping[str, object] = EMPTY,
        own: Callable[[str], Mapping[str, object]] = lambda plugin: EMPTY,
    ) -> list[tuple[str, Any]]:
        """What a hook of all plugins returns, record by record, each with its plugin's name.

        ``own`` gives the arguments that each plugin has for itself.
        """
        calls = [
            Call(name, hook, partial(self._returned, plugin, hook, {**arguments, **own(name)}))
            for name, plugin in self._pluggy.list_name_plugin()
            if plugin is not None
        ]
        answers: list[tuple[str, Any]] = []
        for call, outcome in zip(calls, self.call(calls), strict=True):
            if outcome.error is None:
                answers += [(call.plugin, answer) for answer in outcome.value]
            else:
                self.fail_call(call, outcome.error)
        return answers

    def call(self, calls: Sequence[Call]) -> list[Outcome]:
        """Call plugins' code, all at the same time; one that was given up is not called again."""
        asked = [call for call in calls if call.plugin not in self._given_up]
        seconds = max((call.limit for call in asked), default=CALL_SECONDS)
        found = iter(in_time(seconds, [partial(_quietly, call.function) for call in asked]))
        outcomes = []
        for call in calls:
            if call.plugin in self._given_up and call not in asked:
                outcomes.append(Outcome(error=TookTooLong("it was too slow before")))
                continue
            outcome = next(found)
            if isinstance(outcome.error, TookTooLong):
                self._given_up.add(call.plugin)
                self.fail_call(call, outcome.error)
            outcomes.append(outcome)
        return outcomes

    def fail_call(self, call: Call, error: BaseException) -> None:
        """Keep as the plugin's failure what a call of it raised."""
        hint = update_hint(self.distribution(call.plugin))
        if not isinstance(error, TookTooLong):
            self.fail(call.plugin, f"{call.what} failed: {reason_of(error)}", hint)
        elif f"{call.what} took" not in self._records[call.plugin].reason:
            self.fail(call.plugin, f"{call.what} took longer than {call.limit:g} s", hint)

    def fail(self, name: str, reason: str, hint: str = "") -> None:
        """Keep a reason why a plugin, or a part of it, does not work."""
        old = self._records[name]
        if reason in old.reason:
            return
        reasons = "; ".join(part for part in (old.reason, reason) if part)
        self.record(replace(old, state="failed", reason=reasons, hint=hint or old.hint))

    def _returned(self, plugin: object, hook: str, arguments: dict[str, object]) -> list[Any]:
        """What one plugin's hook returns; it gets those of the arguments that it names."""
        found = (
            implementation
            for implementation in getattr(self._pluggy.hook, hook).get_hookimpls()
            if implementation.plugin is plugin
        )
        returned: list[Any] = []
        for implementation in found:
            given = (arguments[argument] for argument in implementation.argnames)
            answer = implementation.function(*given)
            if isinstance(answer, str | bytes | dict):
                raise TypeError(f"it returned a {type(answer).__name__}, not a list of records")
            returned += islice(answer or (), MOST_RECORDS)
        return returned

    def _check_hooks(self, plugin: object) -> None:
        callers = self._pluggy.get_hookcallers(plugin) or []
        unknown = [caller.name for caller in callers if not caller.has_spec()]
        if unknown:
            near = nearest(unknown[0], (h for h in dir(hookspecs) if h.startswith("gemmahub_")))
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise LookupError(f"no hook is called {unknown[0]}{meant}")


def reason_of(error: BaseException) -> str:
    """An exception in one line."""
    return one_line(f"{type(error).__name__}: {error}", 300)


def said(error: BaseException) -> str:
    """A reason in words: an exception's own where it is one of ours."""
    if isinstance(error, GemmahubError):
        return error.message
    return str(error) if isinstance(error, Unfit | TookTooLong) else reason_of(error)


def _quietly(function: Callable[[], Any]) -> Any:
    with kept_quiet():
        return function()


def named_once(
    offers: Iterable[tuple[str, str, Any]], refuse: Callable[[str, str, str], None]
) -> list[tuple[str, Any]]:
    """Of (plugin, name, record) those whose name is the first of its kind; ``refuse`` hears of the
    others: plugin, name, and the plugin that was first."""
    taken: dict[str, str] = {}
    found = []
    for plugin, name, record in offers:
        if name in taken:
            refuse(plugin, name, taken[name])
        else:
            taken[name] = plugin
            found.append((plugin, record))
    return found

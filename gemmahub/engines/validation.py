"""What plugins say, looked at before anybody believes it: one door for all their records.

Each function gives the record back, with its texts on one line, or raises
:class:`~gemmahub.records.parsing.Unfit` with the reason in words.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gemmahub.engines.contract import (
    Artifact,
    Availability,
    Backend,
    BrokenEntry,
    CheckResult,
    Inventory,
    Loadable,
    LoadedModel,
    Option,
    ServedModel,
)
from gemmahub.records.parsing import Unfit, checked
from gemmahub.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

MOST_RECORDS: Final = 100_000
"""Records of one kind that one plugin may give."""
_LONGEST: Final = 300
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")
_SCHEME: Final = re.compile(r"(?!(?:https?|hf|file)$)[a-z][a-z0-9+.-]{0,39}")
_LARGEST: Final = 1 << 63
_STATES: Final = ("ok", "warning", "failed")


def check_backend(backend: object) -> Backend:
    """A backend whose class data are what the contract says."""
    if not isinstance(backend, Backend):
        raise Unfit(f"it is a {type(backend).__name__}, not a Backend")
    name = check_name(getattr(backend, "name", None))
    for data in ("formats", "capabilities"):
        _texts(f"{data} of {name}", getattr(backend, data))
    for flag in ("in_process", "automatic"):
        if type(getattr(backend, flag)) is not bool:
            raise Unfit(f"{flag} of {name} is not true or false")
    if type(backend.priority) is not int:
        raise Unfit(f"priority of {name} is not a whole number")
    if not isinstance(backend.checked_version, str):
        raise Unfit(f"checked_version of {name} is not text")
    if isinstance(backend.options, str) or not all(
        isinstance(option, Option)
        and isinstance(option.name, str)
        and isinstance(option.type, type)
        for option in backend.options
    ):
        raise Unfit(f"options of {name} are not all Options")
    return backend


def check_name(name: object) -> str:
    """The name of a backend, store or source."""
    if not isinstance(name, str):
        raise Unfit(f"its name is {_short(name)}, not a text")
    if not _NAME.fullmatch(name):
        raise Unfit(f"its name is {_short(name)}: use letters, digits, . _ + and -")
    return name


def check_availability(answer: object) -> Availability:
    """An answer of ``availability()``."""
    if not isinstance(answer, Availability):
        raise Unfit(f"availability() returned {type(answer).__name__}")
    if type(answer.ok) is not bool:
        raise Unfit(f"availability() says {_short(answer.ok)}, which is not true or false")
    for text in (answer.version, answer.reason, answer.hint, answer.commit):
        if not isinstance(text, str):
            raise Unfit(f"availability() says {_short(text)}, which is not a text")
    return _shown(answer)


def check_loadable(answer: object) -> Loadable:
    """An answer of ``loadable()``; what makes no sense says nothing against the file."""
    if not isinstance(answer, Loadable) or type(answer.ok) is not bool:
        return Loadable(True)
    texts = isinstance(answer.reason, str) and isinstance(answer.hint, str)
    return _shown(answer) if texts else Loadable(True)


def check_inventory(answer: object, store: str) -> Inventory:
    """An inventory; of its records those that are no artifacts are broken entries."""
    if not isinstance(answer, Inventory):
        raise Unfit(f"inventory() returned {type(answer).__name__}")
    artifacts: list[Artifact] = []
    broken: list[BrokenEntry] = []
    for record in _listed(answer.artifacts):
        try:
            artifacts.append(_artifact(record))
        except Unfit as error:
            broken.append(BrokenEntry(_path_of(record, store), store, str(error)))
    for record in _listed(answer.broken):
        try:
            broken.append(_shown(checked(record, BrokenEntry)))
        except Unfit as error:
            broken.append(BrokenEntry(_path_of(record, store), store, str(error)))
    return Inventory(tuple(artifacts), tuple(broken))


def check_served(
    answer: object, backend: str
) -> tuple[list[ServedModel], list[BrokenEntry], list[str]]:
    """The models that servers offer, each under a reference of its own; servers that fail; why
    other records are neither."""
    found: dict[str, ServedModel] = {}
    broken: list[BrokenEntry] = []
    reasons = []
    for record in _listed(answer):
        try:
            if isinstance(record, BrokenEntry):
                broken.append(replace(_shown(checked(record, BrokenEntry)), store=backend))
                continue
            model = _served(record, backend)
            if model.reference in found:
                raise Unfit(f"two models are called {model.reference}")
            found[model.reference] = model
        except Unfit as error:
            reasons.append(str(error))
    return list(found.values()), broken, reasons


def check_loaded(answer: object, backend: str) -> list[LoadedModel]:
    """What a server holds in memory."""
    found = []
    for record in _listed(answer):
        model = checked(record, LoadedModel)
        for count in (model.memory_bytes, model.device_bytes, model.context):
            _count(count, "a figure")
        found.append(replace(_shown(model), backend=backend))
    return found


def check_source(source: Any) -> Any:
    """A place that models are pulled from: its name, schemes and methods."""
    name = check_name(getattr(source, "name", None))
    schemes = getattr(source, "schemes", None)
    if isinstance(schemes, str) or not isinstance(schemes, tuple | list | set | frozenset):
        raise Unfit(f"the schemes of the source {name} are {_short(schemes)}, not a list of texts")
    for scheme in schemes:
        if not isinstance(scheme, str) or not _SCHEME.fullmatch(scheme):
            raise Unfit(f"the source {name} cannot answer for the scheme {_short(scheme)}")
    for method in ("find", "open", "landing", "pull"):
        if not callable(getattr(source, method, None)):
            raise Unfit(f"the source {name} has no {method}()")
    return source


def check_result(record: object) -> CheckResult:
    """A line of doctor."""
    found = _shown(checked(record, CheckResult))
    if found.status not in _STATES:
        raise Unfit(f"the status of a check is one of {', '.join(_STATES)}, not {found.status!r}")
    return found


def _served(record: object, backend: str) -> ServedModel:
    model = checked(record, ServedModel)
    scheme, separator, rest = model.reference.partition("://")
    if not separator or not rest or not _SCHEME.fullmatch(scheme):
        raise Unfit(f"a served model is named SERVER://NAME, not {_short(model.reference)}")
    if not model.reference.isprintable() or " " in model.reference:
        raise Unfit(f"the reference {_short(model.reference)} has blanks or control characters")
    if model.backend != backend:
        raise Unfit(f"{model.reference} is of the backend {_short(model.backend)}")
    if not model.name:
        raise Unfit(f"{model.reference} has no name")
    for size in (model.context, model.context_trained):
        _count(size, "context")
    # Its own name is sent back to the server as it is.
    return replace(_shown(model), name=model.name, reference=model.reference)


def _artifact(record: object) -> Artifact:
    found = checked(record, Artifact)
    texts = {
        name: _line(getattr(found, name))
        for name in ("format", "name", "store", "repository", "revision", "reference")
    }
    return replace(found, **texts)  # type: ignore[arg-type]


def _listed(answer: object) -> list[Any]:
    if isinstance(answer, str | bytes | dict) or not hasattr(answer, "__iter__"):
        raise Unfit(f"it returned {_short(answer)}, not a list of records")
    found: list[Any] = []
    for record in answer:
        if len(found) == MOST_RECORDS:
            raise Unfit(f"it returned more than {MOST_RECORDS:,} records")
        found.append(record)
    return found


def _texts(what: str, value: object) -> None:
    if isinstance(value, str):
        raise Unfit(f"{what} is the text {value!r}; write ({value!r},)")
    if not isinstance(value, tuple | list | set | frozenset):
        raise Unfit(f"{what} is {_short(value)}, not a list of texts")
    for text in value:
        if not isinstance(text, str) or not _NAME.fullmatch(text):
            raise Unfit(f"{what} has {_short(text)}, which is not a name")


def _count(number: int | None, what: str) -> None:
    if number is not None and not 0 <= number < _LARGEST:
        raise Unfit(f"{what} of {number:,} cannot be")


def _shown(record: T) -> T:
    """The record with its texts as they can be shown."""
    texts = {
        entry.name: _line(value)
        for entry in fields(record)  # type: ignore[arg-type]
        if isinstance(value := getattr(record, entry.name), str)
    }
    return replace(record, **texts)  # type: ignore[type-var]


def _line(text: str) -> str:
    return text if len(text) <= _LONGEST and text.isprintable() else one_line(text, _LONGEST)


def _path_of(record: object, store: str) -> Path:
    from pathlib import Path

    path = getattr(record, "path", None)
    return path if isinstance(path, Path) else Path(store)


def _short(value: object) -> str:
    return one_line(repr(value), 60)

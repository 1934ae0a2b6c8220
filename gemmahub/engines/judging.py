"""Which models the engines here can load, by their headers: asked before anything is promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.engines.contract import Backend, Loadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.contract import Artifact
    from gemmahub.engines.manager import BackendOffer, PluginManager
    from gemmahub.formats.reader import ModelFile


def problems_of(
    manager: PluginManager, asked: Sequence[tuple[ModelFile, Sequence[Artifact]]]
) -> list[Loadable]:
    """For each header, with the places of its model, whether an engine here can load it; so it is
    where there is no engine of its format.

    An engine that is only for some places (those of a store) counts where it is available.
    """
    found = [Loadable(True)] * len(asked)
    for format_ in {header.format for header, _ in asked}:
        numbers = [n for n, (header, _) in enumerate(asked) if header.format == format_]
        headers = [asked[n][0] for n in numbers]
        answers: list[tuple[BackendOffer, list[Loadable]]] = []
        for offer in manager.backends():
            if format_ in offer.backend.formats and for_any_place(offer):
                answers.append((offer, manager.loadable(offer, headers)))
        for place, number in enumerate(numbers):
            each = [(offer, loadable[place]) for offer, loadable in answers]
            if each and not any(answer.ok for _, answer in each):
                problem = Loadable(False, refused_by(each), each[0][1].hint)
                found[number] = _elsewhere(manager, *asked[number], problem)
    return found


def refused_by(answers: Sequence[tuple[BackendOffer, Loadable]]) -> str:
    """Which engines cannot load a file, and why: engines with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for offer, answer in answers:
        reasons.setdefault(answer.reason or "it gave no reason", []).append(offer.backend.name)
    return "; ".join(
        f"{' and '.join(names)} here cannot load it: {reason}" for reason, names in reasons.items()
    )


def for_any_place(offer: BackendOffer) -> bool:
    """Whether a backend is not only for files of some places, such as those of one store."""
    return offer.backend.automatic and not for_some_places(offer)


def for_some_places(offer: BackendOffer) -> bool:
    """Whether a backend is for files of some places, such as the store that it shares."""
    return type(offer.backend).suits is not Backend.suits


def _elsewhere(
    manager: PluginManager, header: ModelFile, places: Sequence[Artifact], problem: Loadable
) -> Loadable:
    """The problem, with those whose store it is; none where one of them can load it and works."""
    for offer in manager.backends():
        if header.format not in offer.backend.formats or for_any_place(offer):
            continue
        if not any(manager.suits(offer, place) for place in places):
            continue
        (loadable,) = manager.loadable(offer, [header])
        works = manager.availability(offer)
        if loadable.ok and works.ok:
            return loadable
        if loadable.ok:
            name = offer.backend.name
            reason = f"{problem.reason}; {name} could, and does not work here: {works.reason}"
            hint = f"{works.hint}; then --backend {name} runs it" if works.hint else problem.hint
            problem = Loadable(False, reason, hint)
    return problem

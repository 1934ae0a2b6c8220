"""LM Studio's virtual models: one name for the files of a model in several formats and precisions.

Source: lmstudio-ai/docs@c1dc7d3f ``0_app/3_modelyaml/index.md``. In LM Studio's home the file
``hub/models/OWNER/NAME/model.yaml`` has a list ``base``, each entry with a ``key`` (the repository
in small letters) and ``sources`` (``user`` and ``repo``). A variant is called ``OWNER/NAME@LABEL``,
as LM Studio's own lists do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from gemmahub.http.values import object_of
from gemmahub.precision.labels import label_in_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from gemmahub.engines.contract import Artifact

_LARGEST: Final = 64 << 10
"""Bytes of a ``model.yaml``; real ones have two or three thousand."""
_MOST_BASES: Final = 100


def virtual_models(artifacts: Sequence[Artifact], places: Iterable[Path]) -> list[Artifact]:
    """The models once more, by the names of virtual models that rest on them.

    One file has the plain name; of several each has its label in it, and those with the same label
    only their own names. ``places`` are LM Studio's home, and where else a ``hub`` may be.
    """
    found: list[Artifact] = []
    of_repository: defaultdict[str, list[Artifact]] = defaultdict(list)
    for artifact in artifacts:
        if artifact.repository:
            of_repository[artifact.repository.casefold()].append(artifact)
    for name, bases in _described(places):
        files = (a for base in bases for a in of_repository.get(base, ()))
        under = sorted((a for a in files if a.repository != name), key=lambda a: a.path)
        labels = Counter(map(_label, under))
        for artifact in under:
            label = _label(artifact)
            if len(under) == 1:
                found.append(replace(artifact, repository=name, reference=name))
            elif label and labels[label] == 1:
                found.append(replace(artifact, repository=name, reference=f"{name}@{label}"))
    return found


def _label(artifact: Artifact) -> str:
    names = (artifact.name, artifact.repository)
    return next((label.casefold() for name in names if (label := label_in_name(name))), "")


def _described(places: Iterable[Path]) -> Iterator[tuple[str, frozenset[str]]]:
    """The virtual models that are described here, each with the repositories that it rests on."""
    seen = set[str]()
    for place in places:
        for path in sorted((place / "hub" / "models").glob("*/*/model.yaml")):
            name = f"{path.parent.parent.name}/{path.parent.name}"
            if name not in seen:
                seen.add(name)
                yield name, frozenset(_bases(path))


@cache
def _loader() -> Any:
    """libyaml's, which is ten times as fast: a list of models has two seconds for all of them. It
    does not merge (``<<``): with PyYAML 6.0.3 seven levels of nine merges each took 3 s, and each
    further level ten times as long."""
    import yaml

    class PlainLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def flatten_mapping(self, node: Any) -> None:
            """Nothing: a ``<<`` is then a key that no loader knows."""

    return PlainLoader


def _bases(path: Path) -> Iterator[str]:
    """The repositories on which a virtual model rests; none for a file that is not understood."""
    import yaml

    try:
        if path.stat().st_size > _LARGEST:
            return
        base = yaml.load(path.read_bytes(), _loader())["base"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError, yaml.YAMLError):
        return
    for entry in (base if isinstance(base, list) else [base])[:_MOST_BASES]:
        given: dict[Any, Any] = entry if isinstance(entry, dict) else {"key": entry}
        if isinstance(key := given.get("key"), str):
            yield key.casefold()
        sources = given.get("sources")
        for source in sources[:_MOST_BASES] if isinstance(sources, list) else ():
            user, repository = (object_of(source).get(name) for name in ("user", "repo"))
            if isinstance(user, str) and isinstance(repository, str):
                yield f"{user}/{repository}".casefold()

"""The places that models are pulled from: the scheme of a reference chooses one."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gemmahub.errors import GemmahubError
from gemmahub.hub.reference import HUB_SCHEME, HuggingFaceReference, names_the_hub
from gemmahub.registry.reference import NameReference, SourceReference
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gemmahub.engines.sources import Source


class Sources:
    """Sources in their order; ``find`` is asked for them when one is needed first.

    Where a reference has no scheme it is for the first with the scheme ``hf``: the forms of Hugging
    Face, and names of the catalogue, whose files are there.
    """

    def __init__(self, find: Callable[[], Iterable[Any]] = tuple) -> None:
        self._find = find

    @cached_property
    def all(self) -> tuple[Source, ...]:
        """All of them."""
        return tuple(self._find())

    def of(self, reference: str) -> Source | None:
        """The one that answers for a reference: the first with its scheme."""
        scheme, separator, _ = reference.partition("://")
        if not separator or names_the_hub(reference):
            scheme = HUB_SCHEME
        return next((s for s in self.all if scheme in getattr(s, "schemes", ())), None)

    def full_names(
        self, reference: NameReference | SourceReference | HuggingFaceReference
    ) -> tuple[str, ...]:
        """What a reference is called with nothing left out: a bare name perhaps by several sources,
        a reference with a scheme by its own, in one way.

        Raises: GemmahubError for a source that is defective.
        """
        if isinstance(reference, NameReference):
            found = (_in_full(source, str(reference)) for source in self.all)
            return tuple(name for name in found if name is not None)
        source = self.of(str(reference))
        full = None if source is None else _in_full(source, str(reference).partition("://")[2])
        return (full or str(reference),)


def _in_full(source: Source, name: str) -> str | None:
    bare = getattr(source, "bare", None)
    if bare is None:
        return None
    with guarded(source):
        full: str | None = bare(name)
        return full


@contextmanager
def guarded(source: Source) -> Iterator[None]:
    """What is no GemmahubError becomes one that names the source."""
    try:
        yield
    except GemmahubError:
        raise
    except Exception as error:
        name = one_line(str(getattr(source, "name", "a source")), 40)
        raise GemmahubError(
            one_line(f"the source {name} failed: {type(error).__name__}: {error}"),
            "this is a bug in its plugin: report it; GEMMAHUB_DEBUG=1 shows more",
        ) from error

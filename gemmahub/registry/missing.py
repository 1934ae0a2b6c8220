"""What is said of models that are not here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import NotFound, NotInstalled
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from gemmahub.catalog.published import PublishedTag
    from gemmahub.catalog.records import Catalog
    from gemmahub.registry.reference import NameReference


def no_such_name(catalog: Catalog, reference: NameReference) -> NotFound:
    """The failure of a name that nobody has, with the nearest ones."""
    names = [m.name for m in catalog.models]
    tags = [t.tag for t in catalog.published_tags]
    near = nearest(str(reference), [*names, *tags]) or nearest(reference.name, names)
    hint = f"did you mean {', '.join(near)}?" if near else "gemmahub list --all shows the catalogue"
    return NotFound(f"no model is called {one_line(str(reference))!r}", hint)


def not_here(catalog: Catalog, tag: PublishedTag) -> NotInstalled:
    """The failure of a tag that a registry has and this machine has not."""
    kind = {"QAT": " QAT", "PTQ": " (post-training)"}.get(tag.training, "")
    model = catalog.model(tag.model)
    better = [v for v in (model.variants if model else ()) if v.training == "QAT"]
    hint = f"the QAT build is {better[0].reference}" if better and tag.training != "QAT" else ""
    inside = f" with {tag.inside}" if tag.inside else ""
    return NotInstalled(
        f"{tag.tag} is {tag.label}{kind}{inside}, {tag.size} in {tag.place}, "
        "and it is not on this machine",
        hint or f"the same model in the catalogue: {tag.model}",
        tag.reference,
    )

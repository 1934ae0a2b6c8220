"""The core registry: catalogue and stores joined into variants with their precision."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gemmahub.engines.contract import Artifact, BrokenEntry
from gemmahub.engines.servers import ServedModels
from gemmahub.errors import (
    GemmahubError,
    IntegrityError,
    NotFound,
    NotInstalled,
    UsageError,
)
from gemmahub.formats.split import gguf_parts, split_key
from gemmahub.registry.companions import parted
from gemmahub.registry.declared import (
    declared,
    download_of,
    known_training,
    licence_of,
    training_then,
)
from gemmahub.registry.joining import join_places
from gemmahub.registry.judged import Problems, judged, no_problems
from gemmahub.registry.matching import (
    called,
    catalogue_notes,
    catalogued,
    is_named,
    member_here,
    named_places,
    on_disk,
    replaced_file,
)
from gemmahub.registry.missing import no_such_name, not_here
from gemmahub.registry.reference import (
    NameReference,
    PathReference,
    SourceReference,
    parse_reference,
    unknown_scheme,
)
from gemmahub.registry.served import missing_at_server, named_model, served_variants
from gemmahub.registry.sources import Sources
from gemmahub.registry.unread import summary_here
from gemmahub.registry.variants import Models, Variant
from gemmahub.stores.scan import projector_beside
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gemmahub.catalog.records import Catalog, Model
    from gemmahub.engines.contract import Inventory
    from gemmahub.hub.reference import HuggingFaceReference
    from gemmahub.registry.artifacts import FileSummary, Inspector
    from gemmahub.stores.identity import ContentSums


@dataclass(slots=True)
class Registry:
    """Joins the catalogue with what the stores hold now. Stores are asked once."""

    catalog: Catalog
    inventories: Callable[[], Iterable[Inventory]]
    inspector: Inspector
    sums: ContentSums | None = None
    sources: Sources = field(default_factory=Sources)
    servers: Callable[[], ServedModels] = ServedModels
    problems: Problems = no_problems
    model_in: Callable[[str], str] = str  # of a preset's name its model's reference
    _installed: Models | None = field(default=None, init=False)

    def installed(self) -> Models:
        """What is on this machine. A model in several places is one variant with several."""
        if self._installed is None:
            found: list[Variant] = []
            broken: list[BrokenEntry] = []
            for inventory in self.inventories():
                broken += inventory.broken
                for artifact in inventory.artifacts:
                    try:
                        found.append(self._measured(artifact))
                    except (GemmahubError, OSError) as error:
                        reason = one_line(str(error))
                        broken.append(BrokenEntry(artifact.path, artifact.store, reason))
            self.inspector.save()
            models, others = parted(join_places(found, self.sums))
            self._installed = Models(judged(models, self.problems), tuple(broken), tuple(others))
        return self._installed

    def models(self, *, catalogue: bool = False) -> Models:
        """What is installed or served; with ``catalogue`` also what is neither."""
        installed, served = self.installed(), self.servers()
        here = (*installed.variants, *served_variants(served.models, installed))
        broken = (*installed.broken, *served.broken)
        if not catalogue:
            return Models(here, broken, installed.companions)
        have = {variant.reference for variant in installed.variants}
        known = [
            declared(self.catalog, model, variant)
            for model in self.catalog.models
            for variant in model.variants
            if variant.reference not in have
        ]
        return Models((*here, *known), broken, installed.companions)

    def known(self, reference: str) -> Variant:
        """The variant that is installed, or else catalogued, under this very reference.

        Raises: KeyError when there is none.
        """
        for variant in self.installed().files:
            if variant.reference == reference:
                return variant
        name, _, variant_name = reference.partition(":")
        model, known = self.catalog.model(name), self.catalog.variant(name, variant_name)
        if model is None or known is None:
            raise KeyError(reference)
        return declared(self.catalog, model, known)

    def at(self, path: Path) -> Variant | None:
        """What a store has at a path, with the store."""
        place = path.absolute()
        for variant in self.installed().files:
            if any(artifact.path.absolute() == place for artifact in variant.artifacts):
                return variant
        return None

    def open_name(self, text: str) -> str | None:
        """The catalogue's name of a model without a variant: which one is left open; None for all
        else. Raises: UsageError for no reference."""
        reference = parse_reference(self.model_in(text))
        if not isinstance(reference, NameReference) or reference.variant is not None:
            return None
        return reference.name if self.catalog.model(reference.name) is not None else None

    def resolve(self, text: str) -> Variant:
        """The variant that a reference names; of a name without one what is installed, QAT first.

        Of the places where it is, the one that was named comes first: two tags of the same weights
        may differ in what else they hold. Bare weights come before those of a tag.

        Raises: UsageError for no reference; NotFound, with the nearest names; what reading a file
        raises.
        """
        text = self.model_in(text)
        try:
            reference = parse_reference(text)
        except UsageError:
            if (path := on_disk(text)) is None:
                raise
            reference = PathReference(path)
        if isinstance(reference, PathReference):
            return self._file(reference.path)
        if isinstance(reference, NameReference):
            found = self._name(reference)
        elif isinstance(reference, SourceReference):
            found = self._from_source(reference)
        else:
            found = self._repository(reference, text)
        if len(found.artifacts) < 2:
            return found
        named = self.places_named(text, found)
        rest = (place for place in found.artifacts if place not in named)
        whole = sorted(rest, key=lambda place: bool(place.parts))  # bare weights first
        return replace(found, artifacts=(*named, *whole))

    def places_named(self, text: str, variant: Variant) -> tuple[Artifact, ...]:
        """Of the places of a variant those that a reference names itself, by the name that a store
        has for it, by a path or a revision; none where it names the model.

        Raises: as :meth:`resolve`.
        """
        return named_places(text, variant.artifacts, self.sources)

    # --- from a file ---------------------------------------------------------------------------

    def _file(self, path: Path) -> Variant:
        parts = tuple(gguf_parts(path)) if split_key(path.name) else ()
        file = Artifact(format="", path=path, files=parts, projector=projector_beside(path))
        variant = self._measured(file)
        self.inspector.save()
        return judged([variant], self.problems)[0]

    def _measured(self, artifact: Artifact) -> Variant:
        summary = summary_here(self.inspector, artifact)
        if artifact.sha256 is None and self.sums is not None and len(artifact.files) == 1:
            artifact = replace(artifact, sha256=self.sums.known(artifact.files[0]))
        return self.described(artifact, summary)

    def described(self, artifact: Artifact, summary: FileSummary) -> Variant:
        """The variant that a file is, with what the catalogue knows of it. Reads nothing."""
        known = catalogued(self.catalog, artifact, summary)
        was, outdated = replaced_file(self.catalog, artifact, summary, known)
        training = known_training(known, artifact) if known else training_then(was, outdated)
        evidence = summary.evidence(artifact.repository, artifact.path.name, training)
        artifact = replace(
            artifact,
            format=summary.format,
            files=artifact.files or (artifact.path,),
            name=artifact.name or artifact.path.stem,
        )
        entry = known or was
        model = self.catalog.model(entry.model) if entry else None
        member = None if entry else member_here(self.catalog, artifact, summary)
        notes = catalogue_notes(self.catalog, artifact, entry, replaced=not known)
        return Variant(
            reference=known.reference if known else artifact.reference or str(artifact.path),
            name=one_line(model.title if model else summary.name or artifact.name),
            format=summary.format,
            parameters=summary.parameters,
            size_bytes=summary.size_bytes,
            precision=summary.report(evidence),
            architecture=summary.architecture(),
            capabilities=tuple(summary.capabilities(projector=artifact.projector is not None)),
            chat_template=summary.chat_template,
            artifacts=(artifact,),
            download=download_of(known) if known else "",
            licence=licence_of(self.catalog, model, member),
            notes=summary.notes + notes,
            memory=summary.memory,
            kind=summary.kind,
            what=summary.what,
            header=summary.header(artifact.files),
            problem=outdated.aborts if outdated else "",
            remedy=outdated.remedy if outdated else "",
            outdated=outdated,
            member=member,
        )

    # --- from a name ---------------------------------------------------------------------------

    def _name(self, reference: NameReference) -> Variant:
        model = self.catalog.model(reference.name)
        if model is None:
            if found := called(self.installed().files, *self.sources.full_names(reference)):
                return found
            if (path := on_disk(str(reference))) is not None:
                return self._file(path)
            if tag := self.catalog.published(str(reference)):
                raise not_here(self.catalog, tag)
            raise no_such_name(self.catalog, reference)
        if reference.variant is None:
            return self._best(model)
        variant = model.variant(reference.variant)
        if variant is None:
            names = [v.name for v in model.variants]
            near = nearest(reference.variant, names) or names
            raise NotFound(
                f"{model.name} has no variant {one_line(reference.variant)!r}",
                f"variants: {', '.join(near)}",
            )
        return self.known(variant.reference)

    def _best(self, model: Model) -> Variant:
        """One that is installed, else of the catalogue: checked, confirmed, QAT first."""
        if not model.variants:
            raise NotFound(
                f"the catalogue lists {model.title} but no file of it", "gemmahub list --all"
            )
        ranked = sorted(
            model.variants, key=lambda v: (not v.checked, not v.confirmed, v.training != "QAT")
        )
        here = {variant.reference for variant in self.installed().variants}
        best = next((v for v in ranked if v.reference in here), ranked[0])
        return self.known(best.reference)

    def _from_source(self, reference: SourceReference) -> Variant:
        (name,) = self.sources.full_names(reference)
        if here := called(self.installed().files, name):
            return here
        for entry in self.installed().broken:
            if entry.reference.casefold() == name.casefold():
                raise IntegrityError(
                    f"{one_line(name)} cannot be used: {entry.reason}",
                    f"pull it again with the program that owns it ({entry.store}), or remove it",
                )
        if (served := named_model(name, self.servers())) is not None:
            return served_variants([served], self.installed())[0]
        if tag := self.catalog.published(name):
            raise not_here(self.catalog, tag)
        source = self.sources.of(name)
        if source is None:
            raise missing_at_server(name, self.servers()) or unknown_scheme(name)
        shown = one_line(name)
        raise NotInstalled(
            f"{shown} is neither on this machine nor in the catalogue",
            f"gemmahub pull {shown} looks for it in "
            f"{one_line(getattr(source, 'title', source.name), 60)}",
            name,
        )

    # --- from a repository ---------------------------------------------------------------------

    def _repository(self, reference: HuggingFaceReference, text: str) -> Variant:
        found = [
            (model, variant)
            for model in self.catalog.models
            for variant in model.variants
            if variant.repository.lower() == reference.repository.lower()
            and (reference.file is None or variant.file == reference.file)
            and (reference.label is None or variant.label.lower() == reference.label.lower())
            and reference.revision in (None, "main", variant.revision)
        ]
        here = {v.reference: v for v in self.installed().variants}
        for _, variant in found:
            if variant.reference in here:
                return here[variant.reference]
        for place in here.values():  # whatever the catalogue knows of another file at that place
            if any(is_named(artifact, reference, text) for artifact in place.artifacts):
                return place
        if (path := on_disk(text)) is not None:
            return self._file(path)
        if found:
            return declared(self.catalog, *found[0])
        for place in self.installed().files:
            if any(is_named(artifact, reference, text) for artifact in place.artifacts):
                return place
        repositories = {v.repository for v in self.catalog.variants}
        near = nearest(reference.repository, repositories)
        meant = f"; or did you mean {', '.join(near)}?" if near else ""
        raise NotInstalled(
            f"{one_line(text)} is neither on this machine nor in the catalogue",
            f"gemmahub pull {one_line(text)} downloads it from Hugging Face{meant}",
            text,
        )

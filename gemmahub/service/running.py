"""The use case: a loaded model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from gemmahub.engines.contract import Artifact, Settings
from gemmahub.errors import BackendMissing, NotInstalled
from gemmahub.service.purpose import check_loadable, check_purpose, check_words
from gemmahub.service.tag_parts import (
    NO_PARTS,
    TagParts,
    adapters_of_tag,
    parts_of_tag,
    with_parts,
)
from gemmahub.service.tuned import taken_from_tuning
from gemmahub.text import format_bytes, format_gib, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from gemmahub.conversations import ChatSession, Journal, MemoryJournal
    from gemmahub.engines.choice import BackendChoice
    from gemmahub.engines.contract import OnProgress, ServedModel, Session
    from gemmahub.memory import ImageMemory
    from gemmahub.registry.variants import Variant
    from gemmahub.service.drafting import DraftSpeeds
    from gemmahub.service.installation import Installation


@dataclass(frozen=True, slots=True)
class Running:
    """A loaded model, and what was loaded; ``reason`` says why with this backend.

    ``images`` is what its projector takes, as far as known; it is not loaded before an image comes.
    ``drafts`` is what was measured of drafts, None where they are not in question. ``tag`` is what
    its name brings besides weights, for those who hold a conversation.
    """

    variant: Variant
    backend: str
    session: Session
    reason: str = ""
    images: ImageMemory | None = None
    drafts: DraftSpeeds | None = None
    tag: TagParts = NO_PARTS

    @property
    def draft_note(self) -> str:
        """Which file drafts, and what that was measured to bring; empty where none is known."""
        drafter = self.session.info.settings.drafter
        if self.drafts is None:
            return ""
        what = "no drafts" if drafter is None else f"drafts by {one_line(drafter.name, 80)}"
        return f"{what}; {self.drafts.text}"

    @property
    def takes_images(self) -> bool:
        """Whether messages may have images: as the engine says, else as the model's files look."""
        declared = self.session.info.images
        return "image" in self.variant.capabilities if declared is None else declared

    @property
    def image_note(self) -> str:
        """What the first image will take besides; empty where the engine says no memory of its own,
        or holds the projector already."""
        uses = self.session.info.memory
        if self.images is None or uses is None or any(use.projector_bytes for use in uses):
            return ""
        size, buffer = self.images.projector_bytes, self.images.buffer_bytes
        more = "" if buffer is None else f" and needs up to {format_gib(buffer)} more"
        return f"the first image loads the projector ({format_gib(size)}){more}"

    @property
    def headline(self) -> str:
        """Model, precision, engine and context in one line."""
        info = self.session.info
        parts = [
            self.variant.name,
            self.variant.precision.summary,
            f"{info.engine} on {info.device}",
            "" if info.context is None else f"context {info.context:,} tokens",
        ]
        if not info.chat_template and not self.variant.embeds:
            parts.append("no chat template: plain completion")
        return " · ".join(filter(None, parts))

    def chat(self, journal: Journal | MemoryJournal, said: Collection[str] = ()) -> ChatSession:
        """Hold a kept conversation, which says from now on what it is held with. One that begins
        is held as the tag of the model says, where nobody said otherwise.

        Raises: GemmahubError where that cannot be written.
        """
        from gemmahub.conversations import ChatSession

        info, held = self.session.info, journal.saved()
        if not held.messages and self.tag is not NO_PARTS:
            filled = self.tag.filled(held.described, said)
            journal.set(sampling=filled.sampling, system=filled.system)
        journal.set(
            reference=self.variant.reference,
            model=self.variant.name,
            precision=self.variant.precision.summary,
            engine=f"{info.engine} on {info.device}",
        )
        return ChatSession(self.session, journal, first=self.tag.messages)


def load(
    here: Installation,
    reference: str,
    settings: Settings | None = None,
    *,
    backend: str | None = None,
    options: Mapping[str, str] | None = None,
    on_progress: OnProgress | None = None,
    on_stage: Callable[[str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    alone: bool = True,
    draft: bool | None = None,
    needs: str = "",
    tuned: bool = True,
) -> Running:
    """Load a model. Close the session of what comes back.

    A name without a variant runs with the settings that were recommended with it, unless
    ``settings`` has a context of its own. ``options`` are the backend's own, as people write them.
    ``on_stage`` is told in words what is being done, and ``cancelled`` is asked whether to go on.
    How fast its answers are is remembered, unless it is not ``alone`` with the machine. ``draft``
    says whether a known drafter is used; None: where that was measured to be faster here.
    ``needs`` is a capability that the backend must have: only with ``embed`` a model that embeds is
    loaded. ``tuned``: what ``bench --tune`` found stands in for settings that nobody gave.

    Raises: NotInstalled when the model is not on this machine; NotFound when its drafter is not;
    UsageError for one that does not do what is asked; LoadFailed for one that aborts engines,
    unless a backend is named; BackendError; Cancelled.
    """
    from gemmahub.engines.choice import load_session
    from gemmahub.engines.judging import for_any_place
    from gemmahub.engines.option_values import option_values
    from gemmahub.measurements.speed_log import RememberingSession
    from gemmahub.service.drafting import chosen_drafter, speed_name
    from gemmahub.service.run_plan import beside_drafter, devices_for

    tell = on_stage or (lambda _: None)
    settings = settings or Settings()
    tell(f"resolving {one_line(reference)}")
    variant, recommended = here.chosen(reference)
    if not variant.runnable:
        raise NotInstalled(
            f"{variant.reference} is not on this machine",
            f"gemmahub pull {variant.reference} downloads it ({variant.download})",
            variant.reference,
        )
    check_purpose(variant, needs)
    if variant.outdated is not None:
        if variant.outdated.aborts and backend is None:
            check_loadable(variant)
        here.say(f"{one_line(variant.reference)}: {variant.outdated.advice}")
    choice, model = _choose(here, variant, backend, needs)
    engine = choice.offer.backend
    if for_any_place(choice.offer):
        check_words(variant)
    given = {**settings.options, **option_values(engine, options or {})}
    settings = replace(settings, options={**choice.offer.options, **given})
    planned = recommended is not None and settings.context is None
    if recommended is not None and planned:
        own = {**recommended.options(engine), **settings.options}
        settings = replace(settings, **recommended.session_settings, options=own)
    if tuned and not needs:
        found = taken_from_tuning(here, variant, engine.name, settings)
        settings = replace(settings, **found)
    settings = replace(settings, remote_workers=settings.remote_workers or here.workers)
    if draft is None and settings.drafter is None and "drafter" not in engine.capabilities:
        draft = False
    drafter, drafts = chosen_drafter(here, variant, settings, draft)
    settings = replace(settings, drafter=drafter)
    tag = NO_PARTS
    if isinstance(model, Artifact) and model.parts:
        tag = parts_of_tag(choice.offer, model)
        settings = with_parts(settings, tag, adapters_of_tag(choice.offer, model))
    if planned:
        settings = beside_drafter(here, variant, settings)
    else:
        options = {**devices_for(here, variant, settings, engine), **settings.options}
        settings = replace(settings, options=options)
    reading = "" if variant.served else f", reading {format_bytes(variant.size_bytes)}"
    tell(f"starting {choice.offer.backend.name}{reading}")
    session = load_session(choice.offer, model, settings, on_progress, cancelled)
    if isinstance(model, Artifact) and needs != "embed":
        name = one_line(model.reference or model.name, 80)
        if note := tag.note(name, engine.name, chat_template=session.info.chat_template):
            here.say(note)
    if alone and choice.offer.backend.automatic:  # the others make their timings up
        layers = variant.architecture.get("layers")
        name = speed_name(variant, drafter, settings.adapters)
        session = RememberingSession(session, here.speeds, name, layers)
    # The catalogue's figure is for its own projector: without one here no image is taken.
    images = None
    if isinstance(model, Artifact) and model.projector:
        from gemmahub.planning import images_of

        images = images_of(variant, here.registry.catalog)
    return Running(variant, engine.name, session, choice.reason, images, drafts, tag)


def _choose(
    here: Installation, variant: Variant, backend: str | None, needs: str
) -> tuple[BackendChoice, Artifact | ServedModel]:
    """The backend, and of the places where the model lies the one that suits it.

    Raises: BackendMissing.
    """
    from gemmahub.errors import BackendMissing

    needs = needs or ("remote_workers" if here.workers else "")
    if variant.served is not None:
        choice = here.choose(variant.served, backend, needs=needs)
        return _demanded(choice, needs), variant.served
    first: BackendMissing | None = None
    for artifact in variant.artifacts:
        try:
            chosen = here.choose(artifact, backend, needs=needs, header=variant.header)
            choice = _demanded(chosen, needs)
        except BackendMissing as error:
            first = first or error
            continue
        suits = partial(here.plugins_manager.suits, choice.offer)
        if not suits(artifact):  # named
            return choice, next(filter(suits, variant.artifacts), artifact)
        return choice, artifact
    assert first is not None
    raise first


def _demanded(choice: BackendChoice, needs: str) -> BackendChoice:
    """Raises: BackendMissing where a backend that was named lacks what is needed."""
    backend = choice.offer.backend
    if needs and needs not in backend.capabilities:
        raise BackendMissing(f"{backend.name} has no {needs}", "leave out --backend")
    return choice

"""The use case: a loaded model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gemmahub.errors import NotInstalled
from gemmahub.text import format_bytes, format_gib, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gemmahub.conversations import Journal
    from gemmahub.engines.choice import BackendChoice
    from gemmahub.engines.contract import Artifact, OnProgress, Session, Settings
    from gemmahub.planning import Images
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


@dataclass(frozen=True, slots=True)
class Running:
    """A loaded model, and what was loaded; ``reason`` says why with this backend.

    ``images`` is what its projector takes, as far as known; it is not loaded before an image comes.
    """

    variant: Variant
    backend: str
    session: Session
    reason: str = ""
    images: Images | None = None

    @property
    def takes_images(self) -> bool:
        """Whether messages may have images: as the engine says, else as the model's files look."""
        said = self.session.info.images
        return "image" in self.variant.capabilities if said is None else said

    @property
    def image_note(self) -> str:
        """What the first image will take besides; empty where the engine says no memory of its own,
        or holds the projector already."""
        uses = self.session.info.memory
        if self.images is None or uses is None or any(use.projector_bytes for use in uses):
            return ""
        size, buffer = self.images.projector_bytes, self.images.buffer_bytes
        more = "" if buffer is None else f" and up to {format_gib(buffer)} to compute one in"
        return f"images take {format_gib(size)} for their projector{more}, with the first one"

    @property
    def headline(self) -> str:
        """Model, precision, engine and context in one line."""
        info = self.session.info
        parts = [
            self.variant.name,
            self.variant.precision.summary,
            f"{info.engine} on {info.device}",
            f"context {info.context:,} tokens",
        ]
        if not info.chat_template:
            parts.append("no chat template: plain completion")
        return " · ".join(parts)

    def describe_in(self, journal: Journal) -> None:
        """Write into a conversation what it is held with from now on. Raises: GemmahubError."""
        info = self.session.info
        journal.set(
            reference=self.variant.reference,
            model=self.variant.name,
            precision=self.variant.precision.summary,
            engine=f"{info.engine} on {info.device}",
        )


def load(
    here: Installation,
    reference: str,
    settings: Settings,
    *,
    backend: str | None = None,
    options: Mapping[str, str] | None = None,
    on_progress: OnProgress | None = None,
    on_stage: Callable[[str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    alone: bool = True,
) -> Running:
    """Load a model. Close the session of what comes back.

    A name without a variant runs with the settings that were recommended with it, unless
    ``settings`` has a context of its own. ``options`` are the backend's own, as people write them.
    ``on_stage`` is told in words what is being done, and ``cancelled`` is asked whether to go on.
    How fast its answers are is remembered, unless it is not ``alone`` with the machine.

    Raises: NotInstalled when the model is not on this machine; BackendError; Cancelled.
    """
    from gemmahub.engines.choice import load_session
    from gemmahub.engines.option_values import option_values
    from gemmahub.measurements.speed_log import RememberingSession
    from gemmahub.planning import images_of

    tell = on_stage or (lambda _: None)
    tell(f"looking for {one_line(reference)}")
    variant, advised = here.resolve(reference)
    if not variant.artifacts:
        raise NotInstalled(
            f"{variant.reference} is not on this machine",
            f"gemmahub pull {variant.reference} gets it ({variant.download})",
            variant.reference,
        )
    choice, artifact = _choose(here, named_first(here, variant.artifacts, reference), backend)
    if options:
        given = option_values(choice.offer.backend, options)
        settings = replace(settings, options={**settings.options, **given})
    if advised is not None and settings.context is None:
        settings = replace(settings, **advised.session_settings)
    tell(f"starting {choice.offer.backend.name}, reading {format_bytes(variant.size_bytes)}")
    session = load_session(choice.offer, artifact, settings, on_progress, cancelled)
    if alone and choice.offer.backend.automatic:  # the others make their timings up
        layers = variant.architecture.get("layers")
        session = RememberingSession(session, here.speeds, variant.reference, layers)
    # The catalogue's figure is for its own projector: without one here no image is taken.
    images = images_of(variant, here.registry.catalog) if artifact.projector else None
    return Running(variant, choice.offer.backend.name, session, choice.reason, images)


def named_first(
    here: Installation, artifacts: tuple[Artifact, ...], reference: str
) -> list[Artifact]:
    """The places where a model lies; the one that the reference names first: two tags of the same
    weights may differ in what else they hold."""
    from gemmahub.registry.reference import NameReference, SourceReference, parse_reference

    parsed = parse_reference(reference)
    names = {reference.strip().casefold(), str(parsed).casefold()}
    if isinstance(parsed, NameReference | SourceReference):
        names.update(name.casefold() for name in here.sources.full_names(parsed))
    return sorted(artifacts, key=lambda artifact: artifact.reference.casefold() not in names)


def _choose(
    here: Installation, artifacts: list[Artifact], backend: str | None
) -> tuple[BackendChoice, Artifact]:
    """The backend, and of the places where the model lies the one that suits it.

    Raises: BackendMissing.
    """
    from gemmahub.errors import BackendMissing

    first: BackendMissing | None = None
    for artifact in artifacts:
        try:
            choice = here.choose(artifact, backend)
        except BackendMissing as error:
            first = first or error
            continue
        if not choice.offer.backend.suits(artifact):  # named
            suited = filter(choice.offer.backend.suits, artifacts)
            return choice, next(suited, artifact)
        return choice, artifact
    assert first is not None
    raise first

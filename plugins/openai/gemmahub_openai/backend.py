"""The backend ``openai``: models of servers, by their addresses."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, Final

from gemmahub.engines.contract import (
    Availability,
    Backend,
    BrokenEntry,
    LoadedModel,
    OnProgress,
    Option,
    ServedModel,
    SessionInfo,
    Settings,
)
from gemmahub.errors import BackendError, LoadFailed, UsageError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub_openai.listing import Answered, Offer
    from gemmahub_openai.places import Places
    from gemmahub_openai.session import RemoteSession

_ASK_SECONDS: Final = 1.4
"""For whether a server is there, and for what is in memory: the core waits 2 s."""
_LOAD_SECONDS: Final = 10.0


class OpenAIBackend(Backend):
    """Models of servers that speak OpenAI's API: those of the settings, and those on this machine.

    A server chooses the context itself (``fixed_context``), but for LM Studio, which takes one when
    it loads a model.
    """

    name: ClassVar[str] = "openai"
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"fixed_context", "grammar", "images", "parallel", "schema", "thinking", "tools", "unload"}
    )
    in_process: ClassVar[bool] = False
    options: ClassVar[tuple[Option, ...]] = (
        Option("context_length", "Context for models that LM Studio loads.", int, None),
        Option("keep", "Keep a model loaded after its session.", bool, False),
        Option("timeout", "Longest silence of the server, in seconds.", float, 600.0),
    )

    def availability(self) -> Availability:
        """Whether a server is named in the settings, or one answers on this machine."""
        from gemmahub_openai.listing import missing

        try:
            places = _places()
            named = [server for server in places.servers if not server.found]
            if named or places.wrong:
                count = len(named) + len(places.wrong)
                return Availability(True, version=_counted(count, "server", "in the settings"))
            answers = self._ask(places, _ASK_SECONDS)
        except BackendError as error:
            return Availability(False, reason=error.message, hint=error.hint)
        if (none := missing(places, answers)) is not None:
            return Availability(False, reason=none.message, hint=none.hint)
        kinds = [answer.state.kind if answer.state else "server" for answer in answers]
        return Availability(True, version=", ".join(kinds))

    def served(self, seconds: float) -> list[ServedModel | BrokenEntry]:
        """What each server offers; one that fails is an entry with its reason."""
        from gemmahub_openai.listing import served

        try:
            return served(seconds)
        except UsageError as error:
            raise BackendError(error.message, error.hint) from None

    def loaded(self) -> list[LoadedModel]:
        """What is in memory, of servers that say it."""
        from gemmahub_openai.listing import in_memory

        try:
            return in_memory(_ASK_SECONDS)
        except UsageError as error:
            raise BackendError(error.message, error.hint) from None

    def unload(self, name: str) -> None:
        """Let LM Studio or a router give back a model's memory.

        Raises: BackendError, also for a server that holds its model until it ends.
        """
        from gemmahub_openai.listing import loaded_offer
        from gemmahub_openai.loading import unload

        _places()
        if (found := loaded_offer(name, _ASK_SECONDS)) is not None:
            unload(*found)

    def load(
        self, model: ServedModel, settings: Settings, on_progress: OnProgress | None = None
    ) -> RemoteSession:
        """A session with a model of a server, which is loaded first where the server does that.

        Raises: LoadFailed, BackendMissing, BackendCrashed.
        """
        from dataclasses import replace

        from gemmahub_openai.loading import hold, more_of
        from gemmahub_openai.session import Partner, RemoteSession

        options = self.check_options(settings)
        if not 0 < options["timeout"] < float("inf"):
            raise LoadFailed("openai: timeout is not a number of seconds", "give 1 or more")
        if options["context_length"] is not None and options["context_length"] < 1:
            raise LoadFailed("openai: context_length is not a number of tokens", "give 1 or more")
        started = perf_counter()
        places = _places()
        offer = self._offer(places, model)
        held = hold(offer, options, on_progress)
        try:
            stated = more_of(offer, held)
            info = SessionInfo(
                engine=f"{offer.kind} at {offer.server.shown}",
                context=stated.context,
                context_trained=stated.context_trained,
                chat_template=True,
                device=offer.server.url,
                settings=replace(settings, options=options),
                load_seconds=perf_counter() - started,
                precision=stated.label,
                images=stated.images,
            )
            plain = offer.server.name in places.plain and not offer.server.found
            partner = Partner(offer.server, offer.kind, stated, held.name, plain)
            if on_progress is not None:
                on_progress(1.0)
            return RemoteSession(info, partner, held.release, float(options["timeout"]))
        except BaseException:
            held.release()
            raise

    def _offer(self, places: Places, model: ServedModel) -> Offer:
        """The model as its server offers it now. Raises: LoadFailed, BackendMissing."""
        from gemmahub_openai.faults import as_kind
        from gemmahub_openai.listing import Offer, ask_all
        from gemmahub_openai.places import Places, same_place

        place = same_place(model.place)
        server = next((one for one in places.servers if same_place(one.url) == place), None)
        if server is None:
            raise LoadFailed(
                f"the settings name no server at {one_line(model.place, 80)}",
                "see `gemmahub list` and the setting plugins.openai.servers",
            )
        answers: list[Answered] = ask_all(Places((server,)), _LOAD_SECONDS)
        error = answers[0].error if answers else None
        if error is not None:
            raise as_kind(error, LoadFailed)
        state = answers[0].state if answers else None
        if state is None:
            raise LoadFailed(f"{server.shown} no longer serves models", "see `gemmahub list`")
        for stated in state.models:
            if stated.name == model.name:
                return Offer(model.reference, answers[0].server, state.kind, stated)
        offered = ", ".join(one_line(each.name, 60) for each in state.models[:5]) or "none"
        raise LoadFailed(
            f"{server.shown} has no model {one_line(model.name, 120)}", f"it has: {offered}"
        )

    def _ask(self, places: Places, seconds: float) -> list[Answered]:
        from gemmahub_openai.listing import ask_all

        return ask_all(places, seconds)


def _places() -> Places:
    """Raises: BackendError."""
    from gemmahub_openai.places import all_places

    try:
        return all_places()
    except UsageError as error:
        raise BackendError(error.message, error.hint) from None


def _counted(count: int, what: str, where: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'} {where}"

"""Options of commands that offer tools to a model, and what scripts get of its calls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gemmahub.errors import GemmahubError, UsageError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Generator

    from gemmahub.conversations import ChatEvent, ChatSession, SavedMessage
    from gemmahub.engines.contract import Usage

_LARGEST: Final = 1 << 20

tools_option: Final = click.option(
    "--tools",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Functions that the model may call, as JSON; calls are printed, never executed.",
)

results_option: Final = click.option(
    "--tool-result",
    "results",
    multiple=True,
    metavar="CALL=TEXT|CALL=@FILE",
    help="Result of a tool that the last answer called (repeatable).",
)


def results_of(texts: tuple[str, ...]) -> dict[str, str]:
    """The text for each call. Raises: UsageError."""
    found: dict[str, str] = {}
    for text in texts:
        name, given, value = text.partition("=")
        if not given:
            raise UsageError(
                f"--tool-result {one_line(text, 40)!r} does not name a call",
                "write --tool-result CALL=TEXT, or CALL=@FILE",
            )
        if name in found:
            raise UsageError(f"the call {one_line(name, 40)} has two results", "give one")
        found[name] = _content(Path(value[1:])) if value.startswith("@") else value
    return found


def _content(path: Path) -> str:
    from gemmahub.records.parsing import Unfit, read_bounded

    try:
        return read_bounded(path, _LARGEST).decode(errors="replace")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", "choose another file"
        ) from None
    except Unfit as error:
        raise UsageError(f"{one_line(path.name)}: {error}", "choose another file") from None


def whole_answer(
    chat: ChatSession, events: Generator[ChatEvent, None, None]
) -> tuple[SavedMessage, Usage | None]:
    """An answer, read to its end, and its usage. Raises: what ended it."""
    from gemmahub.conversations import AnswerFinished

    usage = None
    for event in events:
        if isinstance(event, AnswerFinished):
            if event.error is not None:
                raise event.error
            usage = event.usage
    return chat.journal.saved().messages[-1], usage


def calls_of(chat: ChatSession, answer: SavedMessage) -> dict[str, Any]:
    """The calls of an answer, checked, and the conversation in which they get their results.

    Raises: GemmahubError for a call that breaks its schema.
    """
    from gemmahub.service.tools import checked_calls

    saved = chat.journal.saved()
    cut = answer.finish in ("length", "context")
    try:
        calls = checked_calls(answer.tool_calls, saved.described.sampling.tools, cut=cut)
    except GemmahubError as error:
        again = f"gemmahub chats continue {saved.id} --again asks again"
        raise GemmahubError(error.message, error.hint if cut else again) from None
    return {"tool_calls": calls, "conversation": saved.id or None}


def answer_with_calls(
    chat: ChatSession, events: Generator[ChatEvent, None, None]
) -> dict[str, Any]:
    """What scripts get of an answer that may call tools. Raises: as the other two."""
    answer, _ = whole_answer(chat, events)
    return {"text": answer.text, **calls_of(chat, answer)}

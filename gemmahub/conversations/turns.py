"""Which turns of a conversation the next prompt has, and what its tools still owe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import UsageError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gemmahub.conversations.records import Saved, SavedMessage
    from gemmahub.engines.contract import Message


def check_results(saved: Saved, results: Mapping[str, str]) -> None:
    """Raises: UsageError where they are not those of the calls that the last answer made."""
    ids = [call.id for call in saved.open_calls]
    if not ids:
        raise UsageError("the last answer called no tool", "ask a question")
    if unknown := [one_line(name, 40) for name in results if name not in ids]:
        raise UsageError(f"there is no call {unknown[0]!r}", f"calls: {', '.join(ids)}")
    if missing := [name for name in ids if name not in results]:
        raise UsageError(
            f"the result of {', '.join(missing)} is missing",
            "give the results of all calls together",
        )


def seen_by_the_model(
    messages: Iterable[SavedMessage], *, with_open: bool = False
) -> list[Message]:
    """The turns that go into the next prompt: a question that was never answered is left out with
    the tools that were called for it, since templates want turns to alternate. ``with_open``: the
    last one stays, because the results of its tools follow."""
    found: list[Message] = []
    open_: list[Message] = []  # a question, and calls of tools with their results
    for message in messages:
        last = open_[-1].role if open_ else ""
        if message.role == "assistant":
            failed = message.error and not message.text and not message.tool_calls
            if failed or last not in ("user", "tool"):
                continue
            open_.append(message.as_message())
            if not message.tool_calls:
                found += open_
                open_ = []
        elif message.role == "tool":
            if last in ("assistant", "tool"):
                open_.append(message.as_message())
        elif message.role == "user":
            open_ = [message.as_message()]
        else:
            found.append(message.as_message())
    return [*found, *open_] if with_open else found

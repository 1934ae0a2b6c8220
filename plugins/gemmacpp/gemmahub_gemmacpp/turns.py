"""A conversation as one prompt for ``gemma``, which puts it into a turn of the user itself.

The program wraps a prompt of an instruction-tuned model into ``<start_of_turn>user`` and
``<end_of_turn>``, and opens the model's turn (google/gemma.cpp gemma/tokenizer.cc,
``WrapAndTokenize``). So turns before the last one are written with the same markers in between.
Later families have other markers, which the plugin does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.errors import GenerationFailed, TemplateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.contract import Message, Prompt

OPENS: Final = "<start_of_turn>"
CLOSES: Final = "<end_of_turn>"
LAST_VERSION: Final = 3
"""Of ``ModelConfig.model_family_version``, the last one that has these markers."""
_HINT: Final = "begin a new conversation, or choose another engine with --backend"


def prompt_text(prompt: Prompt, *, takes_turns: bool, version: int) -> str:
    """The text that the program is given.

    Raises: GenerationFailed for a text that is to be completed by a model that the program gives
    turns, and for a role that has no turn; TemplateError for a message that spells out a marker,
    and for several turns of a family whose markers are not known.
    """
    if isinstance(prompt, str):
        if takes_turns:
            raise GenerationFailed(
                "gemma.cpp puts every prompt of this model into a turn: it cannot complete a text "
                "as it stands",
                "write a message instead (without --raw), or choose another engine",
            )
        return prompt
    for message in prompt:
        if message.role not in ("system", "user", "assistant"):
            raise GenerationFailed(f"gemma.cpp has no turns of the role {message.role!r}", _HINT)
        if OPENS in message.content or CLOSES in message.content:
            what = "a message contains a control token of the model"
            raise TemplateError(what, "remove the control token from the message")
    turns = _joined(prompt)
    if not turns or turns[-1][0] != "user":
        raise GenerationFailed("the last message is not the user's", "write a message")
    if not takes_turns:
        return "\n\n".join(text for _, text in turns)
    if len(turns) == 1:
        return turns[0][1]
    if version > LAST_VERSION:
        raise TemplateError(
            "gemmahub does not know gemma.cpp's turns of this family: only the first message "
            "of a conversation can be sent",
            _HINT,
        )
    return _between(turns)


def _joined(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Turns of the user and the model in turn: what the system says stands before the user's first
    words, as in Gemma's own templates."""
    found: list[tuple[str, str]] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        text = message.content.strip()
        if found and found[-1][0] == role:
            found[-1] = (role, f"{found[-1][1]}\n\n{text}")
        else:
            found.append((role, text))
    return found


def _between(turns: Sequence[tuple[str, str]]) -> str:
    parts = []
    for role, text in turns[:-1]:
        other = "model" if role == "user" else "user"
        parts.append(f"{text}{CLOSES}\n{OPENS}{other}\n")
    return "".join(parts) + turns[-1][1]

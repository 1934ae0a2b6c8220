"""What the commands that ask a model have in common: question, images, Ctrl-C, a full context."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gemmahub.cli import output
from gemmahub.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gemmahub.service import Running

image_option: Final = click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An image for the (first) question; may be given several times.",
)


def question_of(prompt: str | None, *, example: str, alone: bool = False) -> str | None:
    """The question, from the command line or standard input; None for a conversation on a terminal.
    ``example`` is what a hint shows; ``alone``: there can be no conversation.

    Raises: UsageError for an empty one, and where a conversation has no terminal.
    """
    if prompt == "-" or (prompt is None and not sys.stdin.isatty()):
        prompt = sys.stdin.read().rstrip("\n")
    if prompt is not None and not prompt.strip():
        raise UsageError("the prompt is empty", f"try: {example}")
    if prompt is None and (alone or not output.interactive()):
        raise UsageError("a conversation needs a terminal", "give a prompt, or pipe one in")
    return prompt


def images_of(running: Running, images: tuple[Path, ...], *, plain: bool) -> tuple[Path, ...]:
    """The images by their full paths. Raises: UsageError where none can be asked about."""
    if images and plain:
        raise UsageError(
            "images need a conversation, and this is plain completion",
            "leave --raw out" if running.session.info.chat_template else "take an instruct model",
        )
    return tuple(path.resolve() for path in images)


@contextmanager
def interruptible(cancel: Callable[[], object]) -> Iterator[list[int]]:
    """Ctrl-C asks the engine to stop; a second one ends the program.

    The list that comes back is empty until then. An exception would tear down the stream of chunks,
    and with it the last one, which carries the usage.
    """
    interrupts: list[int] = []

    def stop(number: int, frame: object) -> None:
        if interrupts:
            raise KeyboardInterrupt
        interrupts.append(number)
        _say_stopping()
        cancel()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)


def _say_stopping() -> None:
    """At once: an engine may be in the middle of a long step, or have been stopped itself."""
    # The signal may come while this very stream is written to, which allows no second write.
    with suppress(RuntimeError):
        output.note("\nstopping the engine; Ctrl-C again ends the program")


def warn_of_context(finish: str, context: int, *, truncated: bool) -> None:
    """Say that an answer saw less than it should, or ended too early. ``context`` in tokens,
    ``finish`` as in the contract's ``Usage``."""
    if truncated:
        output.warning("the prompt was truncated: it is longer than the context (--ctx-size)")
    if finish == "context":
        output.warning(f"the context of {context:,} tokens is full; a larger --ctx-size holds more")

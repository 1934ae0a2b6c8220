"""What the commands that ask a model are given: question and images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gemmahub.cli import output
from gemmahub.errors import UsageError

if TYPE_CHECKING:
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

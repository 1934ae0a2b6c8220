"""What the commands that ask a model are given: question, images and sounds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from gemmahub.cli import output
from gemmahub.cli.piped_text import is_piped, read_text
from gemmahub.errors import UsageError

if TYPE_CHECKING:
    from gemmahub.service import Running

image_option: Final = click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An image for the first question (repeatable).",
)

audio_option: Final = click.option(
    "--audio",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An audio file for the first question (repeatable).",
)


class Files(NamedTuple):
    """Files that go with a question, by their full paths."""

    images: tuple[Path, ...] = ()
    audio: tuple[Path, ...] = ()


NO_FILES: Final = Files()


def question_of(prompt: str | None, *, example: str, alone: bool = False) -> str | None:
    """The question, from the command line, standard input or both; None for a conversation on a
    terminal. What is piped follows the prompt after a blank line. ``example`` is what a hint shows;
    ``alone``: there can be no conversation.

    Raises: UsageError for an empty one, for input that is no text, and where a conversation has no
    terminal.
    """
    if prompt == "-" or (prompt is None and not sys.stdin.isatty()):
        prompt = read_text()
    elif prompt is not None and is_piped() and (piped := read_text()).strip():
        prompt = f"{prompt}\n\n{piped}"
    if prompt is not None and not prompt.strip():
        raise UsageError("the prompt is empty", f"try: {example}")
    if prompt is None and (alone or not output.interactive()):
        raise UsageError("a conversation needs a terminal", "add a prompt, or pipe one in")
    return prompt


def files_of(
    running: Running, images: tuple[Path, ...], audio: tuple[Path, ...], *, plain: bool
) -> Files:
    """The images and sounds. Raises: UsageError where none can be asked about."""
    for kind, paths in (("images", images), ("audio", audio)):
        if paths and plain:
            template = running.session.info.chat_template
            raise UsageError(
                f"{kind} need a conversation, but this is plain completion",
                "leave out --raw" if template else "use an instruction-tuned model",
            )
    return Files(*(tuple(path.resolve() for path in paths) for paths in (images, audio)))

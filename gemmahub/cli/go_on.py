"""``gemmahub chats continue``: one more answer in a kept conversation, or a conversation."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING

import click

from gemmahub.cli import output
from gemmahub.cli.asking import (
    image_option,
    images_of,
    interruptible,
    question_of,
    warn_of_context,
)
from gemmahub.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from gemmahub.service import Gemmahub, Running
    from gemmahub.service.talking import Ended, Event, Talk

_EXAMPLE = 'gemmahub chats continue ID "And of Spain?"'


@click.command(name="continue")
@click.argument("id_", metavar="ID")
@click.argument("prompt", required=False)
@click.option("--again", is_flag=True, help="Answer the last question anew, instead of asking.")
@click.option("--model", metavar="REFERENCE", help="Another one than it was held with.")
@click.option("--backend", help="The engine to use; otherwise the best one for the format.")
@click.option("-c", "--ctx-size", type=click.IntRange(min=1), help="Another context, in tokens.")
@image_option
@click.option("-v", "--verbose", is_flag=True, help="Print timings.")
def continue_command(
    id_: str,
    prompt: str | None,
    again: bool,
    model: str | None,
    backend: str | None,
    ctx_size: int | None,
    images: tuple[Path, ...],
    verbose: bool,
) -> int:
    """Go on with a conversation, with the model and the settings that it was held with.

    PROMPT is the next question; "-" or a pipe reads it from standard input. Without one, on a
    terminal, the conversation goes on there. What is asked and answered is kept.
    """
    from gemmahub.service import Gemmahub

    if again and (prompt is not None or images):
        raise UsageError("--again asks nothing new", "leave the prompt and the images out")
    question = None if again else question_of(prompt, example=_EXAMPLE)
    hub = Gemmahub(say=output.note)
    store = hub.conversations
    with store.open(store.find(id_)) as journal:
        held = journal.saved().described
        settings = replace(held.settings, context=ctx_size or held.settings.context)
        running = hub.start(
            model or held.reference, settings, backend=backend, on_progress=output.loading
        )
        output.progress("")
        with closing(hub.talk(running, journal)) as talk:
            output.note(running.headline)
            images = images_of(running, images, plain=talk.plain)
            if images and running.image_note:
                output.note(running.image_note)
            if again:
                return _show(talk, talk.regenerate(), verbose=verbose)
            if question is not None:
                return _show(talk, talk.ask(question, images), verbose=verbose)
            return _loop(hub, running, talk, images, verbose=verbose)


def _loop(
    hub: Gemmahub, running: Running, talk: Talk, images: tuple[Path, ...], *, verbose: bool
) -> int:
    from gemmahub.cli.prompt_loop import converse

    _show_last(talk)
    return converse(
        lambda question, with_images: _show(talk, talk.ask(question, with_images), verbose=verbose),
        hub.config.data,
        images=images,
    )


def _show_last(talk: Talk) -> None:
    """The last question and its answer: where a person was."""
    for message in talk.journal.saved().messages[-2:]:
        output.note(f"{'>>> ' if message.role == 'user' else ''}{message.text.strip()}")


def _show(talk: Talk, events: Generator[Event, None, None], *, verbose: bool) -> int:
    """Stream one answer; Ctrl-C stops it, and what came is shown and kept.

    Raises: what ended the answer.
    """
    from gemmahub.service.talking import Asked, Ended

    ended: Ended | None = None
    shown = output.Answer()
    # The lock that stopping takes may be held where the signal finds this thread.
    stop = Thread(target=talk.stop, daemon=True).start
    with interruptible(stop) as interrupted, closing(events):
        for event in events:
            if isinstance(event, Asked):
                continue
            shown.write(event.text)
            ended = event if isinstance(event, Ended) else ended
    shown.end()
    assert ended is not None
    _after(ended, verbose=verbose)
    return ExitCode.INTERRUPTED if interrupted else ExitCode.DONE


def _after(ended: Ended, *, verbose: bool) -> None:
    if ended.unsaved is not None:
        output.warning(f"this answer is not kept: {ended.unsaved.message}")
    if ended.error is not None:
        raise ended.error
    timings = ended.timings
    if timings is None:
        return
    warn_of_context(ended.finish, timings.context, truncated=timings.truncated)
    if verbose:
        used = f"context {timings.context_used:,} of {timings.context:,}"
        output.note(f"{timings} · {used} · ended by {ended.finish}")

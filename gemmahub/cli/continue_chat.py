"""``gemmahub chats continue``: one more answer in a kept conversation, or a conversation."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from gemmahub.cli import output
from gemmahub.cli.answers import show_answer
from gemmahub.cli.prompt_input import Files, audio_option, files_of, image_option, question_of
from gemmahub.cli.thinking import thinking_of, thinking_options
from gemmahub.cli.tools import answer_with_calls, results_of, results_option
from gemmahub.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from gemmahub.conversations import ChatEvent, ChatSession, Saved

_EXAMPLE = 'gemmahub chats continue ID "And of Spain?"'


@click.command(name="continue")
@click.argument("id_", metavar="ID")
@click.argument("prompt", required=False)
@click.option("--again", is_flag=True, help="Regenerate the last answer.")
@click.option(
    "--model", metavar="REFERENCE", help="Use this model instead of the conversation's own."
)
@click.option("--backend", help="The engine to use; otherwise the best one for the format.")
@click.option(
    "-c", "--ctx-size", type=click.IntRange(min=1), help="Use this context length, in tokens."
)
@results_option
@thinking_options
@image_option
@audio_option
@click.option("-v", "--verbose", is_flag=True, help="Print timings.")
def continue_command(
    id_: str,
    prompt: str | None,
    again: bool,
    model: str | None,
    backend: str | None,
    ctx_size: int | None,
    results: tuple[str, ...],
    think: bool | None,
    think_budget: int | None,
    images: tuple[Path, ...],
    audio: tuple[Path, ...],
    verbose: bool,
) -> int:
    """Continue a conversation with its model and settings.

    PROMPT is the next question; "-" or a pipe reads it from standard input. Without a prompt, the
    conversation continues in the terminal. Questions and answers are saved. A conversation with
    tools continues with their results and prints each answer as JSON.
    """
    from gemmahub.conversations.turns import check_results
    from gemmahub.service import Library

    if again and (prompt is not None or images or audio):
        raise UsageError("--again takes no new question", "leave out the prompt and the files")
    given = results_of(results)
    if given and (again or prompt is not None or images or audio):
        raise UsageError(
            "a question cannot be combined with tool results", "use --tool-result alone"
        )
    question = None if again or given else question_of(prompt, example=_EXAMPLE)
    library = Library(say=output.note)
    store = library.conversations
    with store.open(store.find(id_)) as journal:
        before = journal.saved()
        held = before.described
        if given:
            check_results(before, given)
        settings = replace(held.settings, context=ctx_size or held.settings.context)
        running = library.load(
            model or held.reference, settings, backend=backend, on_progress=output.loading
        )
        output.progress("")
        with closing(running.chat(journal)) as chat:
            if (thinking := thinking_of(think, think_budget)) is not None:
                journal.set(sampling=replace(held.sampling, thinking=thinking))
            output.note(running.headline)
            files = files_of(running, images, audio, plain=chat.plain)
            if images and running.image_note:
                output.note(running.image_note)
            if again:
                return _show(chat, chat.regenerate(), verbose=verbose)
            if given:
                return _show(chat, chat.give_results(given), verbose=verbose)

            def ask(text: str, with_files: Files) -> int:
                return _show(chat, chat.ask(text, *with_files), verbose=verbose)

            if question is not None:
                return ask(question, files)
            from gemmahub.cli.prompt_loop import converse

            _show_last(before)
            return converse(ask, library.config.data, files=files)


def _show(chat: ChatSession, events: Generator[ChatEvent, None, None], *, verbose: bool) -> int:
    """An answer as it comes; as JSON where it may call tools."""
    if not chat.journal.saved().described.sampling.tools:
        return show_answer(chat, events, verbose=verbose)
    output.json_data(answer_with_calls(chat, events))
    return ExitCode.DONE


def _show_last(saved: Saved) -> None:
    """The last question and its answer: where a person was."""
    for message in saved.messages[-2:]:
        output.note(f"{'>>> ' if message.role == 'user' else ''}{message.text.strip()}")

"""``gemmahub run``: one answer, or a conversation on a terminal."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gemmahub.cli import output
from gemmahub.cli.answers import show_answer
from gemmahub.cli.drafts import draft_options
from gemmahub.cli.prompt_input import Files, audio_option, files_of, image_option, question_of
from gemmahub.cli.references import options_of_preset, reference_argument
from gemmahub.cli.remote_workers import rpc_option
from gemmahub.cli.sampling import sampling_of, sampling_options
from gemmahub.cli.shared_options import cache_type_option, split_option
from gemmahub.cli.thinking import thinking_options
from gemmahub.cli.tools import answer_with_calls, calls_of, tools_option, whole_answer
from gemmahub.engines.contract import Settings
from gemmahub.errors import BackendError, ExitCode, NotInstalled, UsageError

if TYPE_CHECKING:
    from gemmahub.conversations import ChatSession, SavedMessage
    from gemmahub.engines.contract import Sampling
    from gemmahub.service import Library, Running
_EXAMPLE = 'gemmahub run MODEL "The capital of France is"'


@click.command(name="run")
@reference_argument()
@click.argument("prompt", required=False)
@click.option("-c", "--ctx-size", type=click.IntRange(min=1), help="Context length, in tokens.")
@sampling_options
@click.option(
    "--schema",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Answer with JSON that follows this JSON schema.",
)
@tools_option
@thinking_options
@image_option
@audio_option
@click.option("--system", help="System prompt: instructions for the conversation.")
@click.option("--backend", help="The engine to use; otherwise the best one for the format.")
@click.option(
    "--option",
    "engine_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a backend option (repeatable).",
)
@cache_type_option
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="FILE[=SCALE]",
    help="A LoRA adapter for the model (repeatable).",
)
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads [physical cores].")
@click.option("--gpu-layers", type=click.IntRange(min=0), help="Layers on the GPU [all].")
@click.option(
    "--experts-in-memory",
    type=click.IntRange(min=0),
    metavar="LAYERS",
    help="Keep the experts of the first N layers in system memory.",
)
@click.option("--cache-in-memory", is_flag=True, help="Keep the KV cache in system memory.")
@split_option
@draft_options
@click.option(
    "--raw", is_flag=True, help="Complete the prompt as plain text, without a chat template."
)
@rpc_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a stream.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Show why this engine was chosen; print timings."
)
def run_command(reference: str, prompt: str | None, **options: Any) -> int:
    """Ask a model a question, or chat with it.

    PROMPT is the question; "-" or a pipe reads it from standard input. Without a prompt, a
    conversation starts in the terminal: Ctrl-C stops an answer, Ctrl-D leaves.
    """
    from gemmahub.conversations import ChatSession, Described
    from gemmahub.service import Library

    alone = options["as_json"] or bool(options["schema"] or options["tools"])
    question = question_of(prompt, example=_EXAMPLE, alone=alone)
    sampling = sampling_of(options)
    library = Library(say=output.note, workers=options["workers"])
    running = _start(library, reference, options)
    output.progress("")
    _warn_of_training(running, options["ctx_size"])
    with running.session as session:
        if sampling.tools:
            return _with_tools(library, running, sampling, options, question or "")
        asked = Described("", sampling=sampling, system=options["system"] or "")
        held = running.tag.filled(asked, _said(options))
        chat = ChatSession(
            session,
            system=held.system,
            sampling=held.sampling,
            raw=options["raw"],
            batch_seconds=0,
            first=running.tag.messages,
        )
        files = files_of(running, options["images"], options["audio"], plain=chat.plain)
        if options["as_json"]:
            output.json_data(_answer(running, chat, question or "", files))
            return ExitCode.DONE
        output.note(running.headline)
        if options["verbose"]:
            output.note(f"backend {running.backend}: {running.reason}")
        if running.draft_note:
            output.note(running.draft_note)
        if files.images and running.image_note:
            output.note(running.image_note)

        def ask(text: str, with_files: Files) -> int:
            return show_answer(chat, chat.ask(text, *with_files), verbose=options["verbose"])

        if sampling.schema is not None:
            output.data(_answer(running, chat, question or "", files)["text"])
            return ExitCode.DONE
        if question is not None:
            return ask(question, files)
        from gemmahub.cli.prompt_loop import converse

        forget = partial(chat.journal.cut, 0)
        keep = partial(_keep, reference, options, sampling)
        return converse(ask, library.config.data, forget=forget, keep=keep, files=files)


def _keep(reference: str, options: dict[str, Any], sampling: Sampling, name: str) -> None:
    """Save a preset of what was asked for. Raises: UsageError where one has the name already."""
    from gemmahub.service.presets import is_kept
    from gemmahub.service.presets.kept import keep_as_preset

    if is_kept(name):
        raise UsageError(f"there is a preset {name} already", "/preset with another name")
    settings = replace(_settings(options), options=engine_options(options["engine_options"]))
    system, backend, tools = options["system"] or "", options["backend"], options["tools"]
    keep_as_preset(name, reference, settings, sampling, system, backend=backend, tools=tools)


def _start(library: Library, reference: str, options: dict[str, Any]) -> Running:
    """The loaded model; one that is not here is pulled first where a person says so."""
    settings = _settings(options)
    chosen: dict[str, Any] = {
        "backend": options["backend"],
        "options": engine_options(options["engine_options"]),
        "draft": options["draft"],
        "needs": "adapters" if settings.adapters else "",
    }
    try:
        return library.load(reference, settings, **chosen, on_progress=output.loading)
    except NotInstalled as missing:
        if options["as_json"] or not output.interactive():
            raise
        from gemmahub.cli.pull import offer

        reference = offer(library, missing)
    return library.load(reference, settings, **chosen, on_progress=output.loading)


def _with_tools(
    library: Library,
    running: Running,
    sampling: Sampling,
    options: dict[str, Any],
    question: str,
) -> int:
    """One answer that may call tools. The conversation is kept, because their results come later;
    one that the engine refuses is not."""
    from gemmahub.conversations import Described

    described = Described(
        running.variant.reference,
        settings=replace(_settings(options), context=running.session.info.context),
        sampling=sampling,
        system=options["system"] or "",
    )
    store = library.conversations
    journal = store.new(described)
    chat = running.chat(journal, _said(options))
    files = files_of(running, options["images"], options["audio"], plain=chat.plain)
    try:
        if options["as_json"]:
            output.json_data(_answer(running, chat, question, files))
        else:
            output.note(running.headline)
            output.json_data(answer_with_calls(chat, chat.ask(question, *files)))
    except BackendError:
        journal.close()
        if journal.begun:
            store.delete(journal.id)
        raise
    journal.close()
    return ExitCode.DONE


def _said(options: dict[str, Any]) -> set[str]:
    """What of the sampling a person named, and the system prompt: no tag goes before it."""
    from click.core import ParameterSource

    source = click.get_current_context().get_parameter_source
    chosen = (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)  # of a preset
    said = {name for name in options if source(name) in chosen}
    return said | ({"system"} if options["raw"] else set())


def engine_options(texts: tuple[str, ...]) -> dict[str, str]:
    """Texts of ``--option`` as names and values, before them those of a preset.

    Raises: UsageError.
    """
    pairs = {name.strip(): value for name, _, value in (text.partition("=") for text in texts)}
    if wrong := next((text for text in texts if "=" not in text), None):
        raise UsageError(f"--option {wrong!r} has no value", "write --option NAME=VALUE")
    return {**options_of_preset(), **pairs}


def _settings(options: dict[str, Any]) -> Settings:
    """Raises: UsageError."""
    from gemmahub.service.adapters import adapters_of
    from gemmahub.service.drafting import check_draft_options

    check_draft_options(options["draft"], options["drafter"])
    return Settings(
        context=options["ctx_size"],
        cache_type_k=options["cache_type"],
        cache_type_v=options["cache_type"],
        gpu_layers=options["gpu_layers"],
        experts_in_memory=options["experts_in_memory"] or None,
        cache_in_memory=options["cache_in_memory"],
        tensor_split=options["tensor_split"],
        threads=options["threads"],
        drafter=options["drafter"],
        adapters=adapters_of(options["adapters"]),
    )


def _warn_of_training(running: Running, asked: int | None) -> None:
    trained = running.session.info.context_trained
    if asked is not None and trained is not None and asked > trained:
        output.warning(
            f"{asked:,} tokens are more than the {trained:,} that the model was trained for: "
            "expect worse answers"
        )


def _answer(running: Running, chat: ChatSession, question: str, files: Files) -> dict[str, Any]:
    """The whole answer, checked where it has a schema or tools. Raises: what ended it, or is wrong
    with it."""
    from dataclasses import asdict

    answer, usage = whole_answer(chat, chat.ask(question, *files))
    text, schema = answer.text, chat.journal.saved().described.sampling.schema
    if schema is not None:
        from gemmahub.service.structured import checked

        cut = usage is not None and usage.finish_reason in ("length", "context")
        text = checked(text, dict(schema), cut=cut)
    info = running.session.info
    return {
        "reference": running.variant.reference,
        "name": running.variant.name,
        "precision": running.variant.precision.as_json(),
        "backend": running.backend,
        "backend_reason": running.reason,
        "engine": info.engine,
        "device": info.device,
        "context": info.context,
        "drafter": None if info.settings.drafter is None else str(info.settings.drafter),
        "chat_template": not chat.plain,
        "load_seconds": info.load_seconds,
        "text": text,
        "thinking": _thought_json(answer),
        **calls_of(chat, answer),
        "usage": asdict(usage) if usage else None,
    }


def _thought_json(answer: SavedMessage) -> dict[str, Any] | None:
    """What the model thought, and what that took; ``finished`` is false where no answer followed.
    None where it did not think."""
    if not answer.thought:
        return None
    timings = answer.timings
    return {
        "text": answer.thought,
        "tokens": timings.reasoning_tokens if timings else None,
        "seconds": timings.reasoning_seconds if timings else None,
        "finished": bool(answer.text),
    }

"""``gemmahub run``: one answer, or a conversation on a terminal."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from gemmahub.cli import output
from gemmahub.cli.asking import (
    image_option,
    images_of,
    interruptible,
    question_of,
    warn_of_context,
)
from gemmahub.engines.contract import Sampling, Settings
from gemmahub.errors import ExitCode, NotInstalled, UsageError
from gemmahub.formats.ggml_types import CACHE_TYPES

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.chat import Conversation
    from gemmahub.engines.contract import Usage
    from gemmahub.service import Gemmahub, Running
_EXAMPLE = 'gemmahub run MODEL "The capital of France is"'


@click.command(name="run")
@click.argument("reference")
@click.argument("prompt", required=False)
@click.option("-c", "--ctx-size", type=click.IntRange(min=1), help="Context length in tokens.")
@click.option("-n", "--max-tokens", type=click.IntRange(min=1), help="Longest answer in tokens.")
@click.option("--temperature", type=click.FloatRange(min=0), default=1.0, show_default=True)
@click.option("--top-k", type=click.IntRange(min=0), default=64, show_default=True)
@click.option("--top-p", type=click.FloatRange(0, 1), default=0.95, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 2), help="Makes an answer repeatable.")
@image_option
@click.option("--system", help="What the model should know before the conversation.")
@click.option("--backend", help="The engine to use; otherwise the best one for the format.")
@click.option(
    "--option", "engine_options", multiple=True, metavar="NAME=VALUE", help="One of the engine's."
)
@click.option(
    "--cache-type",
    type=click.Choice(CACHE_TYPES),
    default="f16",
    show_default=True,
    help="Precision of the KV cache.",
)
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads [physical cores].")
@click.option("--gpu-layers", type=click.IntRange(min=0), help="Layers on the GPU [all].")
@click.option(
    "--raw", is_flag=True, help="Complete the prompt as it stands, without chat template."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a stream.")
@click.option("-v", "--verbose", is_flag=True, help="Say why this engine; print timings.")
def run_command(reference: str, prompt: str | None, **options: Any) -> int:
    """Ask a model, or talk to it.

    PROMPT is the question; "-" or a pipe reads it from standard input. Without one, on a terminal,
    a conversation starts: Ctrl-C stops an answer, Ctrl-D ends the conversation.
    """
    from gemmahub.chat import Conversation
    from gemmahub.service import Gemmahub

    question = question_of(prompt, example=_EXAMPLE, alone=options["as_json"])
    hub = Gemmahub(say=output.note)
    running = _start(hub, reference, options)
    output.progress("")
    _warn_of_training(running, options["ctx_size"])
    with running.session as session:
        conversation = Conversation(session, system=options["system"], raw=options["raw"])
        images = images_of(running, options["images"], plain=conversation.plain)
        sampling = _sampling(options, plain=conversation.plain)
        if options["as_json"]:
            answer = _answer_json(running, conversation, question or "", sampling, images)
            output.json_data(answer)
            return ExitCode.DONE
        output.note(running.headline)
        if options["verbose"]:
            output.note(f"backend {running.backend}: {running.reason}")
        if images and running.image_note:
            output.note(running.image_note)
        if question is not None:
            return _answer(conversation, question, sampling, images, verbose=options["verbose"])
        from gemmahub.cli.prompt_loop import converse

        return converse(
            lambda text, with_images: _answer(
                conversation, text, sampling, with_images, verbose=options["verbose"]
            ),
            hub.config.data,
            forget=conversation.clear,
            images=images,
        )


def _start(hub: Gemmahub, reference: str, options: dict[str, Any]) -> Running:
    """The loaded model; one that is not here is pulled first where a person says so."""
    settings = _settings(options)
    chosen: dict[str, Any] = {
        "backend": options["backend"],
        "options": _engine_options(options["engine_options"]),
    }
    try:
        return hub.start(reference, settings, **chosen, on_progress=output.loading)
    except NotInstalled as missing:
        if options["as_json"] or not output.interactive():
            raise
        from gemmahub.cli.pull import offer

        reference = offer(hub, missing)
    return hub.start(reference, settings, **chosen, on_progress=output.loading)


def _engine_options(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {name.strip(): value for name, _, value in (text.partition("=") for text in texts)}
    if wrong := next((text for text in texts if "=" not in text), None):
        raise UsageError(f"--option {wrong!r} has no value", "write it as --option NAME=VALUE")
    return pairs


def _settings(options: dict[str, Any]) -> Settings:
    return Settings(
        context=options["ctx_size"],
        cache_type_k=options["cache_type"],
        cache_type_v=options["cache_type"],
        gpu_layers=options["gpu_layers"],
        threads=options["threads"],
    )


def _warn_of_training(running: Running, asked: int | None) -> None:
    trained = running.session.info.context_trained
    if asked is not None and trained is not None and asked > trained:
        output.warning(
            f"{asked:,} tokens are more than the {trained:,} that the model was trained for: "
            "its answers get worse there"
        )


def _sampling(options: dict[str, Any], *, plain: bool) -> Sampling:
    from gemmahub.chat import COMPLETION_TOKENS

    return Sampling(
        max_tokens=options["max_tokens"] or (COMPLETION_TOKENS if plain else None),
        temperature=options["temperature"],
        top_k=options["top_k"],
        top_p=options["top_p"],
        seed=options["seed"],
    )


def _answer(
    conversation: Conversation,
    question: str,
    sampling: Sampling,
    images: tuple[Path, ...] = (),
    *,
    verbose: bool,
) -> int:
    """Stream one answer; Ctrl-C stops it and still shows what came."""
    shown = output.Answer()
    usage: Usage | None = None
    with (
        interruptible(conversation.cancel) as interrupted,
        closing(conversation.ask(question, sampling, images)) as chunks,
    ):
        for chunk in chunks:
            shown.write(chunk.text)
            usage = chunk.usage or usage
    shown.end()
    _after(usage, verbose=verbose)
    return ExitCode.INTERRUPTED if interrupted else ExitCode.DONE


def _after(usage: Usage | None, *, verbose: bool) -> None:
    if usage is None:
        return
    warn_of_context(usage.finish_reason, usage.context, truncated=usage.truncated)
    if verbose:
        output.note(_timings(usage))


def _timings(usage: Usage) -> str:
    def rate(tokens: int, seconds: float) -> str:
        return f"{tokens / seconds:.1f} tokens/s" if seconds > 0 else "no time"

    return (
        f"prompt {usage.prompt_tokens:,} tokens, {usage.prefill_tokens:,} evaluated in "
        f"{usage.prefill_seconds * 1000:.0f} ms "
        f"({rate(usage.prefill_tokens, usage.prefill_seconds)})"
        f" · answer {usage.tokens:,} tokens ({rate(usage.tokens, usage.decode_seconds)})"
        f" · context {usage.context_used:,} of {usage.context:,} · ended by {usage.finish_reason}"
    )


def _answer_json(
    running: Running,
    conversation: Conversation,
    question: str,
    sampling: Sampling,
    images: tuple[Path, ...],
) -> dict[str, Any]:
    from dataclasses import asdict

    text, usage = "", None
    for chunk in conversation.ask(question, sampling, images):
        text += chunk.text
        usage = chunk.usage or usage
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
        "chat_template": not conversation.plain,
        "load_seconds": info.load_seconds,
        "text": text,
        "usage": asdict(usage) if usage else None,
    }

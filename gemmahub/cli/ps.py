"""``gemmahub ps`` and ``stop``: what is loaded now, and giving it back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from gemmahub.cli import output
from gemmahub.cli.forms import Form, answer_options
from gemmahub.text import format_gib, plural

if TYPE_CHECKING:
    from gemmahub.service.loaded import LoadedModels, LoadedRow


@click.command(name="ps")
@answer_options("ps")
def ps_command(form: Form) -> None:
    """List the models in memory.

    Each is shown with the context that it really has.
    """
    from gemmahub.service import Library
    from gemmahub.service.loaded import loaded_models

    found = loaded_models(Library(say=output.note))
    form.answer(
        lambda: {"models": [r.as_json() for r in found.rows], "remarks": list(found.remarks)},
        lambda: _show(found),
    )


def _show(found: LoadedModels) -> None:
    if found.rows:
        output.table(
            ("model", "precision", "backend", "memory", "on", "context", "until"),
            [_row(row) for row in found.rows],
            right=("memory", "context"),
        )
    else:
        output.note("nothing is loaded")
    for row in found.rows:
        if row.mismatch:
            output.warning(row.mismatch)
    for remark in found.remarks:
        output.note(remark)


@click.command(name="stop")
@click.argument("reference", required=False)
def stop_command(reference: str | None) -> None:
    """Unload a model from memory.

    Without REFERENCE it unloads all that `gemmahub ps` shows. Answers in progress are finished
    first. The next request for the model loads it again.
    """
    from gemmahub.service import Library
    from gemmahub.service.stopping import stop

    for model in stop(Library(say=output.note), reference):
        size = "" if model.memory_bytes is None else f", {format_gib(model.memory_bytes)}"
        output.note(f"unloaded {model.name} from {model.backend}{size}")


def _row(row: LoadedRow) -> tuple[str, ...]:
    model = row.model
    memory, context = model.memory_bytes, model.context
    return (
        model.name,
        row.precision or "?",
        model.backend,
        "?" if memory is None else format_gib(memory),
        model.device or "?",
        "?" if context is None else f"{context:,}",
        until(model.until, datetime.now(UTC)),
    )


def until(text: str, now: datetime) -> str:
    """A time as how long it is from now: ``5 minutes``; as it is where it is no time."""
    try:
        seconds = (datetime.fromisoformat(text) - now).total_seconds()
    except (ValueError, TypeError):
        return text
    if seconds < 0:
        return "now"
    if seconds > 10 * 365 * 24 * 3600:  # how Ollama writes for ever
        return "unloaded by request"
    minutes = round(seconds / 60)
    return plural(minutes // 60, "hour") if minutes >= 120 else plural(max(minutes, 1), "minute")

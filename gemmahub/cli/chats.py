"""``gemmahub chats``: the conversations that the terminal UI keeps."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gemmahub.cli import output
from gemmahub.cli.continue_chat import continue_command
from gemmahub.cli.forms import Form, answer_options
from gemmahub.errors import ExitCode, UsageError
from gemmahub.text import one_line, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.conversations import (
        BrokenConversation,
        ConversationStore,
        ConversationSummary,
        Match,
        Saved,
        SavedMessage,
    )

_SHOWN = 20
"""Titles that a question names."""


@click.group(name="chats", invoke_without_command=True)
@answer_options("chats list")
@click.pass_context
def chats_command(context: click.Context, form: Form) -> None:
    """List, show, continue and export saved conversations.

    Without a subcommand it lists them. ID is the name of a conversation, or its first letters.
    """
    if context.invoked_subcommand is None:
        _list("", form)


chats_command.add_command(continue_command)


@chats_command.command(name="list")
@click.option(
    "--search",
    default="",
    metavar="TEXT",
    help="Only those that contain each word; #duel, #270m: in their tags.",
)
@answer_options("chats list")
def list_command(search: str, form: Form) -> None:
    """List saved conversations, the last changed first."""
    _list(search, form)


@chats_command.command(name="show")
@click.argument("id_", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_command(id_: str, as_json: bool) -> None:
    """Show a conversation."""
    saved = _load(_store(), id_)
    if as_json:
        from gemmahub.conversations import as_json as everything

        output.json_data(everything(saved))
    else:
        _show(saved)


@chats_command.command(name="export")
@click.argument("id_", metavar="ID")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("markdown", "json")),
    help="Format [from the file's name, else Markdown].",
)
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(path_type=Path),
    help="Write to this file instead of standard output.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
def export_command(id_: str, format_: str | None, path: Path | None, force: bool) -> None:
    """Export a conversation as Markdown or JSON."""
    from gemmahub.conversations import as_text, write_export

    saved = _load(_store(), id_)
    if path is None or str(path) == "-":
        output.data(as_text(saved, format_ or "markdown"), end="")  # JSON is in ASCII already
        return
    try:
        write_export(saved, path, format_, replace=force)
    except UsageError as refused:
        raise UsageError(refused.message, "choose another file, or use --force") from None
    output.note(f"written to {path}")


@chats_command.command(name="rename")
@click.argument("id_", metavar="ID")
@click.argument("title")
def rename_command(id_: str, title: str) -> None:
    """Rename a conversation.

    An empty TITLE stands for the first question.
    """
    store = _store()
    found = store.find(id_)
    store.rename(found, title)
    output.data(f"{found}  {store.load(found).shown_title}")


@chats_command.command(name="rm")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
def rm_command(ids: Sequence[str], yes: bool) -> int:
    """Delete conversations for good.

    Files that cannot be read are deleted, too.
    """
    store = _store()
    found = list(dict.fromkeys(map(store.find, ids)))
    if not yes and not _agreed(store, found):
        output.note("nothing was removed")
        return ExitCode.FAILED
    for id_ in found:
        store.delete(id_)
        output.data(id_)
    return ExitCode.DONE


def _store() -> ConversationStore:
    from gemmahub.service import Library

    return Library().conversations


def _load(store: ConversationStore, id_: str) -> Saved:
    saved = store.load(store.find(id_))
    _warn_of_damage(store, saved)
    return saved


def _warn_of_damage(store: ConversationStore, found: Saved | ConversationSummary) -> None:
    if found.damaged:
        output.warning(
            f"{found.id}: {plural(found.damaged, 'line')} of its file cannot be read; "
            f"{found.problem} ({store.folder / found.id}.jsonl)"
        )


def _list(search: str, form: Form) -> None:
    from gemmahub.conversations import BrokenConversation

    store = _store()
    found = store.search(search)
    broken = [row for row in store.rows() if isinstance(row, BrokenConversation)]
    form.answer(
        lambda: {
            "conversations": [m.summary.as_json() | {"excerpt": m.excerpt} for m in found],
            "broken": [
                {"id": row.id, "path": str(row.path), "reason": row.reason} for row in broken
            ],
        },
        lambda: _show_list(store, found, broken, search),
    )


def _show_list(
    store: ConversationStore,
    found: Sequence[Match],
    broken: Sequence[BrokenConversation],
    search: str,
) -> None:
    if found:
        columns = ("title", "model", "precision", "turns", "changed", "id")
        rows = [_row(match, search) for match in found]
        output.table((*columns, "found") if search else columns, rows, right=("turns",))
    elif search:
        output.note(f"no conversation contains {search!r}: gemmahub chats list shows them all")
    else:
        output.note("no conversations yet: gemmahub saves those of its terminal UI")
    for match in found:
        _warn_of_damage(store, match.summary)
    for row in broken:
        output.warning(f"{row.id}: {row.reason} ({row.path})")


def _row(match: Match, search: str) -> tuple[str, ...]:
    row = match.summary
    cells = (
        row.title,
        row.model or row.reference,
        row.short_precision,
        f"{row.messages:,}",
        _when(row.changed),
        row.id,
    )
    return (*map(one_line, cells), match.excerpt) if search else tuple(map(one_line, cells))


def _show(saved: Saved) -> None:
    from gemmahub.conversations.export import shown_call

    held = saved.described
    output.facts(
        [
            ("title", saved.shown_title),
            ("model", f"{held.model} ({held.reference})" if held.model else held.reference),
            ("precision", held.precision),
            ("engine", held.engine),
            ("system", one_line(held.system)),
            ("held", f"{_when(saved.created)} to {_when(saved.changed)}"),
            ("turns", f"{len(saved.messages):,}"),
            ("damaged", plural(saved.damaged, "line") if saved.damaged else ""),
            ("id", saved.id),
        ]
    )
    for message in saved.messages:
        output.data("")
        output.data(output.painted(_speaker(message), "1"))
        if message.text or not message.tool_calls:
            output.data(message.text)
        for call in message.tool_calls:
            output.data(f"called {shown_call(call)}")


def _speaker(message: SavedMessage) -> str:
    from gemmahub.conversations.export import SPEAKERS

    who = SPEAKERS.get(message.role, message.role)
    if message.role == "assistant" and message.model:
        who = one_line(" · ".join(message.model.split(" · ")[:2]))
    ended = f" ({message.finish})" if message.finish not in ("", "stop", "tool_calls") else ""
    return f"{who}{ended}:"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M") if seconds else "?"


def _agreed(store: ConversationStore, ids: list[str]) -> bool:
    """Whether a person says yes, who sees the titles.

    Raises: UsageError where nobody can be asked.
    """
    if not output.interactive():
        raise UsageError(
            "cannot ask for confirmation: standard input is not a terminal",
            "use --yes, or look at them first with gemmahub chats show",
        )
    titles: dict[str, Any] = {match.summary.id: match.summary.title for match in store.search("")}
    for id_ in ids[:_SHOWN]:
        output.note(f"{id_}  {titles.get(id_, 'cannot be read')}")
    if len(ids) > _SHOWN:
        output.note(f"and {len(ids) - _SHOWN:,} more")
    return output.confirm(f"Remove {plural(len(ids), 'conversation')} for good?")

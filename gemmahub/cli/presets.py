"""``gemmahub presets``: models with their settings under a name, for ``gemmahub run @NAME``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gemmahub.cli import output
from gemmahub.cli.preset_options import field_options, given_values
from gemmahub.errors import ExitCode, UsageError
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.service.presets import ModelPreset
    from gemmahub.service.presets.exchange import OfferedPreset

_json: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_yes: Callable[[Any], Any] = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@click.group(name="presets", invoke_without_command=True)
@_json
@click.pass_context
def presets_command(context: click.Context, as_json: bool) -> None:
    """List and save models with their settings, for run @NAME."""
    if context.invoked_subcommand is None:
        _list(as_json=as_json)


@presets_command.command(name="list")
@_json
def list_command(as_json: bool) -> None:
    """List presets."""
    _list(as_json=as_json)


def _list(*, as_json: bool) -> None:
    from gemmahub.service.presets import presets

    good, broken = presets()
    if as_json:
        wrong = [{"name": one.name, "reason": one.reason} for one in broken]
        output.json_data({"presets": [one.as_json() for one in good], "broken": wrong})
        return
    if not good and not broken:
        output.note(
            "there are no presets yet; gemmahub presets save NAME MODEL makes one, and so does "
            "/preset NAME in a conversation"
        )
        return
    rows = [(one.reference, one.model, _in_short(one)) for one in good]
    output.table(("preset", "model", "settings"), rows)
    for one in broken:
        output.warning(one.reason, f"gemmahub config edit, or gemmahub presets remove {one.name}")


@presets_command.command(name="show")
@click.argument("name")
@_json
def show_command(name: str, as_json: bool) -> None:
    """Show a preset."""
    from gemmahub.service.presets import find_preset

    found = find_preset(name)
    if as_json:
        output.json_data(found.as_json())
        return
    _show(found)
    output.data("")
    output.data(command_line("run", found.reference))


@presets_command.command(name="save")
@click.argument("name")
@click.argument("model")
@field_options
@_yes
def save_command(name: str, model: str, yes: bool, **fields: Any) -> int:
    """Save a preset in the settings file.

    NAME is lowercase; MODEL is anything that other commands accept. Comments in the file are kept.
    Nothing is downloaded or started.
    """
    from gemmahub.service.presets import is_kept, save_preset

    wanted = name.removeprefix("@")
    values = {"model": model, **given_values(fields)}
    if is_kept(wanted) and not _may(f"replace the preset {wanted}", yes=yes):
        return _nothing()
    saved = save_preset(wanted, values)
    output.note(f"kept {saved.reference}; use it: {command_line('run', saved.reference)}")
    _doubt(saved)
    return ExitCode.DONE


@presets_command.command(name="remove")
@click.argument("name")
def remove_command(name: str) -> None:
    """Remove a preset from the settings file. No model is removed."""
    from gemmahub.service.presets import remove_preset

    remove_preset(name)
    output.note(f"@{name.removeprefix('@')} was removed")


@presets_command.command(name="export")
@click.argument("names", nargs=-1)
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path), help="A file, .toml or .json."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("toml", "json")),
    help="Format [from the file's name, else toml].",
)
@click.option("--paths", is_flag=True, help="Keep paths to files of this machine.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def export_command(
    names: tuple[str, ...], target: Path | None, form: str | None, paths: bool, force: bool
) -> None:
    """Export presets to a file for other people.

    Without a name, all presets are exported. A system prompt in a file is exported as its text.
    Paths to files of this machine are left out.
    """
    from gemmahub.service.presets import find_preset, presets
    from gemmahub.service.presets.exchange import exported

    chosen = [find_preset(name) for name in names] if names else presets()[0]
    if not chosen:
        raise UsageError("there are no presets", "gemmahub presets save NAME MODEL makes one")
    suffix = target.suffix.casefold().removeprefix(".") if target else ""
    form = form or ("json" if suffix == "json" else "toml")
    text, notes = exported(chosen, form, paths=paths)
    for note in notes:
        output.note(note)
    if target is None:
        output.data(text, end="")
        return
    from gemmahub.service.presets.exchange import write_export

    write_export(target, text, replace=force)
    output.note(f"wrote {target}")


@presets_command.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--as", "name", metavar="NAME", help="Name for the preset [the file's].")
@click.option("--model", metavar="REF", help="Model to use instead of the file's.")
@click.option("--paths", is_flag=True, help="Keep paths to files of this machine.")
@click.option("--dry-run", is_flag=True, help="Only show what is in the file.")
@_yes
@_json
def import_command(
    file: Path,
    name: str | None,
    model: str | None,
    paths: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Import presets from a file, after showing them.

    FILE is TOML, JSON, or an Ollama Modelfile; parts of a Modelfile that are left out are named. No
    model is downloaded, and no file that it names is read.
    """
    from gemmahub.service.presets import is_kept, save_preset
    from gemmahub.service.presets.exchange import read_presets

    offered = read_presets(file, name=name, model=model, paths=paths)
    taken = [one.preset.name for one in offered if is_kept(one.preset.name)]
    if not as_json:
        for one in offered:
            _show_offered(one)
    saved = False
    if not dry_run:
        names = ", ".join(f"@{one.preset.name}" for one in offered)
        what = f"keep {names}" + (f" (replaces {', '.join(taken)})" if taken else "")
        if not _may(what, yes=yes):
            return _nothing()
        for one in offered:
            save_preset(one.preset.name, one.preset.values)
        saved = True
    if as_json:
        output.json_data({"presets": [one.as_json() for one in offered], "saved": saved})
    elif saved:
        output.note(f"kept {names}; use it: {command_line('run', offered[0].preset.reference)}")
        for one in offered:
            _doubt(one.preset)
    return ExitCode.DONE


def _show_offered(offered: OfferedPreset) -> None:
    _show(offered.preset)
    for text in offered.left_out:
        output.note(f"left out: {text}")


def _show(preset: ModelPreset) -> None:
    rows = [("preset", preset.reference)]
    for name, text in preset.shown():
        if name == "system":  # all of it: a stranger may have written it
            first, *more = preset.system().split("\n") or [""]
            rows += [("system", first), *(("", line or " ") for line in more)]
        else:
            rows.append((name, text))
    output.facts(rows)


def _in_short(preset: ModelPreset) -> str:
    parts = [f"{name} {text[:40]}" for name, text in preset.shown() if name != "model"]
    return ", ".join(parts)


def _doubt(preset: ModelPreset) -> None:
    """Warn of a model that nothing here knows."""
    from gemmahub.service import Library
    from gemmahub.service.presets.kept import doubtful_model

    if doubt := doubtful_model(Library(), preset):
        output.warning(f"{preset.reference}: {doubt}")


def _may(what: str, *, yes: bool) -> bool:
    """Whether it may be done. Raises: UsageError where nobody can be asked."""
    if yes:
        return True
    if not output.interactive():
        raise UsageError(f"cannot ask whether to {what}: this is not a terminal", "use --yes")
    return output.confirm(f"{what[0].upper()}{what[1:]}?")


def _nothing() -> int:
    output.note("nothing was changed")
    return ExitCode.FAILED

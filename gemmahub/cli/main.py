"""The command line: one group, its commands loaded when they are asked for, one error boundary."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TextIO

import click
from click.core import ParameterSource

from gemmahub import __version__
from gemmahub.cli.windows_faults import is_closed_pipe, too_long_path
from gemmahub.errors import ExitCode, GemmahubError, UsageError
from gemmahub.text.streams import (
    allow_colours,
    give_stdout_back,
    guarded,
    keep_stdout,
    open_closed_streams,
    write_utf8,
)

# name -> (module, one line of help). The help stands here so that `gemmahub --help`
# loads no command.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "list": ("models", "Models on this machine, each with its precision"),
    "inspect": ("models", "What a model file really is, measured from its tensors"),
    "search": ("search", "Find models on Hugging Face, each file with its precision"),
    "pull": ("pull", "Get a model from Hugging Face, after saying what it is"),
    "run": ("run", "Ask a model, or talk to it"),
    "quality": ("quality", "What the precision of a model costs, measured by a text"),
    "quantize": ("quantize", "Make a model at another precision, from the files that are here"),
    "embed": ("embed", "Vectors of texts, by which texts of like meaning are found"),
    "chats": ("chats", "Conversations that were kept: list, show, export, rename, remove"),
    "serve": ("serve", "Serve models to editors and programs, as OpenAI and Anthropic do"),
    "ps": ("ps", "Models that engines hold in memory now"),
    "stop": ("ps", "Unload a model from the servers that hold it"),
    "plan": ("plan", "What a model takes of the memory that is free, part by part"),
    "recommend": ("recommend", "What this machine runs best, and why"),
    "bench": ("bench", "How fast models are on this machine, measured"),
    "compare": ("compare", "Variants side by side: precision, memory, speed, quality"),
    "report": ("report", "One file about variants, with plots, to keep or to send"),
    "du": ("disk", "What models take on the disks, and what lies there twice"),
    "rm": ("disk", "Remove a model, after showing what goes"),
    "dedupe": ("disk", "Let files of the same content share their place"),
    "hardware": ("hardware", "What this machine is, each figure with its source"),
    "plugins": ("plugins", "Plugins, what they offer, and why one does not work"),
    "config": ("config", "Settings: what there is, where each value comes from, and changing them"),
    "doctor": ("doctor", "Check this installation"),
}
ALIASES: Final = {"ls": "list", "show": "inspect"}
TAKEN: Final = (*COMMANDS, *ALIASES)
"""Names that no plugin's command can have."""
_GARBAGE_AFTER: Final = 50_000
"""Objects made before they are looked through; 700 by Python's default."""


class _HelpFormatter(click.HelpFormatter):
    """Help of commands, also of plugins', with harmless text."""

    def getvalue(self) -> str:
        from gemmahub.text import strip_controls

        return strip_controls(super().getvalue())


class LazyGroup(click.Group):
    """Imports a command's module only when that command runs; plugins add theirs after ours."""

    _plugins_added = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands: ours in their order, then those of plugins."""
        self._add_plugin_commands()
        return [*COMMANDS, *sorted(name for name in self.commands if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command with that name or alias."""
        name = ALIASES.get(cmd_name, cmd_name)
        if name in COMMANDS:
            module = import_module(f"gemmahub.cli.{COMMANDS[name][0]}")
            command: click.Command = getattr(module, f"{name}_command")
            return command
        self._add_plugin_commands()
        return self.commands.get(name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the nearest names for a typing error. A plugin's command may colour
        what it prints."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            from gemmahub.text import nearest, one_line

            near = nearest(name, [*COMMANDS, *ALIASES, *self.commands])
            hint = f"did you mean {', '.join(near)}?" if near else "gemmahub --help lists commands"
            raise UsageError(f"there is no command {one_line(name)!r}", hint)
        if ALIASES.get(name, name) not in COMMANDS:
            allow_colours()
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Ours with their one line of help, without importing them."""
        rows = []
        for name in self.list_commands(ctx):
            if name in COMMANDS:
                aliases = [alias for alias, target in ALIASES.items() if target == name]
                rows.append((" | ".join([name, *aliases]), COMMANDS[name][1]))
            else:
                rows.append((name, self.commands[name].get_short_help_str()))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _add_plugin_commands(self) -> None:
        if self._plugins_added:
            return
        self._plugins_added = True
        from gemmahub.cli import output
        from gemmahub.service import Library

        library = Library(say=output.note)
        self.commands.update(library.plugins_manager.commands(TAKEN, library))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="GEMMAHUB_DEBUG=1 shows tracebacks. All commands: docs/reference/commands.md.",
)
@click.version_option(__version__, prog_name="gemmahub", message="%(prog)s %(version)s")
@click.option("--web", is_flag=True, help="Serve the terminal UI to a browser on this machine.")
@click.option("--open", "open_page", is_flag=True, help="With --web: open the page, too.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8800, show_default=True, help="Its port."
)
@click.option(
    "--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Its address."
)
@click.option("--socket", type=click.Path(path_type=Path), help="A Unix socket, and no port.")
@click.option(
    "--files",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="The folder for its exports and images.  [default: the current one]",
)
@click.pass_context
def cli(
    context: click.Context,
    web: bool,
    open_page: bool,
    port: int,
    host: str,
    socket: Path | None,
    files: Path,
) -> None:
    """Run Gemma models on your own machine, precision in plain sight.

    Without a command it opens the terminal UI.
    """
    from gemmahub.cli import output

    _check_web_options(context, web)
    if context.invoked_subcommand is not None:
        return
    if web:
        from gemmahub.http.place import Place
        from gemmahub.tui.web import serve

        place = Place(host, port, "gemmahub --web", socket)
        serve(place, files, output.note, open_page=open_page)
    elif output.interactive() and os.environ.get("TERM") != "dumb":
        from gemmahub.tui.app import run as open_ui

        give_stdout_back()
        open_ui()
    else:
        output.data(context.get_help())


def _check_web_options(context: click.Context, web: bool) -> None:
    """Raises: UsageError for options that do nothing together."""
    given = [
        name
        for name in ("open_page", "port", "host", "socket", "files")
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if web and context.invoked_subcommand is not None:
        raise UsageError("--web opens the UI and takes no command", "gemmahub --web")
    if given and not web:
        option = given[0].partition("_")[0]
        raise UsageError(f"--{option} is for the UI in a browser", f"gemmahub --web --{option} ...")
    if {"host", "socket"} <= set(given):
        raise UsageError("give --socket or --host, not both", "gemmahub --web --socket PATH")


def main() -> None:
    """Run the command line and leave with its exit code. The only error boundary."""
    # What is loaded stays: looking through it for garbage took a tenth of the time of a command.
    gc.set_threshold(_GARBAGE_AFTER, 10, 10)
    open_closed_streams()
    write_utf8()
    keep_stdout()
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        _let_go(stream)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line; its exit code."""
    as_json = (
        "--json" in arguments[: arguments.index("--")]
        if "--" in arguments
        else ("--json" in arguments)
    )
    # Commands of plugins have contexts of click's own class.
    click.Context.formatter_class = _HelpFormatter
    with guarded():
        return _guarded_run(arguments, as_json=as_json)


def _guarded_run(arguments: list[str], *, as_json: bool) -> int:
    try:
        result: Any = cli.main(arguments, prog_name="gemmahub", standalone_mode=False)
        _flush()
        return result if isinstance(result, int) else ExitCode.DONE
    except BrokenPipeError:
        _let_go(sys.stdout)
        return ExitCode.DONE
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED
    except GemmahubError as failure:
        return _fail(failure, as_json=as_json)
    except click.ClickException as failure:
        return _fail(_as_usage_error(failure), as_json=as_json)
    except Exception as failure:  # noqa: BLE001 - the error boundary
        if isinstance(failure, OSError) and not _let_go(sys.stdout):
            if is_closed_pipe(failure):
                return ExitCode.DONE
            return _fail(_not_written(failure), as_json=False, cause=failure)
        return _fail(_as_defect(failure), as_json=as_json, cause=failure)


def _fail(failure: GemmahubError, *, as_json: bool, cause: Exception | None = None) -> int:
    from gemmahub.cli import output
    from gemmahub.config import debug

    if debug():
        output.traceback(cause or failure)
    try:
        output.error(failure, as_json=as_json)
    except OSError as full:
        _let_go(sys.stdout)
        if as_json and not isinstance(full, BrokenPipeError):
            with suppress(OSError):
                output.error(failure, as_json=False)
    return failure.exit_code


def _as_usage_error(failure: click.ClickException) -> GemmahubError:
    context = getattr(failure, "ctx", None)
    command = context.command_path if context is not None else "gemmahub"
    return UsageError(failure.format_message(), f"{command} --help shows what it takes")


def _as_defect(failure: Exception) -> GemmahubError:
    if isinstance(failure, OSError):
        if (too_long := too_long_path(failure)) is not None:
            return too_long
        where = f"{failure.filename}: " if failure.filename else ""
        reason = failure.strerror or str(failure)
        return GemmahubError(f"{where}{reason}", "fix that and try again")
    return GemmahubError(
        f"unexpected {type(failure).__name__}: {failure}",
        "this is a defect: run again with GEMMAHUB_DEBUG=1 and report what it prints",
    )


def _flush() -> None:
    sys.stdout.flush()


def _not_written(failure: OSError) -> GemmahubError:
    return GemmahubError(
        f"the output could not be written: {failure.strerror or failure}",
        "make room there, or write it elsewhere",
    )


def _let_go(stream: TextIO) -> bool:
    """Write what a stream still holds. Where that fails (a full disk; ``gemmahub list | head``,
    whose reader went away) it is dropped, or Python would complain of it at exit; False then."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True

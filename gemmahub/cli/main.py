"""The command line: one group, its commands loaded when they are asked for, one error boundary."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TextIO

import click
from click.core import ParameterSource

from gemmahub import __version__
from gemmahub.cli.lazy_group import HelpFormatter, LazyGroup
from gemmahub.cli.shell_scripts import COMPLETES
from gemmahub.cli.windows_faults import is_closed_pipe, too_long_path
from gemmahub.errors import ExitCode, GemmahubError, UsageError
from gemmahub.text.streams import (
    give_stdout_back,
    guarded,
    keep_stdout,
    open_closed_streams,
    write_utf8,
)

# Task -> name -> (module, one line of help). The help stands here so that `gemmahub --help` loads
# no command; it is the first line of the command's own.
GROUPS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "Get models": {
        "search": ("search", "Find models to download, with the precision of each file"),
        "pull": ("pull", "Download a model"),
        "list": ("models", "List the models on this machine"),
        "inspect": ("models", "Show what is really in a model file"),
        "quantize": ("quantize", "Convert a model to another precision"),
    },
    "Run": {
        "run": ("run", "Ask a model a question, or chat with it"),
        "chats": ("chats", "List, show, continue and export saved conversations"),
        "presets": ("presets", "List and save models with their settings, for run @NAME"),
        "embed": ("embed", "Turn texts into vectors"),
    },
    "Serve": {
        "serve": ("serve", "Serve models over HTTP, with the OpenAI and Anthropic APIs"),
        "ps": ("ps", "List the models in memory"),
        "stop": ("ps", "Unload a model from memory"),
    },
    "Choose and measure": {
        "recommend": ("recommend", "Recommend models for this machine"),
        "plan": ("plan", "Estimate a model's memory use, by component"),
        "compare": ("compare", "Compare variants side by side"),
        "bench": ("bench", "Measure how fast models run"),
        "quality": ("quality", "Measure what a model's precision costs"),
        "report": ("report", "Write a report about models, with plots"),
    },
    "Disk": {
        "du": ("disk", "Show disk usage by model, with duplicates"),
        "dedupe": ("disk", "Deduplicate identical model files"),
        "rm": ("disk", "Remove a model from this machine"),
    },
    "System": {
        "hardware": ("hardware", "Show this machine: accelerators, memory and processor"),
        "doctor": ("doctor", "Check this installation"),
        "setup": ("setup", "Set up gemmahub on this machine"),
        "plugins": ("plugins", "List, install and create plugins"),
        "config": ("config", "Show and change settings"),
        "completion": ("completion", "Install shell completion"),
        "schema": ("schema", "Print the JSON schema of a command's output"),
    },
}
COMMANDS: Final = {name: entry for group in GROUPS.values() for name, entry in group.items()}
ALIASES: Final = {"ls": "list", "show": "inspect"}
TAKEN: Final = (*COMMANDS, *ALIASES)
"""Names that no plugin's command can have."""
_GARBAGE_AFTER: Final = 50_000
"""Objects made before they are looked through; 700 by Python's default."""


@click.group(
    cls=LazyGroup,
    tasks=GROUPS,
    aliases=ALIASES,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="GEMMAHUB_DEBUG=1 shows tracebacks. All commands: docs/reference/commands.md.",
)
@click.version_option(__version__, prog_name="gemmahub", message="%(prog)s %(version)s")
@click.option("--web", is_flag=True, help="Serve the terminal UI to a browser on this machine.")
@click.option("--open", "open_page", is_flag=True, help="With --web: also open the page.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8800,
    show_default=True,
    help="Port to listen on.",
)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on.",
)
@click.option(
    "--socket", type=click.Path(path_type=Path), help="Listen on a Unix socket instead of a port."
)
@click.option(
    "--files",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="Folder for exports and images.  [default: the current one]",
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
        if open_ui() == "gemmahub setup":  # where nothing was here, and it was wanted
            from gemmahub.cli.setup import setup_command

            context.exit(context.invoke(setup_command))
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
        raise UsageError("--web opens the UI: it takes no command", "gemmahub --web")
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
    code = _completed() if COMPLETES in os.environ else run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        _let_go(stream)
    sys.exit(code)


def _completed() -> int:
    from gemmahub.cli.completing import answer

    return answer(cli)


def run(arguments: list[str]) -> int:
    """Run one command line; its exit code."""
    as_json = _asks_for_json(arguments)
    # Commands of plugins have contexts of click's own class.
    click.Context.formatter_class = HelpFormatter
    with guarded():
        return _guarded_run(arguments, as_json=as_json)


def _asks_for_json(arguments: list[str]) -> bool:
    """Whether failures are to be told as JSON: also those of words that nobody parsed yet."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return (
        "--json" in options
        or "--format=json" in options
        or ("--format", "json") in pairwise(options)
    )


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
    return UsageError(failure.format_message(), f"{command} --help shows its options")


def _as_defect(failure: Exception) -> GemmahubError:
    if isinstance(failure, OSError):
        if (too_long := too_long_path(failure)) is not None:
            return too_long
        where = f"{failure.filename}: " if failure.filename else ""
        reason = failure.strerror or str(failure)
        return GemmahubError(f"{where}{reason}", "correct the call and try again")
    return GemmahubError(
        f"unexpected {type(failure).__name__}: {failure}",
        "this is a bug in gemmahub: run again with GEMMAHUB_DEBUG=1 and report the output",
    )


def _flush() -> None:
    sys.stdout.flush()


def _not_written(failure: OSError) -> GemmahubError:
    return GemmahubError(
        f"the output could not be written: {failure.strerror or failure}",
        "free some space there, or write to another place",
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

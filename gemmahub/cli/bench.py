"""``gemmahub bench``: how fast models are on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gemmahub.cli import output
from gemmahub.cli.bench_kept import forget_command, import_command, reset_command
from gemmahub.cli.forms import CSV, JSON, MARKDOWN, TABLE, format_option
from gemmahub.cli.references import reference_argument
from gemmahub.cli.shared_options import cache_type_option
from gemmahub.engines.contract import Settings
from gemmahub.errors import ExitCode, GemmahubError, NotFound, UsageError
from gemmahub.text import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.shell_completion import CompletionItem

    from gemmahub.measurements.records import SpeedResult
    from gemmahub.service import Library
    from gemmahub.service.benching import Benched, BenchOptions
    from gemmahub.service.benching.against import Against


class _BenchGroup(click.Group):
    """``gemmahub bench REF`` measures: what is no command's name is given to ``run``."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Commands, and models, too."""
        from gemmahub.cli.completing import items

        found = super().shell_complete(ctx, incomplete)
        return [*found, *items(("installed",), incomplete)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_command = bool(args) and (args[0] in self.commands or args[0] in ("-h", "--help"))
        return super().parse_args(ctx, args if is_command or not args else ["run", *args])


@click.group(
    name="bench",
    cls=_BenchGroup,
    invoke_without_command=True,
    subcommand_metavar="[REFERENCE... | COMMAND [ARGS]...]",
)
@click.pass_context
def bench_command(context: click.Context) -> None:
    """Measure how fast models run.

    gemmahub bench REFERENCE... measures a model (see gemmahub bench run --help). Without a
    reference it shows earlier results.
    """
    if context.invoked_subcommand is None:
        from gemmahub.service import Library

        _show_kept(Library(say=output.note))


def _depths(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    found = [word.strip().replace("_", "") for word in value.split(",")]
    if not all(word.isdecimal() and word.isascii() and len(word) < 9 for word in found):
        raise UsageError(
            f"{value!r} is not a list of depths",
            "separate the numbers of tokens with commas: --depth 0,512,8192",
        )
    return tuple(map(int, found))


@bench_command.command(name="run")
@reference_argument("references", nargs=-1)
@click.option("--backend", help="The engine to use; otherwise the best one for the format.")
@click.option(
    "--option",
    "engine_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a backend option (repeatable).",
)
@click.option(
    "--depth",
    "depths",
    callback=_depths,
    metavar="TOKENS,...",
    help="Tokens already in the cache  [default: 0,512,8192]",
)
@click.option(
    "--repeat",
    type=click.IntRange(1, 1000),
    help="Runs at each depth  [default: 5, fewer if they take minutes]",
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Conversations answered at the same time.",
)
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads [physical cores].")
@click.option("--gpu-layers", type=click.IntRange(min=0), help="Layers on the GPU [all].")
@cache_type_option
@click.option(
    "--tune",
    is_flag=True,
    help="Find each model's fastest settings, and keep them for run, serve and plan.",
)
@click.option("--smaller-cache", is_flag=True, help="With --tune: try lossy cache types.")
@click.option("--force", is_flag=True, help="With --tune: measure even if the machine is busy.")
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Compare this run with a file of results.",
)
@click.option(
    "--export",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the results to a file; without a model, all results of this machine.",
)
@format_option
@click.option("--json", "as_json", is_flag=True, help="Print the results as such a file.")
@click.option("--csv", "as_csv", is_flag=True, help="Print them as CSV, a line for each depth.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print them as Markdown.")
def run_command(references: tuple[str, ...], **options: Any) -> int:
    """Measure load time, prefill and decode speed at several depths, and memory.

    Each model is loaded alone and warmed up. Ctrl-C stops and keeps the finished depths.
    """
    from gemmahub.service import Library
    from gemmahub.service.benching import against, bench
    from gemmahub.service.benching.kept import export_results

    form = _form(options)
    if options["against"] is not None and form != TABLE:
        raise UsageError("--against is shown as a table", f"leave --{form} out")
    if not options["tune"] and (options["smaller_cache"] or options["force"]):
        raise UsageError("--smaller-cache and --force are for --tune", "gemmahub bench REF --tune")
    library = Library(say=output.note)
    if not references:
        return _give_kept(library, options["export"], form)
    wanted = _options(options)
    if options["tune"]:
        return _tune(library, references, wanted, options)
    others = () if options["against"] is None else against.speeds_in(options["against"])
    done: list[Benched] = []
    code: int = ExitCode.DONE
    for reference in references:
        try:
            found = bench(library, reference, wanted, output.progress)
        except GemmahubError as failure:
            code = code or _failed(failure, references)
            continue
        output.progress("")
        if form == TABLE:
            _show(library, found, done)
            if others:
                _show_against(against.against(found.result, others))
        done.append(found)
        if found.interrupted:
            output.note("interrupted: the finished depths are saved")
            code = ExitCode.INTERRUPTED
            break
    results = [each.result for each in done]
    _print(results, form)
    if options["export"] is not None and results:
        export_results(results, options["export"])
    return code


def _give_kept(library: Library, path: Path | None, form: str) -> int:
    """All results of this machine, in a file or a form. Raises: UsageError, NotFound."""
    from gemmahub.service.benching.kept import export_results, own_results

    if path is None and form == TABLE:
        raise UsageError("no model is named", "gemmahub list shows those that are here")
    results = own_results(library)
    if not results:
        raise NotFound("nothing was measured yet", "gemmahub bench REFERENCE measures a model")
    _print(results, form)
    if path is not None:
        export_results(results, path)
        output.note(f"wrote {plural(len(results), 'result')}")
    return ExitCode.DONE


def _tune(
    library: Library, references: tuple[str, ...], wanted: BenchOptions, options: dict[str, Any]
) -> int:
    from gemmahub.service.benching.tuning import tune

    given = [name for name in ("depths", "repeat", "against", "export") if options[name]]
    given += ["parallel"] if wanted.parallel > 1 else []
    if given:
        name = given[0].removesuffix("s")
        raise UsageError(f"--tune cannot be used with --{name}", f"leave out --{name}")
    told = []
    code: int = ExitCode.DONE
    choices = {"smaller_caches": options["smaller_cache"], "force": options["force"]}
    for reference in references:
        try:
            found = tune(library, reference, wanted, **choices, on_stage=output.progress)
        except GemmahubError as failure:
            code = code or _failed(failure, references)
            continue
        output.progress("")
        told.append(found.as_json())
        if _form(options) == JSON:
            continue
        output.data(f"{found.variant.reference}: {found.text}")
        for problem in found.problems:
            output.note(f"not measured: {problem}")
        for doubt in found.doubts:
            output.warning(doubt)
    if _form(options) == JSON:
        output.json_data({"tuned": told})
    return code


def _failed(failure: GemmahubError, references: tuple[str, ...]) -> int:
    """Of several, one costs itself. Raises: the failure of a single one."""
    output.progress("")
    if len(references) == 1:
        raise failure
    output.error(failure, as_json=False)
    return failure.exit_code


def _options(options: dict[str, Any]) -> BenchOptions:
    from gemmahub.cli.run import engine_options
    from gemmahub.service.benching import BenchOptions

    return BenchOptions(
        depths=options["depths"],
        repeat=options["repeat"],
        parallel=options["parallel"],
        backend=options["backend"],
        settings=Settings(
            threads=options["threads"],
            gpu_layers=options["gpu_layers"],
            cache_type_k=options["cache_type"],
            cache_type_v=options["cache_type"],
        ),
        options=engine_options(options["engine_options"]),
    )


def _form(options: dict[str, Any]) -> str:
    """The form of ``--format`` or of its short ways. Raises: UsageError where two are given."""
    given = {name for name in (JSON, CSV, MARKDOWN) if options[f"as_{name}"]}
    given |= {options["format_"]} - {None}
    if len(given) > 1:
        raise UsageError("--json, --csv and --markdown are three forms", "choose one of them")
    return given.pop() if given else TABLE


def _print(results: Sequence[SpeedResult], form: str) -> None:
    from gemmahub.service.benching import text
    from gemmahub.service.measuring import as_file

    if form == JSON:
        output.data(as_file(results), end="")
    elif form == CSV:
        output.data(text.as_csv(results), end="")
    elif form == MARKDOWN:
        output.data(text.as_markdown(results), end="")


def _show(library: Library, found: Benched, before: list[Benched]) -> None:
    from gemmahub.service.benching.prediction import prediction
    from gemmahub.service.benching.text import COLUMNS, speed_facts, speed_rows

    result = found.result
    if before:
        output.data("")
    beside = [(each.variant, each.result) for each in before]
    predicted = prediction(library, found.variant, result, beside)
    said = [] if predicted is None else [("predicted", predicted.text)]
    output.facts([*speed_facts(result), *said])
    output.data("")
    output.table(COLUMNS, speed_rows(result), right=COLUMNS)
    for doubt in result.conditions.doubts:
        output.warning(doubt)


def _show_against(found: Against) -> None:
    from gemmahub.service.benching.against import AGAINST_COLUMNS

    output.data("")
    if found.ratios:
        rows = [ratio.row for ratio in found.ratios]
        output.table(AGAINST_COLUMNS, rows, right=(AGAINST_COLUMNS[0], *AGAINST_COLUMNS[2:5]))
    else:
        output.warning("the two results have no depth in common", "use the same --depth for both")
    for note in found.notes:
        output.note(note)


def _show_kept(library: Library) -> None:
    """What was measured here, and what was imported."""
    from gemmahub.service.benching.kept import KEPT_COLUMNS, kept_rows

    rows = kept_rows(library)
    if not rows:
        output.note("nothing has been measured yet: gemmahub bench REFERENCE measures a model")
        return
    output.table(KEPT_COLUMNS, rows, right=KEPT_COLUMNS[3:6])


for _command in (reset_command, import_command, forget_command):
    bench_command.add_command(_command)

"""``gemmahub bench``: how fast models are on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gemmahub.cli import output
from gemmahub.engines.contract import Settings
from gemmahub.errors import ExitCode, GemmahubError, NotFound, UsageError
from gemmahub.formats.ggml_types import CACHE_TYPES
from gemmahub.text import plural
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from gemmahub.measurements.records import SpeedResult
    from gemmahub.service import Library
    from gemmahub.service.benching import Benched, BenchOptions
    from gemmahub.service.benching.against import Against


class _BenchGroup(click.Group):
    """``gemmahub bench REF`` measures: what is no command's name is given to ``run``."""

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
    """How fast models are on this machine, and what they take.

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
@click.argument("references", nargs=-1)
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
@click.option(
    "--cache-type",
    type=click.Choice(CACHE_TYPES),
    default="f16",
    show_default=True,
    help="Precision of the KV cache.",
)
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
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the results as CSV, one line per depth.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the results as Markdown.")
def run_command(references: tuple[str, ...], **options: Any) -> int:
    """Measure models: load time, prefill and decode speed at several depths, memory.

    Each model is loaded alone and warmed up. Ctrl-C stops and keeps the finished depths.
    """
    from gemmahub.service import Library
    from gemmahub.service.benching import against, bench
    from gemmahub.service.benching.kept import export_results

    forms = [name for name in ("as_json", "as_csv", "as_markdown") if options[name]]
    if len(forms) > 1:
        raise UsageError("--json, --csv and --markdown exclude each other", "use one of them")
    if options["against"] is not None and forms:
        raise UsageError("--against needs a table", f"leave out --{forms[0][3:]}")
    if not options["tune"] and (options["smaller_cache"] or options["force"]):
        raise UsageError("--smaller-cache and --force are for --tune", "gemmahub bench REF --tune")
    library = Library(say=output.note)
    if not references:
        return _export_kept(library, options["export"])
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
        if not forms:
            _show(library, found, done)
            if others:
                _show_against(against.against(found.result, others))
        done.append(found)
        if found.interrupted:
            output.note("interrupted: the finished depths are saved")
            code = ExitCode.INTERRUPTED
            break
    results = [each.result for each in done]
    _print(results, forms)
    if options["export"] is not None and results:
        export_results(results, options["export"])
    return code


def _export_kept(library: Library, path: Path | None) -> int:
    """Raises: UsageError, NotFound."""
    from gemmahub.service.benching.kept import export_results, own_results

    if path is None:
        raise UsageError("no model was given", "gemmahub list shows the installed models")
    results = own_results(library)
    if not results:
        raise NotFound("nothing has been measured yet", "gemmahub bench REFERENCE measures a model")
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
        if options["as_json"]:
            continue
        output.data(f"{found.variant.reference}: {found.text}")
        for problem in found.problems:
            output.note(f"not measured: {problem}")
        for doubt in found.doubts:
            output.warning(doubt)
    if options["as_json"]:
        output.json_data({"tuned": told})
    return code


def _failed(failure: GemmahubError, references: tuple[str, ...]) -> int:
    """Of several, one costs itself. Raises: the failure of a single one."""
    output.progress("")
    if len(references) == 1:
        raise failure
    output.error(failure, as_json=False)
    return failure.exit_code


@bench_command.command(name="reset")
@click.argument("reference")
def reset_command(reference: str) -> None:
    """Drop the settings that --tune found for a model: it is run with the usual ones again."""
    from gemmahub.service import Library
    from gemmahub.service.tuned import reset_tuned

    reset_tuned(Library(say=output.note), reference)
    output.note("the default settings are used again")


@bench_command.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--as", "name", help="Name of the other machine [the file's name].")
def import_command(file: Path, name: str | None) -> None:
    """Keep the results of another machine, to look at beside those of this one.

    FILE is the output of bench --export or --json on that machine. The results are shown under
    that machine's name. Estimates for this machine do not use them.
    """
    from gemmahub.service import Library
    from gemmahub.service.benching.kept import import_results

    origin, count = import_results(Library(say=output.note), file, name)
    output.note(f"imported {plural(count, 'result')} of another machine as {origin}")
    output.note(f"{command_line('bench', 'forget', origin)} removes them")


@bench_command.command(name="forget")
@click.argument("name")
def forget_command(name: str) -> None:
    """Forget the results that were imported under a name."""
    from gemmahub.service import Library
    from gemmahub.service.benching.kept import forget_results

    count = forget_results(Library(say=output.note), name)
    output.note(f"removed {plural(count, 'result')}")


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


def _print(results: list[SpeedResult], forms: list[str]) -> None:
    from gemmahub.service.benching import text
    from gemmahub.service.measuring import as_file

    if forms == ["as_json"]:
        output.data(as_file(results), end="")
    elif forms == ["as_csv"]:
        output.data(text.as_csv(results), end="")
    elif forms == ["as_markdown"]:
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

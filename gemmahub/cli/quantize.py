"""``gemmahub quantize``: make a model at another precision, after saying what it will be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gemmahub.cli import output
from gemmahub.cli.pull_view import fit_text
from gemmahub.errors import DoesNotFit, ExitCode
from gemmahub.text import format_bytes, one_line
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from gemmahub.engines.contract import Rounding
    from gemmahub.service.compare_roundings import ComparedRoundings
    from gemmahub.service.quantize_records import QuantizePlan
    from gemmahub.service.quantizing import Quantized
    from gemmahub.service.scoring import ScoringProgress

MAKE: Final = "make"


@click.command(name="quantize")
@click.argument("reference")
@click.option(
    "--to",
    default="",
    help="Type of most weights: Q4_0, Q6_K, ...; for a folder 4bit, 8bit-g32, mxfp4, ...",
)
@click.option("--embedding", default="", metavar="TYPE", help="Type of the embedding.")
@click.option(
    "--keep",
    multiple=True,
    metavar="ROLE=TYPE",
    help="Type of a role (repeatable): attention=Q8_0.",
)
@click.option(
    "--imatrix", metavar="FILE|make", help="An importance matrix (GGUF), or make one here."
)
@click.option(
    "--imatrix-text",
    default="",
    metavar="NAME|FILE",
    help="The text that one is made of: prose, code, dialogue, non-latin, a file.  [all]",
)
@click.option(
    "--lattice/--no-lattice",
    default=True,
    help="Keep the scales that QAT weights were trained with [yes].",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Also try llama.cpp's scales, measure both, and keep the better file.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Output file, or its folder.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option("--backend", help="The engine to use; otherwise the one that quantizes.")
@click.option("--dry-run", is_flag=True, help="Only show what would be written.")
@click.option("--yes", is_flag=True, help="Do not ask, even if the model will not fit in memory.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def quantize_command(reference: str, **given: Any) -> int:
    """Convert a model to another precision.

    Without --to, only the tensors of --embedding and --keep change. The original model is not
    changed. The new file appears in `gemmahub list` when it is complete.
    """
    from gemmahub.errors import UsageError
    from gemmahub.service import Library
    from gemmahub.service.compare_roundings import compare_roundings
    from gemmahub.service.quantize_plan import plan_quantize
    from gemmahub.service.quantize_records import QuantizeOptions
    from gemmahub.service.quantizing import check_disk, make_importance, quantize
    from gemmahub.service.scoring.texts import EVERY

    if not (given["to"] or given["embedding"] or given["keep"]):
        raise UsageError("no type was given", "use --to, --embedding or --keep")
    library = Library(say=output.note)
    options = QuantizeOptions(
        to=given["to"],
        embedding=given["embedding"],
        keep=given["keep"],
        importance=_matrix(given["imatrix"], given["imatrix_text"]),
        text=(given["imatrix_text"] or EVERY) if given["imatrix"] == MAKE else "",
        output=given["output"],
        backend=given["backend"],
        lattice=given["lattice"],
        compare=given["compare"],
        force=given["force"],
    )
    plan = plan_quantize(library, reference, options)
    if given["dry_run"] and given["as_json"]:
        output.json_data(plan.as_json())
        return ExitCode.DONE
    show_plan(plan, aside=not given["dry_run"])
    if given["dry_run"]:
        return ExitCode.DONE
    check_disk(plan)
    agree(plan, yes=given["yes"])
    try:
        make_importance(plan, on_progress=_reading)
        if given["compare"]:
            compared = compare_roundings(
                library, plan, options, on_progress=_writing, on_scoring=_scoring
            )
            made = compared.made
        else:
            compared, made = None, quantize(library, plan, on_progress=_writing)
    except KeyboardInterrupt:
        output.progress("")
        output.note("interrupted: no file was left")
        return ExitCode.INTERRUPTED
    output.progress("")
    _say(plan, made, compared, as_json=given["as_json"])
    return ExitCode.DONE


def show_plan(plan: QuantizePlan, *, aside: bool = True) -> None:
    """What would be made; on standard error when ``aside``."""
    made, source = plan.made, plan.source
    training = made.precision.training
    facts = [
        ("model", f"{source.name} ({source.reference})"),
        ("from", f"{source.precision.summary}, {format_bytes(source.size_bytes)}"),
        ("becomes", made.precision.summary),
        ("mismatch", made.precision.mismatch or ""),
        *(
            ("falls back" if number == 0 else "", each.text)
            for number, each in enumerate(plan.file.fallbacks)
        ),
        ("left out", plan.left_out),
        ("training", f"{training.value}: {training.basis}"),
        ("caveat", training.note),
        ("quality", plan.quality.as_text()),
        ("scales", "the scales of the training" if plan.lattice else ""),
        ("importance", one_line(plan.importance.name, 120) if plan.importance else ""),
        ("engine", plan.choice.offer.backend.name),
        ("size", format_bytes(plan.size_bytes)),
        ("into", str(plan.target)),
        ("disk", _disk(plan)),
        ("memory", fit_text(plan.fit)),
    ]
    output.facts(facts, aside=aside)


def agree(plan: QuantizePlan, *, yes: bool) -> None:
    """Asks where the model will not fit in memory.

    Raises: DoesNotFit where nobody can be asked, or says no.
    """
    if yes or plan.fit.fits is not False:
        return
    message = f"the result will not fit in free memory: {plan.fit.reason}"
    if not output.interactive() or not output.confirm(f"{message}. Make it anyway?"):
        raise DoesNotFit(message, "use --yes to make it anyway")


def _disk(plan: QuantizePlan) -> str:
    if plan.free_bytes is None:
        return "free space unknown"
    return f"{format_bytes(plan.free_bytes)} free"


def _matrix(named: str | None, text: str) -> Path | None:
    """The file that is named. Raises: UsageError."""
    from gemmahub.errors import UsageError

    if text and named != MAKE:
        raise UsageError(
            "--imatrix-text needs an importance matrix to make",
            f"add --imatrix {MAKE}, or leave out --imatrix-text",
        )
    if named is None or named == MAKE:
        return None
    if not (path := Path(named)).is_file():
        raise UsageError(
            f"there is no file {one_line(named)}",
            f"--imatrix {MAKE} makes an importance matrix",
        )
    return path


def _reading(fraction: float) -> None:
    output.progress(f"importance matrix {fraction:.0%}")


def _writing(fraction: float) -> None:
    output.progress(f"quantizing {fraction:.0%}")


def _scoring(found: ScoringProgress) -> None:
    of = f" of {found.windows}" if found.windows else ""
    output.progress(f"measuring {found.model}: {found.done}{of} windows")


def _say(
    plan: QuantizePlan, made: Quantized, compared: ComparedRoundings | None, *, as_json: bool
) -> None:
    reference = made.variant.reference
    command = command_line("embed" if made.variant.embeds else "run", reference)
    if as_json:
        found = plan.as_json() | {
            "reference": reference,
            "listed": made.listed,
            "rounding": _rounding_as_json(made.rounding),
            "compared": compared and compared.as_json(),
            "command": command,
        }
        output.json_data(found)
        return
    if made.rounding is not None:
        output.note(rounding_text(made.rounding))
    elif plan.lattice:
        output.note("the engine did not search for the scales that the weights were trained with")
    if compared is not None:
        output.note(compared_text(compared))
    output.note(f"{made.variant.precision.summary}, read back; its metadata says how it was made")
    output.data(str(plan.target))
    if not made.listed:
        output.note("gemmahub list does not search that folder: use the path")
    output.note(f"run it: {command}")


def rounding_text(found: Rounding) -> str:
    """What rounding changed, with the scales of the training and without."""
    return (
        f"change of {found.weights:,} weights by rounding to {found.type}: "
        f"{found.lattice:.4%} with the scales that they were trained with, {found.naive:.4%} "
        "with llama.cpp's scales (root mean square, as a share of the weights); "
        f"{found.on_lattice:.1%} of the blocks lie on such scales"
    )


def compared_text(found: ComparedRoundings) -> str:
    """How far both roundings are from the model, and which one is kept."""
    sides = (
        f"{each.mean.value:.6f} ± {each.mean.error:.6f} (same top token "
        f"{each.same_top.value:.2%}) with {whose}"
        for each, whose in (
            (found.lattice, "the searched scales"),
            (found.naive, "llama.cpp's scales"),
        )
    )
    kept = "the searched scales" if found.kept_lattice else "llama.cpp's scales"
    return (
        f"divergence from the model, {found.windows} windows of {found.text}: "
        f"{', '.join(sides)}; kept: the file with {kept}"
    )


def _rounding_as_json(found: Rounding | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "type": found.type,
        "tensors": found.tensors,
        "weights": found.weights,
        "naive_error": found.naive,
        "lattice_error": found.lattice,
        "blocks_on_lattice": found.on_lattice,
    }

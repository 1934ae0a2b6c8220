"""``gemmahub doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gemmahub.cli import output
from gemmahub.cli.forms import Form, answer_options
from gemmahub.errors import ExitCode, UsageError
from gemmahub.text import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.contract import CheckResult
    from gemmahub.service import Library
    from gemmahub.service.repairs import Repair, RepairResult


@click.command(name="doctor")
@click.option("--fix", is_flag=True, help="Repair what can be repaired safely, after asking.")
@click.option("-y", "--yes", is_flag=True, help="With --fix: do not ask.")
@click.option("--dry-run", is_flag=True, help="With --fix: only say what would be done.")
@answer_options("doctor")
def doctor_command(fix: bool, yes: bool, dry_run: bool, form: Form) -> int:
    """Check this installation.

    Exit code 1 when something does not work. --fix renames damaged records, removes what can be
    made again, and tightens file permissions. It removes no model. Parts of interrupted downloads
    are asked for one by one, and kept with --yes.
    """
    from gemmahub.service import Library

    if (yes or dry_run) and not fix:
        option = "--yes" if yes else "--dry-run"
        raise UsageError(f"{option} needs --fix", f"gemmahub doctor --fix {option}")
    library = Library()
    checks, repairs = _checked(library)
    if not fix:
        form.answer(lambda: _as_json(checks, repairs), lambda: _show(checks, repairs))
        return _code(checks)
    done: list[RepairResult] = []
    if repairs and not dry_run:
        if form.is_table:
            _list(repairs)
        done = _repaired(repairs, yes=yes)
        checks, repairs = _checked(Library())
    if not form.is_table:
        form.answer(lambda: _as_json(checks, repairs, done), lambda: None)
        return _code(checks)
    if dry_run:
        _list(repairs)
    if not repairs and not done:
        output.note("nothing to repair; gemmahub doctor shows all checks")
    failed = any(result.reason for result in done)
    return ExitCode.FAILED if failed else _code(checks)


def _checked(library: Library) -> tuple[list[CheckResult], list[Repair]]:
    """All checks, and the repairs for them; a repair brings its own check where there is none."""
    from gemmahub.cli.main import TAKEN
    from gemmahub.service import doctor
    from gemmahub.service.repairs import repairs_for

    checks, repairs = doctor.checks(library, TAKEN), repairs_for(library)
    return [*checks, *(r.check for r in repairs if r.check not in checks)], repairs


def _code(checks: Sequence[CheckResult]) -> int:
    return ExitCode.FAILED if any(c.status == "failed" for c in checks) else ExitCode.DONE


def _show(checks: Sequence[CheckResult], repairs: Sequence[Repair]) -> None:
    texts = {repair.check: repair.text for repair in repairs}
    for check in checks:
        hint = f"\n         -> {check.hint}" if check.hint else ""
        fix = f"\n         -> gemmahub doctor --fix: {texts[check]}" if check in texts else ""
        output.data(f"{check.status:<8} {check.name}: {check.message}{hint}{fix}")


def _as_json(
    checks: Sequence[CheckResult], repairs: Sequence[Repair], done: Sequence[RepairResult] = ()
) -> dict[str, Any]:
    found = {repair.check: repair.as_json() for repair in repairs}
    return {
        "checks": [
            {
                "name": check.name,
                "status": check.status,
                "message": check.message,
                "hint": check.hint,
                "repair": found.get(check),
            }
            for check in checks
        ],
        "repaired": [result.as_json() for result in done],
    }


def _list(repairs: Sequence[Repair]) -> None:
    for repair in repairs:
        output.data(f"{repair.check.name}: {repair.check.message}")
        asked = " (asked separately)" if repair.asks else ""
        output.data(f"  -> {repair.text}{asked}")


def _repaired(repairs: Sequence[Repair], *, yes: bool) -> list[RepairResult]:
    """Do what is agreed to. Raises: UsageError where nobody can be asked."""
    from gemmahub.service.repairs import carry_out

    safe = [repair for repair in repairs if not repair.asks]
    if not yes and not output.interactive():
        raise UsageError(
            "cannot ask for confirmation: standard input is not a terminal",
            "--yes does what is safe, --dry-run shows it",
        )
    done = []
    if safe and (yes or output.confirm(f"Do {plural(len(safe), 'repair')}?")):
        done = [_told(carry_out(repair)) for repair in safe]
    for repair in repairs:
        if not repair.asks:
            continue
        if yes or not output.interactive():
            output.note(f"left: {repair.check.message}; {repair.check.hint}")
        elif output.confirm(f"{repair.text[0].upper()}{repair.text[1:]}?"):
            done.append(_told(carry_out(repair)))
    return done


def _told(result: RepairResult) -> RepairResult:
    if result.reason:
        output.warning(f"not done: {result.repair.text}: {result.reason}")
    else:
        output.note(f"done: {result.repair.text}")
    return result

"""``gemmahub doctor``."""

from __future__ import annotations

import click

from gemmahub.cli import output
from gemmahub.errors import ExitCode


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor_command(as_json: bool) -> int:
    """Check this installation; exit code 1 when something does not work."""
    from gemmahub.cli.main import TAKEN
    from gemmahub.service import Library, doctor

    checks = doctor.checks(Library(), TAKEN)
    failed = any(check.status == "failed" for check in checks)
    if as_json:
        rows = [
            {"name": c.name, "status": c.status, "message": c.message, "hint": c.hint}
            for c in checks
        ]
        output.json_data({"checks": rows})
    else:
        for check in checks:
            hint = f"\n         -> {check.hint}" if check.hint else ""
            output.data(f"{check.status:<8} {check.name}: {check.message}{hint}")
    return ExitCode.FAILED if failed else ExitCode.DONE

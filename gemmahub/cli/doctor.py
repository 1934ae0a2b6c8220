"""``gemmahub doctor``."""

from __future__ import annotations

from dataclasses import asdict

import click

from gemmahub.cli import output
from gemmahub.cli.forms import Form, answer_options
from gemmahub.errors import ExitCode


@click.command(name="doctor")
@answer_options("doctor")
def doctor_command(form: Form) -> int:
    """Check this installation.

    Exit code 1 when something does not work.
    """
    from gemmahub.cli.main import TAKEN
    from gemmahub.service import Library, doctor

    checks = doctor.checks(Library(), TAKEN)
    failed = any(check.status == "failed" for check in checks)

    def show() -> None:
        for check in checks:
            hint = f"\n         -> {check.hint}" if check.hint else ""
            output.data(f"{check.status:<8} {check.name}: {check.message}{hint}")

    form.answer(lambda: {"checks": [asdict(check) for check in checks]}, show)
    return ExitCode.FAILED if failed else ExitCode.DONE

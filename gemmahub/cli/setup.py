"""``gemmahub setup``: what this machine can do, what is missing, and getting it step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gemmahub.cli import output
from gemmahub.cli.setup_screen import show_facts
from gemmahub.errors import DoesNotFit, ExitCode, GemmahubError, NetworkError, UsageError
from gemmahub.text.command import command_line, words_of

if TYPE_CHECKING:
    from gemmahub.planning.recommending import Recommendation
    from gemmahub.service import Library
    from gemmahub.service.first_setup import SetupFacts, SetupStep

_AGAIN = "gemmahub setup continues from here"


@click.command(name="setup")
@click.option("--yes", is_flag=True, help="Do every step with its default, without asking.")
@click.option("--dry-run", is_flag=True, help="Only show what is installed and what would be done.")
@click.option("--no-chat", is_flag=True, help="Do not start a conversation at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def setup_command(yes: bool, dry_run: bool, no_chat: bool, as_json: bool) -> int:
    """Set up gemmahub on this machine.

    It shows what this machine can run, and what is missing. Each step is shown and asked for: an
    engine, a model, a chat. Nothing is sent or downloaded before a yes. It can be run again: what
    is already installed is left alone.
    """
    from gemmahub.service import Library, first_setup

    library = Library(say=output.note)
    output.progress("looking at this machine")
    facts = first_setup.look_around(library)
    output.progress("")
    if as_json and not (yes and facts.needed and not dry_run):
        output.json_data(facts.as_json())
        return ExitCode.DONE
    if not as_json:
        show_facts(facts)
    if dry_run or (not facts.needed and not output.interactive()):
        return ExitCode.DONE
    if not yes and not output.interactive():
        raise UsageError(
            "cannot ask for confirmation: standard input is not a terminal",
            "--yes does all steps, --dry-run only shows them",
        )
    done = _Steps(library, facts, yes=yes)
    code = done.all()
    if as_json:
        output.json_data(first_setup.look_around(Library(say=output.note)).as_json())
    elif not no_chat and code != ExitCode.INTERRUPTED:
        talked = done.chat()
        code = code or talked
    return code


class _Steps:
    """The steps one by one; one that fails leaves the others, and says how to go on."""

    def __init__(self, library: Library, facts: SetupFacts, *, yes: bool) -> None:
        self._library, self._facts, self._yes = library, facts, yes
        self._reference = facts.installed.variant.reference if facts.installed else ""
        self._command = facts.installed.command if facts.installed else ""
        self._has_engine = True

    def all(self) -> int:
        """Do what is needed and wanted; the exit code of the first that failed."""
        from gemmahub.service.first_setup import ENGINE

        code = int(ExitCode.DONE)
        for step in self._facts.needed:
            output.note("")
            try:
                self._engine(step) if step.name == ENGINE else self._model(step)
            except GemmahubError as failure:
                output.error(failure, as_json=False)
                output.note(_AGAIN)
                code = code or int(failure.exit_code)
            except KeyboardInterrupt:
                output.note(f"\nstopped; {_AGAIN}")
                return int(ExitCode.INTERRUPTED)
        return code

    def chat(self) -> int:
        """Talk to the model that is here now, in a fresh process: it finds a new engine."""
        from gemmahub.service.first_setup import runnable_here

        if not self._reference:
            self._reference = runnable_here(self._library.models()) or ""
            self._command = command_line("run", self._reference)
        if not self._reference or not self._has_engine:
            missing = "an engine" if self._reference else "a model"
            output.note(f"\nno chat yet: {missing} is missing; {_AGAIN}")
            return ExitCode.DONE
        output.note("")
        if not output.interactive() or not self._agreed(f"Chat with {self._reference} now?"):
            output.note(f"later: {self._command}, or gemmahub for the terminal UI")
            return ExitCode.DONE
        return _talk(self._command)

    def _engine(self, step: SetupStep) -> None:
        """Raises: GemmahubError."""
        from gemmahub.service import first_setup

        self._has_engine = False
        if step.problem:
            raise GemmahubError(step.problem, step.command)
        change = first_setup.engine_change()
        output.note(f"No engine is installed. This will be run:\n  {change.line}")
        if not self._agreed("Install it?"):
            output.note(f"no engine; {_AGAIN}")
            return
        change.carry_out(output.note)
        output.note(f"engine: {first_setup.engine_that_came()}")
        self._has_engine = True

    def _model(self, step: SetupStep) -> None:
        """Raises: GemmahubError; KeyboardInterrupt where the download was stopped."""
        if step.problem:
            kind = NetworkError if self._facts.offline else DoesNotFit
            raise kind(step.problem, _without_network(self._library))
        found = self._chosen()
        if found is None:
            output.note(f"no model; {_AGAIN}")
            return
        from gemmahub.cli.pull import fetch, show_plan

        reference = found.variant.reference
        plan = self._library.plan_pull(reference)
        show_plan(plan)
        if plan.remote is not None:
            pulled = fetch(self._library, plan, reference, yes=self._yes)
            if pulled is None:
                raise KeyboardInterrupt
        self._reference, self._command = reference, found.command

    def _chosen(self) -> Recommendation | None:
        """Which model to get; None for none of them."""
        choices = self._facts.choices
        if self._yes:
            return choices[0]
        others = f", 1 to {len(choices)} another one" if len(choices) > 1 else ""
        answer = output.ask(f"Which model? Enter takes the first{others}, n none:")
        if answer is None or answer.casefold() in ("n", "no"):
            return None
        if answer in ("", "y", "yes"):
            return choices[0]
        if answer.isdecimal() and 1 <= int(answer) <= len(choices):
            return choices[int(answer) - 1]
        output.note(f"{answer!r} is none of them")
        return self._chosen()

    def _agreed(self, question: str) -> bool:
        """Whether a step is to be done; Enter says yes."""
        if self._yes:
            return True
        answer = output.ask(f"{question} [Y/n]")
        return answer is not None and answer.casefold() in ("", "y", "yes")


def _without_network(library: Library) -> str:
    """What can be done offline."""
    from gemmahub.service.first_setup import runnable_here

    if here := runnable_here(library.models()):
        return f"without a network: {command_line('run', here)}"
    return "a GGUF file from elsewhere runs too: gemmahub run ./model.gguf"


def _talk(command: str) -> int:
    """Run a command of gemmahub on this terminal; its exit code."""
    import subprocess
    import sys

    from gemmahub.text.streams import give_stdout_back

    output.note(f"$ {command}")
    give_stdout_back()
    words = words_of(command)[1:]
    return subprocess.call([sys.executable, "-P", "-m", "gemmahub", *words])

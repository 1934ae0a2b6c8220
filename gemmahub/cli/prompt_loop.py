"""The conversation on a terminal: a prompt with history, answers that Ctrl-C stops."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gemmahub.cli import output
from gemmahub.cli.prompt_input import NO_FILES
from gemmahub.errors import BackendCrashed, BackendError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gemmahub.cli.prompt_input import Files

_HISTORY_LINES = 1000
_FORGETS = "/clear forgets the conversation, "
_HELP = '/exit or Ctrl-D ends it, """ starts and ends several lines'


def converse(
    ask: Callable[[str, Files], object],
    data: Path,
    *,
    forget: Callable[[], object] | None = None,
    files: Files = NO_FILES,
) -> int:
    """Ask and answer until the end of input. ``files`` go with the first question; ``forget``
    makes the model forget what was said, None where that is kept. The history of the prompt lies in
    the folder ``data``.

    Raises: BackendCrashed; other backend errors are shown, and the conversation goes on.
    """
    told = f"{_FORGETS if forget else ''}{_HELP}"
    output.note(told)
    with _history(data / "prompt-history"):
        while (question := _read()) is not None:
            if question.strip() == "/clear" and forget is not None:
                forget()
                output.note("forgotten")
            elif question.strip() in ("/exit", "/quit", "/bye"):
                break
            elif question.strip() in ("/help", "/?"):
                output.note(told)
            elif question.strip():
                try:
                    ask(question, files)
                    files = NO_FILES
                except BackendCrashed:
                    raise
                except BackendError as error:
                    output.error(error, as_json=False)
    return ExitCode.DONE


def _read() -> str | None:
    """The next question, None at the end of input; Ctrl-C drops the line."""
    try:
        line = input(">>> ")
        if not line.lstrip().startswith('"""'):
            return line
        lines = [line.lstrip()[3:]]
        while not lines[-1].rstrip().endswith('"""'):
            lines.append(input("... "))
        lines[-1] = lines[-1].rstrip()[:-3]
        return "\n".join(lines)
    except EOFError:
        output.note("")
        return None
    except KeyboardInterrupt:
        output.note("\n(Ctrl-D ends the conversation)")
        return ""


@contextlib.contextmanager
def _history(path: Path) -> Iterator[None]:
    """Line editing with the history of earlier conversations, where the platform has readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    try:
        yield
    finally:
        readline.set_history_length(_HISTORY_LINES)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            readline.write_history_file(path)
            path.chmod(0o600)

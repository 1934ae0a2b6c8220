"""The conversation on a terminal: a prompt with history, pasted lines as one question, answers that
Ctrl-C stops."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from gemmahub.cli import output
from gemmahub.cli.prompt_input import NO_FILES
from gemmahub.errors import BackendCrashed, BackendError, ExitCode, GemmahubError
from gemmahub.text.command import command_line
from gemmahub.text.streams import unguarded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.cli.prompt_input import Files

_HISTORY_BYTES: Final = 1 << 20
_BLOCK: Final = '"""'
_FORGETS = "/clear clears the conversation, "
_KEEPS = "/preset NAME saves it as a preset, "
_HELP = '/exit or Ctrl-D leaves, """ starts and ends a text of several lines'


def converse(
    ask: Callable[[str, Files], object],
    data: Path,
    *,
    forget: Callable[[], object] | None = None,
    keep: Callable[[str], object] | None = None,
    files: Files = NO_FILES,
) -> int:
    """Ask and answer until the end of input. ``files`` go with the first question; ``forget``
    makes the model forget what was said, None where that is kept; ``keep`` saves a preset of that
    name. The history of the prompt lies in the folder ``data``.

    Raises: BackendCrashed; other backend errors are shown, and the conversation goes on.
    """
    told = f"{_FORGETS if forget else ''}{_KEEPS if keep else ''}{_HELP}"
    output.note(told)
    prompt = Prompt(data / "prompt-history")
    while (question := prompt.read()) is not None:
        if question.strip() == "/clear" and forget is not None:
            forget()
            output.note("forgotten")
        elif question.strip().partition(" ")[0] == "/preset" and keep is not None:
            _keep(question.strip().partition(" ")[2].strip(), keep)
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


def _keep(name: str, keep: Callable[[str], object]) -> None:
    """Save a preset, and say how it is used, or why it was not saved."""
    if not name:
        output.note("/preset NAME keeps model, settings and system prompt: /preset coder")
        return
    try:
        keep(name.removeprefix("@"))
    except GemmahubError as error:
        output.error(error, as_json=False)
    else:
        output.note(f"kept; use it: {command_line('run', '@' + name.removeprefix('@'))}")


class Prompt:
    """Asks for questions on a terminal. A pasted text of several lines is one of them, and waits
    for Enter; ``path`` keeps earlier ones, for the arrow keys. ``options`` are prompt_toolkit's."""

    def __init__(self, path: Path, **options: Any) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import FileHistory, InMemoryHistory
        from prompt_toolkit.output import create_output

        screen = create_output(unguarded(sys.stdout))
        if hasattr(screen, "enable_cpr"):  # or some terminals get a warning
            screen.enable_cpr = False
        options.setdefault("output", screen)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            _shorten(path)
            history: FileHistory | InMemoryHistory = FileHistory(path)
        except OSError:  # a folder that cannot be written loses the history, not the conversation
            history = InMemoryHistory()
        self._session: PromptSession[str] = PromptSession(history=history, **options)

    def read(self) -> str | None:
        """The next question; None at the end of input; Ctrl-C drops the line."""
        try:
            return self._text()
        except EOFError:
            return None
        except KeyboardInterrupt:
            output.note("(Ctrl-D leaves the conversation)")
            return ""

    def _text(self) -> str:
        text = self._session.prompt(">>> ")
        if "\n" in text or _BLOCK not in text:  # pasted lines are taken as they are
            return text
        before, _, rest = text.partition(_BLOCK)
        if _BLOCK in rest:  # it ends where it began: only a whole line is a block
            whole = (
                not before.strip() and rest.rstrip().endswith(_BLOCK) and rest.count(_BLOCK) == 1
            )
            return rest.rstrip().removesuffix(_BLOCK) if whole else text
        lines = [before + rest]
        while (line := self._session.prompt("... ")).count(_BLOCK) % 2 == 0:
            lines.append(line)
        lines.append("".join(line.rsplit(_BLOCK, 1)))
        return "\n".join(lines).strip("\n")


def _shorten(path: Path) -> None:
    """Half of a history that has grown long: its older part goes."""
    if path.stat().st_size > _HISTORY_BYTES:
        kept = path.read_bytes()[-_HISTORY_BYTES // 2 :]
        path.write_bytes(kept[kept.find(b"\n#") + 1 :])  # from the time of an entry on

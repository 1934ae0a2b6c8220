"""Where a shell finds the completion script, putting it there, and taking it away again.

Places are those that the shells document: bash-completion's user folder
(https://github.com/scop/bash-completion, README, "Where should I put it"), fish's
``completions`` folder (https://fishshell.com/docs/current/completions.html), a folder of zsh's
``fpath``, a file that PowerShell's profile reads.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.errors import GemmahubError, UsageError
from gemmahub.records.whole_file import write_whole
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

SHELLS: Final = ("bash", "zsh", "fish", "powershell")
MARK: Final = "_GEMMAHUB_COMPLETE"
"""Is in every script of ours; a file without it belongs to somebody else."""
_BEGIN: Final = "# >>> gemmahub completion >>>"
_END: Final = "# <<< gemmahub completion <<<"
# Where bash-completion's own script is: Debian and Fedora, Homebrew on both kinds of Mac, MacPorts.
_BASH_COMPLETION: Final = (
    "/usr/share/bash-completion/bash_completion",
    "/opt/homebrew/etc/profile.d/bash_completion.sh",
    "/usr/local/etc/profile.d/bash_completion.sh",
    "/opt/local/etc/profile.d/bash_completion.sh",
)


@dataclass(frozen=True, slots=True)
class ShellSetup:
    """Where a shell's script is, or would be. ``start_file`` is what the shell reads when it
    starts; ``start_line`` is what must be in it, empty where the shell finds the script by itself.
    """

    shell: str
    script: Path
    start_file: Path | None = None
    start_line: str = ""

    @property
    def installed(self) -> bool:
        """Whether the script is there and ours."""
        return MARK in _text(self.script)

    @property
    def ready(self) -> bool:
        """Whether a new shell reads the script."""
        return self.installed and (not self.start_line or self.start_line in self._start_text())

    @property
    def started_by_us(self) -> bool:
        """Whether lines of ours are in the shell's start-up file."""
        return _BEGIN in self._start_text()

    def _start_text(self) -> str:
        return "" if self.start_file is None else _text(self.start_file)


def this_shell(environment: Mapping[str, str] = os.environ) -> str:
    """The shell of this user. Raises: UsageError where none of ours is it."""
    name = Path(environment.get("SHELL", "")).stem.casefold()
    if name in SHELLS:
        return name
    if sys.platform == "win32":
        return "powershell"
    known = f"your shell {one_line(name, 30)!r} is not known" if name else "your shell is not known"
    raise UsageError(known, f"name one: gemmahub completion install {'|'.join(SHELLS)}")


def setup_of(shell: str, environment: Mapping[str, str] = os.environ) -> ShellSetup:
    """The places of a shell, by the variables that it and the XDG folders know."""
    home = Path(environment.get("HOME") or Path.home())
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local/share")
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    if shell == "fish":
        return ShellSetup(shell, config / "fish/completions/gemmahub.fish")
    if shell == "zsh":
        return _zsh(Path(environment.get("ZDOTDIR") or home), home, data)
    if shell == "bash":
        folder = Path(environment.get("BASH_COMPLETION_USER_DIR") or data / "bash-completion")
        script = folder / "completions/gemmahub"
        by_itself = any(Path(path).exists() for path in _BASH_COMPLETION)
        line = "" if by_itself else f'source "{script}"'
        return ShellSetup(shell, script, home / ".bashrc", line)
    profile = _powershell_profile() or config / "powershell/Microsoft.PowerShell_profile.ps1"
    script = profile.with_name("gemmahub-completion.ps1")
    return ShellSetup(shell, script, profile, f'. "{script}"')


def _zsh(folder: Path, home: Path, data: Path) -> ShellSetup:
    """A folder that ``.zshrc`` names already, else one that has to be added to ``fpath``."""
    start = folder / ".zshrc"
    text = _text(start)
    for name in (".zfunc", ".zsh/completions", ".zsh/completion"):
        if (home / name).is_dir() and (f"~/{name}" in text or f"$HOME/{name}" in text):
            return ShellSetup("zsh", home / name / "_gemmahub", start)
    own = data / "zsh/site-functions"
    line = f'fpath=("{own}" $fpath); autoload -Uz compinit && compinit'
    return ShellSetup("zsh", own / "_gemmahub", start, line)


def _powershell_profile() -> Path | None:
    """What PowerShell itself says: the Documents folder may be anywhere."""
    program = shutil.which("pwsh") or shutil.which("powershell")
    if program is None:
        return None
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        told = subprocess.run(
            [program, "-NoProfile", "-NonInteractive", "-Command", "$PROFILE"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout.strip()
        return Path(told) if told else None
    return None


def put_script(setup: ShellSetup, script: str) -> bool:
    """Write the script; False where it was there already.

    Raises: UsageError for a file of somebody else; GemmahubError where it cannot be written.
    """
    before = _text(setup.script)
    if before and MARK not in before:
        raise UsageError(
            f"{setup.script} exists and was not made by gemmahub", "move it away, then try again"
        )
    if before == script:
        return False
    _write(setup.script, script)
    return True


def add_start_line(setup: ShellSetup) -> None:
    """Put the line into the shell's start-up file, between marks; one that was there is replaced.

    Raises: GemmahubError where it cannot be written.
    """
    if setup.start_file is None or not setup.start_line:
        return
    rest = _without_block(_text(setup.start_file))
    gap = "" if not rest or rest.endswith("\n") else "\n"
    _write(setup.start_file, f"{rest}{gap}{_BEGIN}\n{setup.start_line}\n{_END}\n")


def drop_start_line(setup: ShellSetup) -> None:
    """Take our lines out of the shell's start-up file. Raises: GemmahubError."""
    if setup.start_file is not None and setup.started_by_us:
        _write(setup.start_file, _without_block(_text(setup.start_file)))


def drop_script(setup: ShellSetup) -> bool:
    """Remove the script; False where there is none of ours. Raises: GemmahubError."""
    if not setup.installed:
        return False
    try:
        setup.script.unlink()
    except OSError as error:
        raise _refused(setup.script, error) from None
    return True


def _without_block(text: str) -> str:
    before, begin, rest = text.partition(f"{_BEGIN}\n")
    _, end, after = rest.partition(f"{_END}\n")
    return before + after if begin and end else text


def _text(path: Path) -> str:
    """What a file has; bytes that are no UTF-8 come back as they were."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path.resolve(), text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise _refused(path, error) from None


def _refused(path: Path, error: OSError) -> GemmahubError:
    return GemmahubError(
        f"{one_line(str(path))} cannot be changed: {error.strerror or error}",
        "gemmahub completion show SHELL prints the script, to be put elsewhere",
    )

"""Tasks of EleutherAI's ``lm-eval`` (lm-evaluation-harness), asked of a model that is served."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import GemmahubError, UsageError
from gemmahub.python_environment import install_command
from gemmahub.service.measuring import measured_model
from gemmahub.service.scoring.choosing import scorable
from gemmahub.service.serving.starting import running_servers, start_server
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gemmahub.measurements.records import MeasuredModel
    from gemmahub.service.installation import Installation
    from gemmahub.service.serving.starting import OwnServer

PROGRAM: Final = "lm-eval"
_MODULE: Final = "lm_eval"
_KIND: Final = "local-chat-completions"
_LARGEST: Final = 64_000_000
_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class TasksOptions:
    """``tasks`` as lm-eval names them; ``folder`` has task files of one's own. ``limit``: so many
    questions of each task at most, all of them with None."""

    tasks: tuple[str, ...]
    folder: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class TasksResult:
    """What lm-eval printed of a model: for each task its metrics; and how it was asked. ``kept`` is
    the file where it stays."""

    model: MeasuredModel
    scores: dict[str, dict[str, float]]
    settings: dict[str, Any]
    kept: str

    def as_json(self) -> dict[str, Any]:
        """For ``gemmahub quality --tasks ... --json``."""
        return {**asdict(self), "model": self.model.as_json()} | {"kept": self.kept}


def run_tasks(
    here: Installation, references: Sequence[str], options: TasksOptions
) -> tuple[TasksResult, ...]:
    """Ask each model the questions of the tasks, one model after the other.

    The results are kept in the data folder, with their settings. Raises: UsageError without lm-eval
    or for a model that does not answer; GemmahubError with what lm-eval or the server said.
    """
    used = _version()
    variants = [scorable(here, name) for name in references]
    found = []
    for variant in variants:
        model = measured_model(here, variant)
        server = start_server(here, [variant.reference], _free_port())
        try:
            address, name = _served(here, server)
            told = _asked(address, name, options)
        finally:
            server.stop()
        settings = {
            "program": f"{PROGRAM} {used}",
            "model": _KIND,
            "tasks": list(options.tasks),
            "limit": options.limit,
            "versions": told.get("versions", {}),
            "shots": told.get("n-shot", {}),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        found.append(_kept(here, TasksResult(model, _scores(told), settings, "")))
    return tuple(found)


def _version() -> str:
    try:
        return version(PROGRAM)
    except PackageNotFoundError:
        raise UsageError(
            "tasks need lm-eval, which is not installed", install_command("gemmahub[tasks]")
        ) from None


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _served(here: Installation, server: OwnServer) -> tuple[str, str]:
    """Where it is served, and under which name."""
    import psutil

    for status in running_servers(here):
        with suppress(psutil.Error):
            if server.pid in (status.pid, psutil.Process(status.pid).ppid()) and status.models:
                return status.address, status.models[0].name
    raise GemmahubError("the server that was started offers no model", "try again")


def _asked(address: str, name: str, options: TasksOptions) -> dict[str, Any]:
    """What lm-eval writes down. Raises: GemmahubError with its last lines."""
    with tempfile.TemporaryDirectory() as place:
        wanted = [
            *(sys.executable, "-P", "-m", _MODULE, "--model", _KIND),
            *(
                "--model_args",
                f"base_url={address}/v1/chat/completions,model={name},num_concurrent=1",
            ),
            *("--tasks", ",".join(options.tasks), "--output_path", place, "--apply_chat_template"),
        ]
        if options.folder is not None:
            wanted += ["--include_path", options.folder]
        if options.limit is not None:
            wanted += ["--limit", str(options.limit)]
        # A key has to be there, and the server asks for none.
        environment = {**os.environ, "OPENAI_API_KEY": "none", "NO_PROXY": "127.0.0.1,localhost"}
        ran = subprocess.run(
            wanted, env=environment, capture_output=True, text=True, errors="replace", check=False
        )
        if ran.returncode:
            lines = ran.stderr.strip().splitlines()[-_LINES:] or ["it gave no reason"]
            raise GemmahubError(
                f"{PROGRAM} failed: {one_line(lines[-1], 400)}",
                "check the names of the tasks and what they need: python -m lm_eval --tasks list",
            )
        return _read(Path(place).rglob("results*.json"))


def _read(paths: Iterable[Path]) -> dict[str, Any]:
    for path in sorted(paths):
        with suppress(OSError, ValueError, RecursionError):
            found = json.loads(path.read_bytes()) if path.stat().st_size < _LARGEST else None
            if isinstance(found, dict) and isinstance(found.get("results"), dict):
                return found
    raise GemmahubError(f"{PROGRAM} wrote no results", "try another version of it")


def _scores(told: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The numbers of each task; lm-eval names them ``acc,none`` and ``acc_stderr,none``."""
    return {
        one_line(str(task), 120): {
            one_line(str(name), 120): float(value)
            for name, value in row.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        for task, row in told["results"].items()
        if isinstance(row, dict)
    }


def _kept(here: Installation, found: TasksResult) -> TasksResult:
    folder = here.config.data / "tasks"
    stamp = found.settings["at"].replace(":", "").partition("+")[0]
    path = folder / f"{stamp}-{(found.model.content or 'served')[:12]}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found.as_json(), indent=1), encoding="utf-8")
    except OSError as error:
        raise GemmahubError(
            f"the results cannot be saved in {one_line(str(folder))}: {error.strerror}",
            "free some space there",
        ) from None
    return TasksResult(found.model, found.scores, found.settings, str(path))

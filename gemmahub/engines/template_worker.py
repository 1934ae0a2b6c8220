"""The process in which chat templates are rendered: a stranger's program, in a sandbox, on limits.

Run as ``python -m gemmahub.engines.template_worker``. Jinja's sandbox keeps a template from
Python's insides; it does not keep it from ``'x' * 10**12``, or from loops in loops. The system
does, where a template reaches nothing of it: while one is rendered, this process may take so much
memory and processor time and no more. It can write no file and start no process either.

Requests come on standard input and answers leave on standard output (``json_frames``). The
process ends when standard input does. Only Jinja is imported, so that it starts quickly.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import signal
import sys
import threading
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Final

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gemmahub.engines.json_frames import read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2.parser import Parser

try:
    import resource
except ImportError:  # Windows: the other end watches
    resource = None  # type: ignore[assignment]

_LONGEST_MESSAGE: Final = 500  # characters of an error
_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG of linux/prctl.h


def main() -> None:
    """Render until the other end hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program, which then ends this
    if "--with-parent" in sys.argv:
        _die_with_parent()
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True).start()
    limits = ProcessLimits()
    _give_up_rights()
    while True:
        request = requests.get()
        with contextlib.suppress(OSError):  # nobody listens: the other thread ends this process
            write_frame(sys.stdout.buffer, answer(request, limits))


def answer(request: dict[str, Any], limits: ProcessLimits) -> dict[str, str]:
    """What came of a request: ``kind`` and ``text``.

    The kind is ``text``; ``refused`` by the template itself; ``broken`` when it does not compile;
    ``failed``, ``endless`` or ``memory`` when it could not be rendered to its end; ``long`` when it
    writes more than it may.
    """
    try:
        with limits.applied(request["seconds"], request["memory"], fresh=request["fresh"]):
            return _render(request)
    except MemoryError:
        return {"kind": "memory", "text": ""}


def _render(request: dict[str, Any]) -> dict[str, str]:
    kind = "broken"
    try:
        template = _compile(request["source"])
        kind, size, pieces = "failed", 0, []
        for piece in template.generate(**request["variables"]):
            size += len(piece)
            if size > request["characters"]:
                return {"kind": "long", "text": f"{request['characters']:,}"}
            pieces.append(piece)
        return {"kind": "text", "text": "".join(pieces)}
    except TemplateRaised as refusal:
        return {"kind": "refused", "text": str(refusal)[:_LONGEST_MESSAGE]}
    except MemoryError:
        raise
    except RecursionError:
        if kind == "broken":
            return {"kind": kind, "text": "it is nested too deeply"}
        return {"kind": "endless", "text": ""}
    except Exception as error:  # noqa: BLE001 - a stranger's program may raise anything
        text = str(error)[:_LONGEST_MESSAGE]  # within the limits, as it may be of any length
        known = kind == "broken" and isinstance(error, TemplateError)
        return {"kind": kind, "text": text if known else f"{type(error).__name__}: {text}"}


class ProcessLimits:
    """Memory and processor time as the system counts them, where it does.

    Processor time: Linux and macOS. Memory: Linux, as the data of the process, beyond what it had
    when this was made. Elsewhere, the other end watches both.
    """

    def __init__(self) -> None:
        self._data = _data_bytes()
        self._end = 0

    @contextlib.contextmanager
    def applied(self, seconds: int, memory: int, *, fresh: bool) -> Iterator[None]:
        """Inside the block, this process is ended after ``seconds`` to ``seconds + 1`` of processor
        time, counted since the last block that was ``fresh``; more than ``memory`` bytes are a
        MemoryError.
        """
        if resource is None:
            yield
            return
        if fresh or not self._end:
            used = resource.getrusage(resource.RUSAGE_SELF)
            self._end = int(used.ru_utime + used.ru_stime) + 1 + seconds
        _limit("CPU", self._end)
        if self._data is not None:
            _limit("DATA", self._data + memory)
        try:
            yield
        finally:
            _limit("CPU", resource.RLIM_INFINITY)
            _limit("DATA", resource.RLIM_INFINITY)


def _limit(name: str, most: int) -> None:
    """Set a soft limit, where this system has one of that name."""
    number = getattr(resource, f"RLIMIT_{name}", None)
    if number is not None:
        with contextlib.suppress(OSError, ValueError):
            hard = resource.getrlimit(number)[1]
            inside = hard == resource.RLIM_INFINITY or 0 <= most < hard
            resource.setrlimit(number, (most if inside else hard, hard))


def _data_bytes() -> int | None:
    """Memory of this process that it can write to; None where the system does not say it so."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow
            return int(file.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _give_up_rights() -> None:
    """Nothing is written to a file, core dumps neither, and no process or thread is started."""
    for name in ("FSIZE", "CORE", "NPROC"):
        if hasattr(resource, number := f"RLIMIT_{name}"):
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(getattr(resource, number), (0, 0))


def _die_with_parent() -> None:
    """End with the parent's thread that started this, also in a computation that holds the lock."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def _listen(pipe: IO[bytes], requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Take requests, and end this process with the other end, also while it renders."""
    try:
        while (request := read_frame(pipe)) is not None:
            requests.put(request)
    finally:
        os._exit(0)


# --- the sandbox -------------------------------------------------------------------------------


class TemplateRaised(Exception):
    """The template itself called ``raise_exception``."""


@functools.lru_cache(maxsize=1)
def _compile(source: str) -> Template:
    return sandbox().from_string(source)


def sandbox() -> ImmutableSandboxedEnvironment:
    """The environment that published chat templates expect.

    Source: transformers ``utils/chat_template_utils.py`` (``_compile_jinja_template``).
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", _Generation],
    )
    # Prompts hold JSON as it is; Jinja's own filter escapes it for HTML.
    environment.filters["tojson"] = _to_json
    environment.globals.pop("lipsum", None)
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


class _Generation(Extension):
    """``{% generation %}`` marks what a model is trained on; here it is what stands inside."""

    tags = {"generation"}  # noqa: RUF012 - as in Jinja

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The statements inside."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message: object = "") -> None:
    raise TemplateRaised(str(message))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


if __name__ == "__main__":
    main()

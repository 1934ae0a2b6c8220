"""The llama.cpp library: imported once, its log kept."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections import deque
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import BackendMissing, LoadFailed
from gemmahub.python_environment import install_command, rebuild_command
from gemmahub_llamacpp.guards import check_structures, load_backends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DISTRIBUTION: Final = "llama-cpp-python"
CHECKED_VERSION: Final = "0.3.36"
"""The version that all figures and tests of this plugin were made with."""

CHECKED_COMMIT: Final = "0c1e57098"
"""The llama.cpp that this version carries."""

_WARNING, _ERROR, _CONTINUED = 3, 4, 5  # enum ggml_log_level


def _rebuild() -> str:
    return f"compile it again: `{rebuild_command(f'{DISTRIBUTION}=={CHECKED_VERSION}')}`"


class EngineLog:
    """llama.cpp's last lines. Warnings and errors also go to standard error at once, so that they
    stand in the worker's log even when the process dies in the next moment."""

    def __init__(self, lines: int = 200) -> None:
        self._errors: deque[str] = deque(maxlen=lines)
        self._lock = threading.Lock()
        self._level = 0
        self._kept: list[bytes] | None = None
        self._listener: Callable[[bytes], None] | None = None

    def take(self, level: int, text: bytes) -> None:
        """One message of the engine; called from any of its threads."""
        self._level = level = self._level if level == _CONTINUED else level
        if (kept := self._kept) is not None:
            kept.append(text)
        if (listener := self._listener) is not None:
            listener(text)
        if level not in (_WARNING, _ERROR):
            return
        line = text.decode("utf-8", "replace")
        try:
            sys.stderr.write(line)
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):
            pass  # a closed or missing standard error must not stop the engine
        if level == _ERROR and line.strip():
            with self._lock:
                self._errors.append(line.strip())

    def clear(self) -> None:
        """Forget what was said, so that later errors belong to what comes next."""
        with self._lock:
            self._errors.clear()

    @contextmanager
    def keep_all(self) -> Iterator[list[bytes]]:
        """Keep the messages of every level in the list that it gives; one such block at a time."""
        kept: list[bytes] = []
        self._kept = kept
        try:
            yield kept
        finally:
            self._kept = None

    @contextmanager
    def heard_by(self, listener: Callable[[bytes], None]) -> Iterator[None]:
        """Tell ``listener``, which must not raise, the messages of every level."""
        self._listener = listener
        try:
            yield
        finally:
            self._listener = None

    def errors(self) -> str:
        """The errors since ``clear``, without function names, the first (the cause) first."""
        with self._lock:
            lines = [line.partition(": ")[2] or line for line in self._errors]
        causes = [line for line in dict.fromkeys(lines) if line != "failed to load model"]
        return "; ".join(causes[:3])[:400]


log: Final = EngineLog()


@functools.cache
def library() -> Any:
    """The module ``llama_cpp``, ready for use; its log goes to :data:`log`.

    Raises: BackendMissing when it is not installed, its shared library cannot be loaded, or is one
    of another build whose structures differ.
    """
    # GNU OpenMP lets waiting threads spin for milliseconds. When another program takes one of the
    # cores, every barrier then costs a time slice, and a token takes hundreds of milliseconds
    # instead of ten. Read when the library is loaded; a value set by the user stays.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        import llama_cpp
    except ImportError as error:
        raise BackendMissing(
            f"{DISTRIBUTION} is not installed: {error}",
            f"install it: `{install_command('gemmahub-llamacpp')}`",
        ) from None
    except (OSError, RuntimeError) as error:
        raise BackendMissing(f"{DISTRIBUTION} cannot be loaded: {error}", _rebuild()) from None
    llama_cpp.llama_log_set(_log_callback(llama_cpp), None)
    check_structures(llama_cpp, CHECKED_VERSION)
    llama_cpp.llama_backend_init()
    load_backends(llama_cpp.llama_cpp._lib)
    return llama_cpp


@functools.cache
def mtmd() -> Any:
    """llama.cpp's library for images, ``llama_cpp.mtmd_cpp``; its log goes to :data:`log`, too.

    Raises: BackendMissing when this build has none.
    """
    llama_cpp = library()
    try:
        from llama_cpp import mtmd_cpp
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise BackendMissing(
            f"this build of {DISTRIBUTION} reads no images: {error}", _rebuild()
        ) from None
    mtmd_cpp.mtmd_helper_log_set(_log_callback(llama_cpp), None)
    return mtmd_cpp


@functools.cache
def _log_callback(llama_cpp: Any) -> Any:
    """The function that llama.cpp calls; cached, because it must outlive every model."""
    return llama_cpp.llama_log_callback(lambda level, text, _data: log.take(level, text))


def version() -> str:
    """The version of llama-cpp-python; empty when it is not installed. Imports nothing."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return ""


def engine_name() -> str:
    """As shown to people: ``llama.cpp (llama-cpp-python 0.3.36)``."""
    return f"llama.cpp ({DISTRIBUTION} {version()})"


def assign(struct: Any, **values: Any) -> None:
    """Set fields of a parameter struct.

    ctypes takes any name as a plain attribute: a setting that this version lacks would be lost
    without a word, and with it most of the memory that was planned.

    Raises: LoadFailed when the struct has no such field.
    """
    known = {field[0] for field in struct._fields_}
    for name, value in values.items():
        if name not in known:
            raise LoadFailed(
                f"{DISTRIBUTION} {version()} has no setting {name}",
                "install the version made for this plugin: "
                f"`{install_command(f'{DISTRIBUTION}=={CHECKED_VERSION}')}`",
            )
        setattr(struct, name, value)

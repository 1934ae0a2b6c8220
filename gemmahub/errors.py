"""Every failure that a user can see: message, hint, kind and exit code.

::

    GemmahubError            failed            exit 1
    ├── UsageError           usage             exit 2
    ├── NotFound             not_found         exit 3
    │   └── NotInstalled     not_found         exit 3   (a model that could be pulled)
    ├── DoesNotFit           does_not_fit      exit 4
    ├── FormatError          format            exit 1   (no model file, or one we cannot read)
    ├── IntegrityError       integrity         exit 7   (a damaged or incomplete file)
    ├── NetworkError         network           exit 6
    │   ├── Gated            gated             exit 6   (a licence to accept, or a login)
    │   └── RangesIgnored    network           exit 6   (a server that gives whole files only)
    ├── Cancelled            interrupted       exit 130
    └── BackendError         backend           exit 5
        ├── BackendMissing   backend_missing
        ├── BackendCrashed   backend_crashed
        ├── LoadFailed       load_failed
        ├── GenerationFailed generation_failed
        ├── TemplateError    chat_template
        └── ContextExceeded  context_exceeded  exit 4

The message says what happened, the hint says what to do next.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, ClassVar


class ExitCode(IntEnum):
    """Exit codes of the ``gemmahub`` command (a contract, see ``docs/reference/exit-codes.md``)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    DOES_NOT_FIT = 4
    BACKEND = 5
    NETWORK = 6
    INTEGRITY = 7
    INTERRUPTED = 130


class GemmahubError(Exception):
    """A failure with a message for the user, a hint on what to do next, and an exit code."""

    kind: ClassVar[str] = "failed"
    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.hint)

    @classmethod
    def of(cls, error: Exception) -> GemmahubError:
        """The failure itself, or a report of what else was raised: plugins may raise anything."""
        if isinstance(error, GemmahubError):
            return error
        message = f"unexpected {type(error).__name__}: {error}"
        return cls(message, "run gemmahub doctor")

    @property
    def in_full(self) -> str:
        """What happened and what to do, in one line."""
        return " · ".join(filter(None, (self.message, self.hint)))


class UsageError(GemmahubError):
    """The command line is invalid."""

    kind = "usage"
    exit_code = ExitCode.USAGE


class NotFound(GemmahubError):
    """A model, file, plugin or device that does not exist."""

    kind = "not_found"
    exit_code = ExitCode.NOT_FOUND


class NotInstalled(NotFound):
    """A model that is not on this machine, and that ``gemmahub pull`` can get by ``reference``."""

    def __init__(self, message: str, hint: str = "", reference: str = "") -> None:
        super().__init__(message, hint)
        self.reference = reference

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.hint, self.reference)


class DoesNotFit(GemmahubError):
    """More memory, disk or context was asked for than there is."""

    kind = "does_not_fit"
    exit_code = ExitCode.DOES_NOT_FIT


class FormatError(GemmahubError):
    """A file that is no model file, or of a version or type that we cannot read."""

    kind = "format"


class IntegrityError(GemmahubError):
    """A model file that is damaged or incomplete."""

    kind = "integrity"
    exit_code = ExitCode.INTEGRITY


class NetworkError(GemmahubError):
    """A server that cannot be reached, or that answers with an error."""

    kind = "network"
    exit_code = ExitCode.NETWORK


class Gated(NetworkError):
    """A repository that asks for a login, or for accepting its licence first."""

    kind = "gated"


class RangesIgnored(NetworkError):
    """A server that sends a whole file for a part of it."""


class Cancelled(GemmahubError):
    """Something long that was asked to stop."""

    kind = "interrupted"
    exit_code = ExitCode.INTERRUPTED


class BackendError(GemmahubError):
    """The one family of exceptions that a backend may raise."""

    kind = "backend"
    exit_code = ExitCode.BACKEND


class BackendMissing(BackendError):
    """No backend, or its engine is not installed."""

    kind = "backend_missing"


class BackendCrashed(BackendError):
    """The engine's process ended in the middle of its work."""

    kind = "backend_crashed"


class LoadFailed(BackendError):
    """The engine refused the model or its settings."""

    kind = "load_failed"


class GenerationFailed(BackendError):
    """The engine failed while it was answering."""

    kind = "generation_failed"


class FormRefused(GenerationFailed):
    """The engine cannot hold an answer to that schema or grammar, though it can to others."""

    kind = "form_refused"
    exit_code = ExitCode.FAILED


class TemplateError(BackendError):
    """The model's chat template is broken or raises."""

    kind = "chat_template"


class ContextExceeded(BackendError):
    """The prompt is longer than the context."""

    kind = "context_exceeded"
    exit_code = ExitCode.DOES_NOT_FIT


def _walk(cls: type[BackendError]) -> list[type[BackendError]]:
    return [cls, *(found for sub in cls.__subclasses__() for found in _walk(sub))]


def backend_error(kind: str, message: str, hint: str) -> BackendError:
    """The backend error of that kind; an unknown kind becomes a plain :class:`BackendError`."""
    for cls in _walk(BackendError):
        if cls.kind == kind:
            return cls(message, hint)
    return BackendError(message, hint)

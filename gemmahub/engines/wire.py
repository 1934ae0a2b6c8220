"""Frames between a session and its worker process: a length, then a piece of text or a record.

Both ends are the same gemmahub, on one machine, connected by a private pipe.
"""

from __future__ import annotations

import pickle
import struct
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from gemmahub.engines.contract import Chunk

if TYPE_CHECKING:
    from gemmahub.engines.contract import (
        Artifact,
        Prompt,
        Sampling,
        ServedModel,
        SessionInfo,
        Settings,
    )

_LENGTH: Final = struct.Struct("<I")
# Text pieces are nearly all of the traffic, one a token: they skip pickle.
_TEXT: Final = struct.Struct("<cI")
_TEXT_MARK: Final = b"T"
_RECORD_MARK: Final = b"R"


# --- to the worker -----------------------------------------------------------------------------


class Load(NamedTuple):
    """The first frame: which plugin's backend loads what."""

    plugin: str
    backend: str
    model: Artifact | ServedModel
    settings: Settings


class Ask(NamedTuple):
    """A method of a backend, and what it is given. Any number of them, and nothing else, go to one
    worker. ``reports``: it takes a function that hears of its progress."""

    plugin: str
    backend: str
    method: str
    arguments: tuple[Any, ...]
    reports: bool = False


class Generate(NamedTuple):
    """Returned a prompt; ``number`` names the answer."""

    number: int
    prompt: Prompt
    sampling: Sampling


class CallSession(NamedTuple):
    """Another method of the session; ``number`` names the call as if it were an answer."""

    number: int
    method: str
    arguments: tuple[Any, ...]


class Cancel(NamedTuple):
    """Stop the answer with that number, if it is still running. ``everything``: all others are to
    stop, too, so that the engine itself may be told."""

    number: int
    everything: bool = False


# --- from the worker ---------------------------------------------------------------------------


class LoadProgress(NamedTuple):
    """The fraction of loading that is done."""

    fraction: float


class Loaded(NamedTuple):
    """The model is there; comes again before the end of an answer that changed what is loaded."""

    info: SessionInfo


class Returned(NamedTuple):
    """What a method of the backend returned."""

    value: Any


class Yielded(NamedTuple):
    """What a method of the session returned, or one of several things."""

    number: int
    value: Any


class Piece(NamedTuple):
    """A piece of the answer with that number."""

    number: int
    chunk: Chunk


class Done(NamedTuple):
    """The answer with that number has ended."""

    number: int


class Failed(NamedTuple):
    """A backend error: of loading (number 0) or of an answer."""

    number: int
    kind: str
    message: str
    hint: str


def write_frame(pipe: IO[bytes], record: object) -> None:
    """Send one record.

    Raises: OSError when the other end is gone.
    """
    if isinstance(record, Piece) and record.chunk == Chunk(record.chunk.text):
        data = _TEXT.pack(_TEXT_MARK, record.number) + record.chunk.text.encode()
    else:
        data = _RECORD_MARK + pickle.dumps(record, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(_LENGTH.pack(len(data)) + data)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> Any | None:
    """The next record, None when the other end is gone (also in the middle of a record)."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = pipe.read(length)
    if len(data) != length:
        return None
    if data[:1] == _RECORD_MARK:
        return pickle.loads(memoryview(data)[1:])
    _, number = _TEXT.unpack_from(data)
    return Piece(number, Chunk(data[_TEXT.size :].decode()))

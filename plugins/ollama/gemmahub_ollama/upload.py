"""A file on its way to a server."""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import file_digest
from typing import TYPE_CHECKING, Final

from gemmahub.errors import LoadFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.http.limits import Patience

_PIECE: Final = 1 << 20


def digest_of(path: Path) -> str:
    """The digest by which Ollama's store knows a file: ``sha256:<64 hexadecimal digits>``."""
    with path.open("rb") as file:
        return f"sha256:{file_digest(file, 'sha256').hexdigest()}"


def pieces_of(path: Path, patience: Patience, seconds: float) -> Iterator[bytes]:
    """The file in pieces. Sending has the floor of long transfers and no limit in time; the answer
    then has so many ``seconds``: the server computes the digest again.
    """
    patience.within(None)
    patience.as_transfer()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
    patience.as_transfer(False)
    patience.within(seconds)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raises: LoadFailed for a file that cannot be read in the block."""
    try:
        yield
    except OSError as error:
        raise LoadFailed(
            f"{path} cannot be read: {error.strerror}", "see `gemmahub list`"
        ) from error

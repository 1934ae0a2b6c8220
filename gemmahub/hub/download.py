"""Pull: files of a repository into the Hugging Face cache, resumable and verified.

Session, proxies, login, locks and layout are huggingface_hub's; the loop over the bytes and the
placing are ours. huggingface_hub 2.4 gives each download a file of its own and removes it when the
download ends early (``file_download.py``, ``_download_to_tmp_and_move``), so that nothing could be
resumed, and its ``http_get`` keeps up to 10 MiB in memory, which a lost connection costs. It also
names the content by the etag that the server sends, which anybody on the way can choose. Here the
bytes go into ``blobs/<hash>.incomplete`` as they come. What is there is always the file's
beginning: writing at its own offset, even a second process without working locks writes the same
bytes to the same place. What was hashed here is placed by that hash, and nobody is asked again.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from gemmahub.engines.sources import LandingFile, PulledFile
from gemmahub.errors import IntegrityError
from gemmahub.hub.download_loop import ByteLoop, not_written
from gemmahub.hub.download_place import CachePlace
from gemmahub.hub.placing import (
    discard,
    give_name,
    open_partial,
    real_folder,
    share,
    tag_cache,
    write_ref,
)
from gemmahub.hub.reporter import Reporter
from gemmahub.hub.shared_blobs import SharedBlobs
from gemmahub.records.whole_file import replace_file
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from gemmahub.engines.sources import OnPull
    from gemmahub.hub.client import HubClient
    from gemmahub.hub.headers import Headers
    from gemmahub.hub.records import HubFile, Repository

_LOOK_SECONDS: Final = 0.5  # how often a waiting process looks how far the other one is
_BLOCK: Final = 1 << 20


class Sums(Protocol):
    """What knows the sha256 of files: :class:`gemmahub.stores.identity.ContentSums`."""

    def remembered(self, path: Path) -> str | None:
        """The sha256 that was computed of this very content."""
        ...

    def compute(self, path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
        """The sha256, computed unless it is remembered."""
        ...

    def moved(self, before: Path, after: Path) -> None:
        """Keep what is remembered of a file under its new name."""
        ...


def landing_of(files: Sequence[HubFile], folder: Path) -> tuple[LandingFile, ...]:
    """Where each of the files will be in the cache ``folder``; asks nothing of the network.

    Nothing is hashed: content of the right name and size counts as here, also that of another
    repository. Raises: IntegrityError for a file that could not be verified.
    """
    shared = SharedBlobs(folder)

    def landing(file: HubFile) -> LandingFile:
        place = CachePlace(folder, file)
        here = place.here_bytes()
        if here < file.size and shared.find(place) is not None:
            here = file.size
        return LandingFile(place.link, here)

    return tuple(landing(file) for file in files)


class Downloader:
    """Fetches, verifies and places files in the Hugging Face cache ``folder``, one after the other.

    ``say`` hears what is notable; ``on_progress`` gets records several a second; when ``cancelled``
    says so, :class:`Cancelled` is raised, and what has arrived is kept.
    """

    def __init__(
        self,
        client: HubClient,
        sums: Sums,
        headers: Headers,
        folder: Path,
        *,
        say: Callable[[str], None] | None = None,
        on_progress: OnPull | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self._client = client
        self._sums = sums
        self._headers = headers
        self._folder = folder
        self._say = say or (lambda line: None)
        self._on_progress = on_progress
        self._cancelled = cancelled
        self._reporter = Reporter({})
        self._shared = SharedBlobs(folder)

    def run(self, repository: Repository, files: Sequence[HubFile]) -> tuple[PulledFile, ...]:
        """Brings the files here, most of them from ``repository``, whose branch is noted.

        Raises: NetworkError, Gated, NotFound; IntegrityError for content that is not what the hub
        recorded: nothing of it is kept; DoesNotFit for a full disk, GemmahubError for a cache that
        cannot be written, and Cancelled: what has arrived is kept.
        """
        sizes = {file.path: file.size for file in files}
        self._reporter = Reporter(sizes, self._on_progress, self._cancelled)
        done = []
        for file in files:
            place = CachePlace(self._folder, file)
            try:
                done.append(self._bring(place))
            except OSError as error:
                raise not_written(place, error) from error
            self._reporter.begin(file.path, "ready", file.size)
        write_ref(self._folder, repository)
        tag_cache(self._folder)
        return tuple(done)

    def _bring(self, place: CachePlace) -> PulledFile:
        fetched = 0
        named = place.named()
        if named is None or not self._fits(place, named):
            with self._locked(place):
                is_new = not self._is_here(place)
                if is_new and not self._take_shared(place):
                    fetched = self._fetch(place)
                    self._accept(place)
                if (now := give_name(place, fetched=is_new)) != place.blob:
                    self._sums.moved(place.blob, now)
        return PulledFile(place.file.path, place.link, fetched)

    def _is_here(self, place: CachePlace) -> bool:
        """Whether the right content is here, named or not; what is damaged is removed."""
        while (path := place.content()) is not None:
            if self._fits(place, path):
                return True
            name = one_line(place.file.name, 120)
            self._say(f"{name} in the cache is damaged: it is removed and fetched again")
            discard(place, path)
        return False

    def _take_shared(self, place: CachePlace) -> bool:
        """Whether another repository of the cache has the content: it is verified, then shared."""
        other = self._shared.find(place)
        if other is None or not self._fits(place, other) or not share(place, other):
            return False
        self._sums.moved(other, place.blob)
        return True

    def _fits(self, place: CachePlace, path: Path) -> bool:
        """Whether a file has the hash that the hub recorded; hashed once.

        Raises: IntegrityError where it has, and the hub tells another size: nothing is removed
        because a hub contradicts itself.
        """
        if self._hash_of(place, path) != place.hash:
            return False
        if (size := path.stat().st_size) != place.file.size:
            raise IntegrityError(
                f"the hub states another size of {one_line(place.file.name, 120)} "
                f"({format_bytes(place.file.size)}) than the file with that hash has "
                f"({format_bytes(size)})",
                "the file here is kept; check HF_ENDPOINT and the proxy",
            )
        return True

    # --- the bytes -----------------------------------------------------------------------------

    def _fetch(self, place: CachePlace) -> int:
        """Fetches what is missing of the partial file; the bytes that came."""
        with open_partial(place) as out:
            if os.fstat(out.fileno()).st_size > place.file.size:
                out.truncate(0)
            if os.fstat(out.fileno()).st_size == 0:  # the header was read to look at it
                out.write(self._headers.open(place.file).prefix)
            loop = ByteLoop(self._client, place, out, self._reporter, self._say)
            self._reporter.begin(place.file.path, "fetching", loop.have)
            self._client.patiently(loop.run, self._client.endpoint, lambda: loop.fetched)
        return loop.fetched

    def _accept(self, place: CachePlace) -> None:
        """Checks what has come, and gives it the name of its hash."""
        if self._hash_of(place, place.partial) != place.hash:
            discard(place, place.partial)
            self._headers.forget(place.file)
            raise IntegrityError(
                f"{one_line(place.file.name, 120)} is not what the hub recorded: it has "
                f"another {('sha256' if place.file.sha256 else 'hash')} than "
                f"{place.blob.name[:12]}…; it was not kept",
                "pull it again; if that fails again, a proxy or the server damages it",
            )
        replace_file(place.partial, place.blob)
        self._sums.moved(place.partial, place.blob)

    def _hash_of(self, place: CachePlace, path: Path) -> str:
        """The hash of a file's content, of the kind that the hub recorded."""
        if place.file.sha256 and self._sums.remembered(path) == place.file.sha256:
            return place.file.sha256
        self._reporter.begin(place.file.path, "verifying")
        if place.file.sha256:
            return self._sums.compute(path, self._reporter.add)
        return _git_hash(path, self._reporter.add)

    @contextmanager
    def _locked(self, place: CachePlace) -> Iterator[None]:
        """Alone with the file; while another process fetches it, its progress is reported."""
        from filelock import Timeout
        from huggingface_hub.utils import WeakFileLock

        real_folder(place.folder, place.lock.parent)
        if place.lock.is_symlink():
            place.lock.unlink()
        waiting = False
        with ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(WeakFileLock(place.lock, timeout=_LOOK_SECONDS))
                    break
                except Timeout:
                    if not waiting:
                        name = one_line(place.file.name, 120)
                        self._say(f"another process fetches {name}: waiting for it")
                        self._reporter.begin(place.file.path, "waiting", place.here_bytes())
                        waiting = True
                    self._reporter.see(place.here_bytes())
            yield


def _git_hash(path: Path, on_bytes: Callable[[int], None]) -> str:
    """The hash that git gives a file: sha1 over ``blob``, its length and its content."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            on_bytes(len(block))
    return digest.hexdigest()

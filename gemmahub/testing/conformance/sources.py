"""The tests that every source of models passes."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from gemmahub.engines.sources import (
    FoundRepository,
    Landing,
    Pulled,
    PullProgress,
    RemoteArtifact,
    RemoteFile,
)
from gemmahub.engines.validation import check_source
from gemmahub.errors import Cancelled, IntegrityError, NotFound, UsageError
from gemmahub.records.parsing import checked
from gemmahub.testing.conformance.base import PluginConformance, only_our_errors, tree_of
from gemmahub.text import strip_controls

if TYPE_CHECKING:
    from gemmahub.engines.sources import Source

_PHASES = ("waiting", "fetching", "verifying", "ready")


class _Enough(Exception):
    """What a listener raises that wants no more."""


class SourceConformance(PluginConformance):
    """Set ``plugin``, ``reference``, ``unknown``, ``content``, and override the fixture ``source``.

    ``source_name`` chooses among several sources. ``reference`` names a model that the source has,
    and ``unknown`` one that it has not; ``content`` are the bytes of its weights, in one file, at
    least 100 KB of them. ``to_folder`` False: it pulls to a place of its own, and takes no folder.
    """

    source_name: ClassVar[str] = ""
    reference: ClassVar[str]
    unknown: ClassVar[str]
    content: ClassVar[bytes]
    to_folder: ClassVar[bool] = True

    @pytest.fixture
    def source(self) -> Any:
        """The source, whose place (a folder, a server of the test) has the model.

        ::

            @pytest.fixture
            def source(self, tmp_path, monkeypatch):
                with a_server({"tiny": self.content}) as server:
                    monkeypatch.setenv("DEMO_SERVER", server.url)
                    yield DemoSource()
        """
        raise NotImplementedError("override the fixture source")

    def damage(self, source: Any) -> None:
        """Make the place send other bytes of the same length; a source that knows no checksum of
        what it gets cannot tell, and leaves this out."""
        pytest.skip("damage(source) is not written: its integrity check is not tested")

    @pytest.fixture
    def artifact(self, source: Source) -> RemoteArtifact:
        """The model, found."""
        found = source.find(self.reference)
        assert found is not None, f"there is no {self.reference}"
        return found

    # --- finding ---------------------------------------------------------------------------------

    def test_it_is_offered(self, source: Source) -> None:
        """Through the plugin's entry point, under the same name and for the same schemes."""
        offered = self._offered("gemmahub_sources", "source", check_source, self.source_name)
        assert (offered.name, tuple(offered.schemes)) == (source.name, tuple(source.schemes))

    def test_a_model_is_found(self, source: Source, artifact: RemoteArtifact) -> None:
        """With its full reference, its files and their sizes."""
        assert isinstance(artifact, RemoteArtifact)
        assert artifact.source == source.name
        assert artifact.reference.partition("://")[0] in source.schemes
        assert artifact.format
        assert artifact.name
        for file in artifact.files:
            checked(file, RemoteFile)
            assert file.size >= 0
            assert Path(file.name).name, f"{file.name!r} is not a file name"
            assert not Path(file.name).is_absolute()
            assert ".." not in Path(file.name).parts
        (weights,) = artifact.weights
        assert weights.size == len(self.content)
        for text in (artifact.reference, artifact.name, artifact.place, *artifact.notes):
            assert text == strip_controls(text)

    def test_it_finds_the_same_again(self, source: Source, artifact: RemoteArtifact) -> None:
        """By the full reference, too; the revision pins what was found."""
        again = source.find(artifact.reference)
        assert again is not None
        assert (again.reference, again.revision) == (artifact.reference, artifact.revision)
        assert again.files == artifact.files

    def test_what_is_not_there_is_none(self, source: Source) -> None:
        """None, or NotFound."""
        with only_our_errors(f"find({self.unknown!r})") as caught:
            assert source.find(self.unknown) is None
        assert all(isinstance(error, NotFound) for error in caught)

    def test_nonsense_is_an_error_of_ours(self, source: Source) -> None:
        """References that nobody means, and that people write."""
        for rest in ("", "..", "../../etc/passwd", "a b", "\x1b[2J", "x" * 3000, "?q=1#a", "ü/ö"):
            reference = f"{source.schemes[0]}://{rest}"
            with only_our_errors(f"find({reference!r:.60})"):
                found = source.find(reference)
                assert found is None, f"{reference!r:.60} names a model"

    def test_a_name_in_full(self, source: Source, artifact: RemoteArtifact) -> None:
        """``bare`` fills in what was left out; what is full stays as it is."""
        bare = getattr(source, "bare", None)
        if bare is None:
            pytest.skip(f"{source.name} has no bare()")
        rest = artifact.reference.partition("://")[2]
        assert bare(rest) == artifact.reference
        assert bare("\0 no name \x1b") is None

    def test_a_search_is_limited(self, source: Source) -> None:
        """Repositories for some words, no more than asked for."""
        search = getattr(source, "search", None)
        if search is None:
            pytest.skip(f"{source.name} has no search()")
        for words in ("gemma", "no such words anywhere"):
            with only_our_errors(f"search({words!r})"):
                found = search(words, 1)
                assert len(found) <= 1
                assert all(isinstance(each, FoundRepository) for each in found)

    # --- reading ---------------------------------------------------------------------------------

    def test_a_file_is_read_at_any_offset(self, source: Source, artifact: RemoteArtifact) -> None:
        """Backwards, too: a header is read before the file is fetched."""
        (file,) = artifact.weights
        with source.open(artifact, file) as opened:
            assert opened.size == len(self.content)
            for offset, length in ((0, 4), (1000, 70_000), (10, 10), (5000, 0)):
                expected = self.content[offset : offset + length]
                same = opened.read(offset, length) == expected
                assert same, f"other bytes: {length} from {offset}"

    def test_reading_beyond_the_end_is_an_error_of_ours(
        self, source: Source, artifact: RemoteArtifact
    ) -> None:
        """IntegrityError; and closing twice is fine."""
        (file,) = artifact.weights
        opened = source.open(artifact, file)
        with only_our_errors("reading beyond the end") as caught:
            opened.read(len(self.content) - 1, 2)
        assert caught, "bytes came from behind the end"
        assert isinstance(caught[0], IntegrityError)
        opened.close()
        opened.close()

    # --- pulling ---------------------------------------------------------------------------------

    def test_a_landing_is_a_plan(
        self, source: Source, artifact: RemoteArtifact, tmp_path: Path
    ) -> None:
        """It says where and how much, and changes nothing."""
        to = self._to(tmp_path)
        before = tree_of(tmp_path)
        landing = source.landing(artifact, to)
        assert tree_of(tmp_path) == before, "landing() changed something"
        assert isinstance(landing, Landing)
        assert landing.how.strip()
        assert landing.need_bytes == artifact.download_bytes
        assert to is None or landing.folder == to

    def test_a_folder_is_taken_or_refused(
        self, source: Source, artifact: RemoteArtifact, tmp_path: Path
    ) -> None:
        """A source that has a place of its own says so with UsageError."""
        if self.to_folder:
            assert source.landing(artifact, tmp_path / "to").folder == tmp_path / "to"
            return
        with pytest.raises(UsageError):
            source.landing(artifact, tmp_path / "to")

    def test_a_pull_brings_the_files(
        self, source: Source, artifact: RemoteArtifact, tmp_path: Path
    ) -> None:
        """Byte for byte; progress grows and ends with the whole."""
        seen: list[PullProgress] = []
        pulled = source.pull(artifact, self._to(tmp_path), seen.append)
        assert self._pulled_all(pulled, artifact)
        assert pulled.moved_bytes >= len(self.content)
        assert pulled.reference.strip()
        names = {file.name for file in artifact.files}
        for progress in seen:
            assert progress.file in names
            assert progress.phase in _PHASES
            assert 0 <= progress.done_bytes <= progress.total_bytes
        fetched = [p.done_bytes for p in seen if p.phase == "fetching"]
        assert fetched, "on_progress heard of nothing that was fetched"
        if len(names) == 1:
            assert fetched == sorted(fetched)
            assert max(fetched) == len(self.content)

    def test_what_is_here_is_not_fetched_again(
        self, source: Source, artifact: RemoteArtifact, tmp_path: Path
    ) -> None:
        """A second pull moves nothing, and a landing needs nothing."""
        to = self._to(tmp_path)
        source.pull(artifact, to)
        assert source.landing(artifact, to).need_bytes == 0
        again = source.pull(artifact, to)
        assert again.moved_bytes == 0
        assert self._pulled_all(again, artifact)

    def test_a_pull_that_was_stopped_goes_on(
        self, source: Source, artifact: RemoteArtifact, tmp_path: Path
    ) -> None:
        """What ``on_progress`` raises ends it; the next one brings the whole."""
        to = self._to(tmp_path)

        def stop(progress: PullProgress) -> None:
            raise _Enough

        with pytest.raises(_Enough):
            source.pull(artifact, to, stop)
        pulled = source.pull(artifact, to)
        assert self._pulled_all(pulled, artifact)

    def test_a_pull_is_cancelled(
        self, source: Source, artifact: RemoteArtifact, tmp_path: Path
    ) -> None:
        """Where it asks ``cancelled``, Cancelled is raised."""
        if "cancelled" not in inspect.signature(source.pull).parameters:
            pytest.skip(f"pull() of {source.name} has no parameter cancelled")
        to = self._to(tmp_path)
        with pytest.raises(Cancelled):
            source.pull(artifact, to, cancelled=lambda: True)
        assert self._pulled_all(source.pull(artifact, to), artifact)

    def test_other_bytes_are_refused(
        self, source: Source, artifact: RemoteArtifact, tmp_path: Path
    ) -> None:
        """What came is not what was found: IntegrityError, and nothing lies under its name."""
        to = self._to(tmp_path)
        self.damage(source)
        with only_our_errors("a pull of other bytes") as caught:
            source.pull(artifact, to)
        assert caught, "other bytes were taken for the model"
        assert isinstance(caught[0], IntegrityError)
        if to is not None:
            assert not any((to / Path(file.name).name).exists() for file in artifact.weights)

    def test_nothing_is_printed(
        self, source: Source, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A source does not print."""
        capfd.readouterr()
        found = source.find(self.reference)
        assert found is not None
        source.pull(found, self._to(tmp_path))
        assert capfd.readouterr() == ("", "")

    def _to(self, tmp_path: Path) -> Path | None:
        return tmp_path / "models" if self.to_folder else None

    def _pulled_all(self, pulled: Pulled, artifact: RemoteArtifact) -> bool:
        # The test asserts a bool: where pytest knows that it runs in CI, it explains two different
        # contents byte by byte, which takes hours.
        assert isinstance(pulled, Pulled)
        if pulled.path is None:
            pytest.skip("what it pulls is on a server of its own")
        path = pulled.path
        weights = path / artifact.weights[0].name if path.is_dir() else path
        return weights.read_bytes() == self.content

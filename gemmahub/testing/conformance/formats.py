"""The tests that every reader of a file format passes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, ClassVar, Final

import pytest

from gemmahub.engines.guarded_reader import check_reader, readers_of
from gemmahub.engines.manager import load_plugins
from gemmahub.errors import FormatError, IntegrityError
from gemmahub.formats.detect import open_model
from gemmahub.formats.source import LocalFile, check_range
from gemmahub.testing.conformance.base import PluginConformance, failures, only_our_errors
from gemmahub.testing.gguf_writer import write_gguf
from gemmahub.testing.safetensors_writer import write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.formats.reader import FormatReader
    from gemmahub.formats.tensor import Tensor

_BEGINNING: Final = 4096
_WEIGHTS: Final = 1_000_000
_WINDOW: Final = 256 * 1024  # what a reader may read behind the header


class _Elsewhere:
    """A file as bytes, which no path leads to; it counts what is read of it."""

    def __init__(self, content: bytes) -> None:
        self.name, self.size = "elsewhere", len(content)
        self.read_bytes = 0
        self._content = content

    def read(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        self.read_bytes += length
        return self._content[offset : offset + length]


class FormatConformance(PluginConformance):
    """Set ``plugin`` and write ``make_file``; ``format_name`` chooses among several formats."""

    format_name: ClassVar[str] = ""

    def make_file(self, folder: Path) -> Path:
        """A valid model file with at least 1 MB of weights: zeros will do."""
        raise NotImplementedError("write make_file(self, folder) -> Path")

    @pytest.fixture
    def reader(self) -> FormatReader:
        """The reader, found through the plugin's entry point."""
        return self._offered("gemmahub_formats", "format", check_reader, self.format_name)

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        """A model file."""
        (tmp_path / "own").mkdir()
        path = self.make_file(tmp_path / "own")
        assert path.stat().st_size > _WEIGHTS, "make_file writes at least 1 MB of weights"
        return path

    def test_its_own_file_is_measured(self, reader: FormatReader, file: Path) -> None:
        """gemmahub asks it about a file of its format, and takes what it says of the tensors."""
        assert reader.reads(file) is True
        manager = load_plugins(only=[self._plugin()])
        model = open_model(file, further=lambda: readers_of(manager))
        assert model.format == reader.name
        assert sum(tensor.parameters for tensor in model.tensors) > 0
        assert not failures(manager)

    def test_files_of_other_formats_are_left(
        self, reader: FormatReader, file: Path, tmp_path: Path
    ) -> None:
        """Whatever their names: other files with its suffix, and files cut off in the magic."""
        others = {
            "empty": b"",
            "one byte": file.read_bytes()[:1],
            "zeros": bytes(5000),
            "a text": b"no model\n" * 100,
            "a web page": b"<!doctype html><html></html>",
        }
        gguf, safetensors = tmp_path / "a.gguf", tmp_path / "a.safetensors"
        write_gguf(gguf, {}, [("t", (32,), "Q8_0")])
        write_safetensors(safetensors, [("t", "F16", (8,))])
        others |= {"GGUF": gguf.read_bytes(), "safetensors": safetensors.read_bytes()}
        for number, (what, content) in enumerate(others.items()):
            other = tmp_path / f"{number}{file.suffix}"
            other.write_bytes(content)
            assert reader.reads(other) is False, f"a file that is {what} was taken"

    def test_the_beginning_tells_the_format(
        self, reader: FormatReader, file: Path, tmp_path: Path
    ) -> None:
        """Of a model on a server, the first 4,096 bytes are all that ``reads`` can see."""
        beginning = tmp_path / file.name
        beginning.write_bytes(file.read_bytes()[:_BEGINNING])
        assert reader.reads(beginning) is True

    def test_bytes_come_from_the_source(self, reader: FormatReader, file: Path) -> None:
        """``tensors`` reads the source that it is given, and no file beside it."""
        with LocalFile(file) as source:
            there = list(reader.tensors(source))
        content = file.read_bytes()
        file.unlink()
        assert list(reader.tensors(_Elsewhere(content))) == there

    def test_no_weights_are_read(self, reader: FormatReader, file: Path) -> None:
        """The header alone: of a model of many GB, over a network, too."""
        source = _Elsewhere(file.read_bytes())
        weights = sum(tensor.bytes or 0 for tensor in reader.tensors(source))
        allowed = source.size - weights + _WINDOW
        assert source.read_bytes <= allowed, f"{source.read_bytes:,} bytes were read"

    def test_bytes_of_tensors_are_those_of_the_file(self, reader: FormatReader, file: Path) -> None:
        """They are what is stored: bits per weight are counted from them."""
        found = self._tensors(reader, file.read_bytes())
        known = [tensor.bytes for tensor in found if tensor.bytes is not None]
        assert sum(known) <= file.stat().st_size
        if len(known) == len(found):
            assert sum(known) > _WEIGHTS / 2, "the weights of make_file are in no tensor"

    def test_a_damaged_file_is_an_error_of_ours(self, reader: FormatReader, file: Path) -> None:
        """FormatError or IntegrityError, or still tensors; no other exception."""
        content = file.read_bytes()
        for place in range(64):
            changed = bytearray(content)
            changed[place] ^= 0xFF
            with only_our_errors(f"a file whose byte {place} is another"):
                self._tensors(reader, bytes(changed))

    def test_a_file_that_ends_early_is_an_error_of_ours(
        self, reader: FormatReader, file: Path
    ) -> None:
        """Cut off in the header or in the weights."""
        content = file.read_bytes()
        for length in (5, 20, 60, len(content) - _WEIGHTS // 2):
            with only_our_errors(f"a file cut off after {length:,} bytes") as caught:
                self._tensors(reader, content[:length])
            assert caught, f"a file cut off after {length:,} bytes was accepted as complete"
            assert isinstance(caught[0], FormatError | IntegrityError)

    def test_nothing_is_printed(
        self, reader: FormatReader, file: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A reader does not print."""
        capfd.readouterr()
        reader.reads(file)
        self._tensors(reader, file.read_bytes())
        assert capfd.readouterr() == ("", "")

    def test_the_same_file_gives_the_same(
        self, reader: FormatReader, file: Path, tmp_path: Path
    ) -> None:
        """Also under another name, and when another file was read in between."""
        other = tmp_path / "another name"
        shutil.copy(file, other)
        first = self._tensors(reader, file.read_bytes())
        assert reader.reads(other) is True
        assert self._tensors(reader, other.read_bytes()) == first

    def _tensors(self, reader: FormatReader, content: bytes) -> list[Tensor]:
        return list(reader.tensors(_Elsewhere(content)))

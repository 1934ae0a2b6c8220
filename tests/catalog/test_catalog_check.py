"""The maintainers' check finds what changed on a hub and in a registry, and prints it as TOML."""

from __future__ import annotations

import hashlib
import tomllib
from typing import TYPE_CHECKING, Any, Final

import pytest

from benchmarks import catalog_check
from gemmahub.catalog.loader import catalog_from
from gemmahub.testing.hub.content import Served
from gemmahub_ollama.place import MIRROR
from plugins.ollama.tests.fake_registry import RunningRegistry
from tests.catalog.test_catalog_loader import MINIMAL, SHA256

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.testing.hub.server import HubServer

SIZE: Final = 1000
BEFORE: Final = b"a" * SIZE
TAGS: Final = """
[published]
scheme = "ollama"
place = "Ollama's registry"
as_of = "2026-05-05"
source = "a source"
tags = [
  { tag = "gemma3:270m", resolves_to = "270m", model = "gemma-3-270m", label = "Q8_0", \
    training = "PTQ", size = "292MB", context = 32768, DIGEST, grade = "C" },
]
"""


def entry(data: bytes, revision: str = "") -> str:
    """The minimal catalogue, whose file is of that content."""
    made = MINIMAL.replace(SHA256, hashlib.sha256(data).hexdigest())
    made = made.replace("bytes = 253113024", f"bytes = {len(data)}")
    return made.replace('content = "s', f'revision = "{revision}"\ncontent = "s', bool(revision))


def checked(capsys: pytest.CaptureFixture[str], text: str, *options: str) -> tuple[int, str]:
    code = catalog_check.main(options, catalog_from({"x.toml": text}))
    return code, capsys.readouterr().out


def hub_check(capsys: pytest.CaptureFixture[str], text: str) -> tuple[int, str]:
    return checked(capsys, text, "--no-tags")


def test_nothing_is_printed_where_all_is_as_before(
    hub_server: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = hub_server.add("owner/name", {"model.gguf": BEFORE}).head
    assert hub_check(capsys, entry(BEFORE, commit)) == (0, "")


def test_another_revision_of_the_same_file(
    hub_server: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = hub_server.add("owner/name", {"model.gguf": BEFORE}).head
    code, out = hub_check(capsys, entry(BEFORE, "0" * 40))
    assert code == 1
    assert "the same file at another revision" in out
    assert tomllib.loads(out) == {"revision": commit}


@pytest.mark.parametrize("after", [b"b" * SIZE, b"b" * SIZE * 2])
def test_a_replaced_file_is_entered_with_what_was_there_before(
    hub_server: HubServer, capsys: pytest.CaptureFixture[str], after: bytes
) -> None:
    commit = hub_server.add("owner/name", {"model.gguf": after}).head
    code, out = hub_check(capsys, entry(BEFORE, "0" * 40))
    assert code == 1
    assert "owner/name model.gguf: replaced" in out
    figures, _, row = out.partition("# to the list replaced:\n")
    now = {"bytes": len(after), "sha256": hashlib.sha256(after).hexdigest(), "revision": commit}
    assert tomllib.loads(figures) == now
    (old,) = tomllib.loads(f"replaced = [{row}]")["replaced"]
    assert old["sha256"] == hashlib.sha256(BEFORE).hexdigest()
    assert (old["bytes"], old["revision"], old["grade"]) == (SIZE, "0" * 40, "A")
    assert old["date"] == old["wrong"] == "FILL IN"


def test_what_was_filled_in_is_loaded(
    hub_server: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    hub_server.add("owner/name", {"model.gguf": b"b" * SIZE * 2})
    _, out = hub_check(capsys, entry(BEFORE))
    row = out.partition("# to the list replaced:\n")[2].replace("FILL IN", "2026-01-01")
    text = entry(b"b" * SIZE * 2).replace('grade = "A"', f'replaced = [{row}]\ngrade = "A"')
    found = catalog_from({"x.toml": text}).replaced.find("model.gguf", SIZE, None)
    assert found is not None
    assert found.date == "2026-01-01"


def test_new_files_are_entries_and_other_data_is_none(
    hub_server: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    files: dict[str, Any] = {
        "model.gguf": BEFORE,
        "gemma-3-270m-it-qat-Q4_0.gguf": b"c" * 20,
        "imatrix.gguf": b"d",
        "README.md": b"e",
    }
    commit = hub_server.add("owner/name", {p: Served.of(p, d) for p, d in files.items()}).head
    code, out = hub_check(capsys, entry(BEFORE, commit))
    assert code == 1
    (made,) = tomllib.loads(out)["models"]["variants"]
    assert made["file"] == "gemma-3-270m-it-qat-Q4_0.gguf"
    assert (made["name"], made["label"], made["training"]) == ("q4_0", "Q4_0", "QAT")
    assert (made["bytes"], made["revision"]) == (20, commit)
    assert made["content"] == "FILL IN"


FOLDER: Final = MINIMAL.replace('label = "Q4_K_M"', 'format = "mlx"\nlabel = "4bit"').replace(
    "bytes = 253113024\n", ""
)


def folder(revision: str) -> str:
    lines = [
        'file = "."\nrevision = "REVISION"'.replace("REVISION", revision)
        if line.startswith("file = ")
        else line
        for line in FOLDER.splitlines()
        if not line.startswith(("sha256", "types"))
    ]
    return "\n".join(lines) + "\n"


def test_a_folder_is_known_by_its_revision(
    hub_server: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    files: dict[str, Any] = {"model.safetensors": BEFORE, "config.json": b"{}"}
    commit = hub_server.add("owner/name", {p: Served.of(p, d) for p, d in files.items()}).head
    assert hub_check(capsys, folder(commit)) == (0, "")
    code, out = hub_check(capsys, folder("0" * 40))
    assert code == 1
    assert "owner/name: a folder at another revision" in out
    assert tomllib.loads(out) == {"revision": commit, "bytes": SIZE + 2}
    hub_server.add("owner/name", {"README.md": b"e"})
    code, out = hub_check(capsys, folder(commit))
    assert code == 1
    assert "has no weights any more" in out


def test_a_file_and_a_repository_that_are_gone(
    hub_server: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = hub_check(capsys, entry(BEFORE))
    assert code == 1
    assert out.startswith("# owner/name: ")
    hub_server.add("owner/name", {"README.md": b"e"})
    code, out = hub_check(capsys, entry(BEFORE))
    assert code == 1
    assert "owner/name model.gguf: gone from main" in out


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningRegistry]:
    with RunningRegistry() as running:
        monkeypatch.setenv(MIRROR, running.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        running.add("library/gemma3:270m", running.manifest([running.layer("model", BEFORE)]))
        yield running


@pytest.mark.parametrize("known", ["whole", "beginning", "moved", "nothing"])
def test_tags_are_compared_with_their_manifests(
    registry: RunningRegistry, capsys: pytest.CaptureFixture[str], known: str
) -> None:
    now = hashlib.sha256(registry.manifests["library/gemma3:270m"]).hexdigest()
    digests = {
        "whole": f'manifest_sha256 = "{now}"',
        "beginning": f'digest = "{now[:12]}"',
        "moved": f'digest = "{"0" * 12}"',
        "nothing": 'note = "its digest is not known"',
    }
    text = MINIMAL + TAGS.replace("DIGEST", digests[known])
    code, out = checked(capsys, text, "--no-hub")
    assert code == (0 if known == "whole" else 1)
    assert ("moved, before it was 000000000000" in out) is (known == "moved")
    assert (f'manifest_sha256 = "{now}"' in out) is (known != "whole")
    rows = out.partition("# to its list replaced:\n")[2]
    assert bool(rows) is (known == "moved")
    if known == "moved":
        row = rows.strip().rstrip(",").replace("FILL IN", "it has another build")
        filled = digests["moved"].replace("0" * 12, now[:12]) + f", replaced = [{row}]"
        made = catalog_from({"x.toml": MINIMAL + TAGS.replace("DIGEST", filled)})
        tag = made.published("gemma3:270m")
        assert tag is not None
        why = tag.outdated("0" * 64)
        assert why is not None
        assert (why.date, why.wrong, why.confirmed) == ("2026-05-05", "it has another build", False)


def test_a_tag_that_is_gone_is_reported(
    registry: RunningRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.manifests.clear()
    text = MINIMAL + TAGS.replace("DIGEST", f'digest = "{"0" * 12}"')
    code, out = checked(capsys, text, "--no-hub")
    assert code == 1
    assert out.startswith("# ollama://gemma3:270m: ")


def test_what_cannot_be_asked_is_not_a_difference(
    hub_server: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    hub_server.add("owner/name", {"model.gguf": BEFORE})
    hub_server.fault("page", "/api/models/owner/name", times=None)
    code, out = hub_check(capsys, entry(BEFORE, "0" * 40))
    assert code == 6, out
    assert out.startswith("# owner/name: ")

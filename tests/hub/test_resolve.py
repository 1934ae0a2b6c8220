"""References resolved against a hub: the commit, the right files, and what exists otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import IntegrityError, NotFound, UsageError
from gemmahub.formats.gguf_writer import gguf_header
from gemmahub.testing.hub.content import Served
from gemmahub.testing.hub.models import projector, small_model
from tests.hub.ways import read

if TYPE_CHECKING:
    from gemmahub.hub.source import Hub
    from gemmahub.testing.hub.server import HubServer

MODEL = small_model()


def names(server: HubServer, repo: str, *paths: str) -> None:
    """A repository with the same small model under many names."""
    data = {p: projector(p) if "mmproj" in p else MODEL for p in paths}
    server.add(repo, data, gated="", card={"license": "gemma"})


@pytest.mark.parametrize(
    "reference",
    [
        "user/repo:Q4_K_M",
        "user/repo:q4_k_m",
        "hf.co/user/repo:Q4_K_M",
        "https://huggingface.co/user/repo/blob/main/gemma-Q4_K_M.gguf",
        "hf://user/repo/gemma-Q4_K_M.gguf",
        "hf://user/repo/GEMMA-q4_k_m.gguf",
        "user/repo:Q4_K_M@main",
        "user/repo@q4_k_m",
    ],
)
def test_every_form_names_the_file(server: HubServer, hub: Hub, reference: str) -> None:
    names(server, "user/repo", "gemma-Q4_K_M.gguf", "gemma-Q4_0.gguf", "gemma-Q8_0.gguf")
    model = hub.resolve(reference)
    assert [file.path for file in model.files] == ["gemma-Q4_K_M.gguf"]
    served = server.repos["user/repo"].commits[server.repos["user/repo"].head]["gemma-Q4_K_M.gguf"]
    assert model.files[0].sha256 == served.sha256
    assert model.files[0].size == model.size_bytes == len(MODEL)
    assert model.repository.commit == model.files[0].commit == server.repos["user/repo"].head
    assert (model.label, model.format) == ("Q4_K_M", "gguf")
    assert model.repository.licence == "gemma"
    assert model.reference == "hf://user/repo/gemma-Q4_K_M.gguf"


def test_a_revision_is_a_branch_or_a_commit(server: HubServer, hub: Hub) -> None:
    repo = server.add("user/repo", {"m-Q4_0.gguf": MODEL})
    old = repo.head
    server.add("user/repo", {"m-Q8_0.gguf": MODEL})
    server.add("user/repo", {"m-F16.gguf": MODEL}, branch="refs/pr/1")
    assert hub.resolve("user/repo").label == "Q8_0"
    assert hub.resolve(f"user/repo:Q4_0@{old}").repository.commit == old
    assert hub.resolve("user/repo:F16@refs/pr/1").label == "F16"
    with pytest.raises(NotFound, match="no such revision"):
        hub.resolve("user/repo:F16@refs/pr/2")


def test_a_commit_is_requested_once(server: HubServer, hub: Hub) -> None:
    commit = server.add("user/repo", {"m-Q4_0.gguf": MODEL}).head
    hub.resolve("user/repo")
    server.forget()
    assert hub.resolve(f"hf://user/repo/m-Q4_0.gguf@{commit}").files
    assert not server.seen


def test_without_a_label_several_models_are_listed(server: HubServer, hub: Hub) -> None:
    names(server, "user/repo", "m-Q4_0.gguf", "m-Q8_0.gguf", "mmproj-F16.gguf", "imatrix.gguf")
    with pytest.raises(NotFound, match="2 models") as failure:
        hub.resolve("user/repo")
    assert "user/repo:Q4_0" in failure.value.hint
    assert "user/repo:Q8_0" in failure.value.hint
    assert "mmproj" not in failure.value.hint


def test_a_label_that_is_not_there_lists_what_is(server: HubServer, hub: Hub) -> None:
    names(server, "user/repo", "m-Q4_0.gguf", "m-Q8_0.gguf")
    with pytest.raises(NotFound, match="no Q5_K_M") as failure:
        hub.resolve("user/repo:Q5_K_M")
    assert "user/repo:Q4_0" in failure.value.hint


def test_a_label_of_two_files_asks_for_the_file(server: HubServer, hub: Hub) -> None:
    names(server, "user/repo", "gemma-4b-Q4_0.gguf", "gemma-12b-Q4_0.gguf")
    with pytest.raises(NotFound, match="matches 2 models") as failure:
        hub.resolve("user/repo:Q4_0")
    assert "hf://user/repo/gemma-12b-Q4_0.gguf" in failure.value.hint


@pytest.mark.parametrize(
    ("label", "path"),
    [
        ("UD-Q4_K_XL", "g-UD-Q4_K_XL.gguf"),
        ("ud-q4_k_xl", "g-UD-Q4_K_XL.gguf"),
        ("Q4_K_XL", "g-UD-Q4_K_XL.gguf"),
        ("Q4_K_M", "g-Q4_K_M.gguf"),
        ("UD-Q4_K_M", "UD/g-UD-Q4_K_M.gguf"),
        ("Q4_0", "g-Q4_0.gguf"),
        ("q4_0-qat", "g-qat-q4_0-extra.gguf"),
        ("qat", "g-qat-q4_0-extra.gguf"),
        ("bf16", "BF16/g-BF16.gguf"),
    ],
)
def test_labels_as_publishers_write_them(
    server: HubServer, hub: Hub, label: str, path: str
) -> None:
    names(
        server, "user/repo", "g-UD-Q4_K_XL.gguf", "g-Q4_K_M.gguf", "UD/g-UD-Q4_K_M.gguf",
        "BF16/g-BF16.gguf", *(["g-Q4_0.gguf"] if label == "Q4_0" else ["g-qat-q4_0-extra.gguf"]),
    )  # fmt: skip
    assert hub.resolve(f"user/repo:{label}").files[0].path == path


def test_the_label_may_stand_in_the_repository_alone(server: HubServer, hub: Hub) -> None:
    names(server, "google/gemma-3-4b-it-qat-q4_0-gguf", "model.gguf", "mmproj-model-f16-4B.gguf")
    model = hub.resolve("google/gemma-3-4b-it-qat-q4_0-gguf:Q4_0")
    assert model.label == "Q4_0"
    assert model.projector is not None


def test_all_parts_of_a_split_file(server: HubServer, hub: Hub) -> None:
    parts = [f"Q8_0/m-Q8_0-{n:05}-of-00003.gguf" for n in (1, 2, 3)]
    names(server, "user/repo", *reversed(parts), "m-Q4_0.gguf")
    assert [f.path for f in hub.resolve("user/repo:Q8_0").files] == parts
    assert [f.path for f in hub.resolve(f"hf://user/repo/{parts[1]}").files] == parts
    assert hub.resolve("user/repo:Q8_0").size_bytes == 3 * len(MODEL)


def test_a_missing_part_is_reported(server: HubServer, hub: Hub) -> None:
    names(server, "user/repo", "m-Q8_0-00001-of-00003.gguf", "m-Q8_0-00003-of-00003.gguf")
    with pytest.raises(IntegrityError, match="lacks part 2 of 3"):
        hub.resolve("user/repo:Q8_0")


@pytest.mark.parametrize(
    ("model", "projectors", "chosen"),
    [
        ("m-Q4_0.gguf", ["mmproj-BF16.gguf", "mmproj-F16.gguf"], "mmproj-F16.gguf"),
        ("m-Q4_0.gguf", ["mmproj-F32.gguf", "mmproj-F16.gguf"], "mmproj-F16.gguf"),
        ("m-Q4_0.gguf", ["mmproj-Q8_0.gguf", "mmproj-BF16.gguf"], "mmproj-BF16.gguf"),
        ("m-Q4_0.gguf", ["mmproj.gguf"], "mmproj.gguf"),
        ("m-Q4_0.gguf", [], None),
        ("g-4b-Q4_0.gguf", ["mmproj-12b-F16.gguf", "mmproj-4B-Q8_0.gguf"], "mmproj-4B-Q8_0.gguf"),
        ("g-4b-Q4_0.gguf", ["mmproj-12b-F16.gguf"], None),
        ("g-E4B-Q4_0.gguf", ["g-E2B-mmproj.gguf", "g-E4B-mmproj.gguf"], "g-E4B-mmproj.gguf"),
    ],
)  # fmt: skip
def test_the_projector_that_belongs_to_it(
    server: HubServer, hub: Hub, model: str, projectors: list[str], chosen: str | None
) -> None:
    names(server, "user/repo", model, *projectors)
    found = hub.resolve("user/repo")
    assert (found.projector.path if found.projector else None) == chosen
    assert hub.find("user/repo").download_bytes == found.size_bytes + (
        found.projector.size if found.projector else 0
    )


def test_a_folder_has_its_companions(server: HubServer, hub: Hub) -> None:
    files = {
        "config.json": b"{}", "tokenizer.json": b"{}", "chat_template.jinja": b"x",
        "model-00001-of-00002.safetensors": b"1", "model-00002-of-00002.safetensors": b"2",
        "model.safetensors.index.json": b"{}", "README.md": b"no", "pytorch_model.bin": b"no",
        "adapter_model.safetensors": b"no", "sub/config.json": b"{}",
    }  # fmt: skip
    server.add("user/gemma-3-4b-it-bf16", files)
    model = hub.resolve("user/gemma-3-4b-it-bf16")
    assert model.format == "safetensors"
    assert model.label == "BF16"
    assert [f.path for f in model.files] == [n for n in files if n.startswith("model-")]
    assert {f.path for f in model.companions} == {
        "config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors.index.json",
    }  # fmt: skip
    assert hub.resolve("hf://user/gemma-3-4b-it-bf16/config.json") == model
    assert hub.resolve("hf://user/gemma-3-4b-it-bf16/model-00002-of-00002.safetensors") == model


def test_models_of_several_kinds_in_one_repository(server: HubServer, hub: Hub) -> None:
    files = {
        "config.json": b"{}", "model.safetensors": b"1", "g-Q4_0.gguf": MODEL,
        "8bit/config.json": b"{}", "8bit/model.safetensors": b"1",
    }  # fmt: skip
    server.add("user/gemma", files)
    with pytest.raises(NotFound, match="3 models") as failure:
        hub.resolve("user/gemma")
    assert "user/gemma:Q4_0" in failure.value.hint
    assert "user/gemma:8bit" in failure.value.hint
    for reference in ("hf://user/gemma/config.json", "hf://user/gemma/8bit", "user/gemma:Q4_0"):
        model = hub.resolve(reference)
        assert hub.resolve(model.reference) == model
    assert hub.resolve("hf://user/gemma/8bit").files[0].path == "8bit/model.safetensors"
    assert hub.resolve("hf://user/gemma/config.json").files[0].path == "model.safetensors"


def test_a_repository_without_a_model(server: HubServer, hub: Hub) -> None:
    server.add("user/repo", {"README.md": b"words", "data.parquet": b"x"})
    with pytest.raises(NotFound, match="neither a GGUF"):
        hub.resolve("user/repo")
    with pytest.raises(NotFound, match="is not a model file"):
        hub.resolve("hf://user/repo/README.md")


def test_a_file_that_is_not_there(server: HubServer, hub: Hub) -> None:
    names(server, "user/repo", "gemma-Q4_0.gguf")
    with pytest.raises(NotFound) as failure:
        hub.resolve("hf://user/repo/gemma-Q4_1.gguf")
    assert "gemma-Q4_0.gguf" in failure.value.hint


@pytest.mark.parametrize(
    "path", ["../evil.gguf", "/etc/evil.gguf", "a/../../evil.gguf", "C:/evil.gguf", "a//b.gguf",
             "..\\evil.gguf", "a/./b.gguf", "a\x1b[2Jb.gguf", "a\nb.gguf", "a\x00b.gguf",
             "\ud800.gguf"],
)  # fmt: skip
def test_names_that_lead_out_are_refused(server: HubServer, hub: Hub, path: str) -> None:
    server.add("user/repo", {"m-Q4_0.gguf": MODEL, path: MODEL})
    with pytest.raises(IntegrityError, match="names a file") as failure:
        hub.resolve("user/repo:Q4_0")
    assert failure.value.message.isprintable()


@pytest.mark.parametrize(
    "path", ["гемма-Q4_0.gguf", "モデル Q4_0.gguf", "é%2e#?&=+-Q4_0.gguf", "..Q4_0.gguf"]
)
def test_odd_names_are_fine(server: HubServer, hub: Hub, path: str) -> None:
    server.add("user/repo", {path: MODEL})
    model = hub.resolve("user/repo:Q4_0")
    assert model.files[0].path == path
    assert read(hub, "user/repo:Q4_0").format == "gguf"


def test_names_that_cannot_be_stored_are_left_out(server: HubServer, hub: Hub) -> None:
    server.add("user/repo", {"m-Q4_0.gguf": MODEL, "a\\b.gguf": MODEL, "x" * 300 + ".gguf": MODEL})
    model = hub.resolve("user/repo")
    assert model.files[0].path == "m-Q4_0.gguf"
    assert len(model.repository.skipped) == 2


# --- with the catalogue --------------------------------------------------------------------


def test_a_catalogue_variant(server: HubServer, hub: Hub) -> None:
    variant = hub.catalog.variant("gemma-3-4b-it", "q4_0-qat")
    assert variant is not None
    assert variant.projector is not None
    assert variant.sha256
    header, _ = gguf_header({"general.architecture": "gemma3"})
    server.add(variant.repository, {variant.file: Served.of(variant.file, header, variant.sha256)})
    server.repos[variant.repository].branches[variant.revision or ""] = server.repos[
        variant.repository
    ].head
    server.add(variant.projector.repository, {variant.projector.file: projector()})
    for named in (variant, f"{variant.repository}:Q4_0"):
        model = hub.resolve(named)
        assert model.catalogued == "gemma-3-4b-it:q4_0-qat"
        assert model.files[0].path == variant.file
        assert model.projector is not None
        assert model.projector.repository == variant.projector.repository
        assert not [note for note in model.notes if "sha256" in note]


def test_a_file_that_is_not_the_one_of_the_catalogue_any_more(server: HubServer, hub: Hub) -> None:
    variant = hub.catalog.variant("gemma-3-4b-it", "q4_0-qat")
    assert variant is not None
    server.add(variant.repository, {variant.file: MODEL})
    model = hub.resolve(variant)
    assert any("is gone" in note for note in model.notes)
    assert any("has changed since" in note for note in model.notes)
    assert any("projector was not found" in note for note in model.notes)
    assert hub.resolve(variant.repository).catalogued == ""


def test_names_that_are_not_on_the_hub(hub: Hub) -> None:
    for other in ("gemma-3-4b-it:q4_0-qat", "./model.gguf", "ollama://gemma3:4b"):
        with pytest.raises(UsageError, match="not a model on the hub"):
            hub.resolve(other)

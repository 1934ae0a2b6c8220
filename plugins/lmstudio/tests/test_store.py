"""LM Studio's models folder: where it is, what is a model there, and what it is called."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.testing.conformance import StoreConformance
from gemmahub_lmstudio.store import LMStudioStore, models_folder

if TYPE_CHECKING:
    from gemmahub.engines.contract import Store

CONTENT = b"GGUF" + b"1" * 999
NAMES = "abcdefghijklm"


def write(path: Path, content: bytes | str = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestStore(StoreConformance):
    plugin = "lmstudio"

    def make_store(self, folder: Path) -> Store:
        return LMStudioStore(folder)

    def add_model(self, folder: Path, name: str) -> None:
        write(folder / "publisher" / name / f"{name}-Q4_0.gguf", b"GGUF" + name.encode() * 1000)

    def break_model(self, folder: Path, name: str) -> None:
        path = folder / "publisher" / name / f"{name}-Q4_0.gguf"
        path.unlink()
        path.symlink_to("nowhere.gguf")


def test_it_names_publisher_and_model(tmp_path: Path) -> None:
    root = tmp_path / "models"
    repository = "lmstudio-community/gemma-3-4b-it-GGUF"
    write(root / repository / "gemma-3-4b-it-Q4_K_M.gguf")
    write(root / repository / "gemma-3-4b-it-Q8_0.gguf")
    projector = write(root / repository / "mmproj-model-f16.gguf")
    write(root / "mlx-community" / "gemma-3-4b-it-4bit" / "config.json")
    write(root / "mlx-community" / "gemma-3-4b-it-4bit" / "model.safetensors")
    write(root / "loose.gguf")
    found = {a.path.name: a for a in LMStudioStore(root).inventory().artifacts}
    four = found["gemma-3-4b-it-Q4_K_M.gguf"]
    assert (four.repository, four.reference) == (repository, f"{repository}@q4_k_m")
    assert (four.store, four.projector) == ("lmstudio", projector)
    assert found["gemma-3-4b-it-4bit"].reference == "mlx-community/gemma-3-4b-it-4bit@4bit"
    assert (found["loose.gguf"].repository, found["loose.gguf"].reference) == ("", "")


def test_two_files_of_one_label_are_named_by_their_path(tmp_path: Path) -> None:
    write(tmp_path / "p" / "m" / "a-Q4_0.gguf")
    write(tmp_path / "p" / "m" / "b-Q4_0.gguf")
    assert [a.reference for a in LMStudioStore(tmp_path).inventory().artifacts] == ["", ""]


def test_no_lm_studio_is_an_empty_inventory(tmp_path: Path) -> None:
    inventory = LMStudioStore(tmp_path / "none").inventory()
    assert (inventory.artifacts, inventory.broken) == ((), ())


def test_where_lm_studio_is(tmp_path: Path) -> None:
    assert models_folder(tmp_path) == tmp_path / ".lmstudio" / "models"
    (tmp_path / ".cache" / "lm-studio").mkdir(parents=True)
    assert models_folder(tmp_path) == tmp_path / ".cache" / "lm-studio" / "models"
    (tmp_path / "home").mkdir()
    write(tmp_path / ".lmstudio-home-pointer", f"{tmp_path / 'home'}\n")
    assert models_folder(tmp_path) == tmp_path / "home" / "models"
    write(tmp_path / "home" / "settings.json", json.dumps({"downloadsFolder": "/disk/ü"}))
    assert models_folder(tmp_path) == Path("/disk/ü")


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"downloadsFolder": 5}', '{"downloadsFolder": ""}', "\x00\xff"),
        *('{"downloadsFolder": "/a\\u0000b"}', "[" * 100_000, "9" * 5000, '{"a":' * 50_000),
    ],
    ids=lambda text: text[:20],
)
def test_settings_that_say_nothing(tmp_path: Path, text: str) -> None:
    write(tmp_path / ".lmstudio" / "settings.json", text)
    write(tmp_path / ".lmstudio-home-pointer", "/no/such/place")
    assert models_folder(tmp_path) == tmp_path / ".lmstudio" / "models"


def test_a_virtual_model_of_lm_studio_is_a_name_of_its_base(tmp_path: Path) -> None:
    place = tmp_path / "models" / "lmstudio-community" / "Gemma-Tiny-GGUF" / "gemma-Q4_0.gguf"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"GGUF")
    about = tmp_path / "hub" / "models" / "google" / "gemma-tiny"
    about.mkdir(parents=True)
    store = LMStudioStore(tmp_path / "models")

    def names(text: str) -> list[str]:
        (about / "model.yaml").write_text(text)
        return [artifact.reference for artifact in store.inventory().artifacts]

    own = "lmstudio-community/Gemma-Tiny-GGUF@q4_0"
    for base in (
        "lmstudio-community/gemma-tiny-gguf",
        "[{key: lmstudio-community/Gemma-Tiny-GGUF}]",
    ):
        assert names(f"model: google/gemma-tiny\nbase: {base}\n") == [own, "google/gemma-tiny"]
    for text in ("", "base: 5", "base: [1, {x: y}]", "base: someone/other", "[", "\0", "a: *b"):
        assert names(text) == [own]


def test_of_several_bases_each_has_its_label(tmp_path: Path) -> None:
    """The example of LM Studio's document, with another family's name."""
    models, hub = tmp_path / "disk" / "models", tmp_path / "home" / "hub"
    for repository, file in (
        ("Gemma-8B-GGUF", "gemma-8b-Q4_K_M.gguf"),
        ("Gemma-8B-GGUF", "gemma-8b-Q8_0.gguf"),
        ("Gemma-8B-MLX-4bit", "model.safetensors"),
        ("Gemma-8B-Other", "odd-Q8_0.gguf"),
    ):
        write(models / "lmstudio-community" / repository / file)
    write(models / "lmstudio-community" / "Gemma-8B-MLX-4bit" / "config.json")
    bases = "".join(
        f"  - key: {key}\n    sources:\n      - type: huggingface\n"
        f"        user: lmstudio-community\n        repo: {repository}\n"
        for key, repository in (
            ("lmstudio-community/gemma-8b-gguf", "Gemma-8B-GGUF"),
            ("lmstudio-community/gemma-8b-mlx-4bit", "Gemma-8B-MLX-4bit"),
            ("another-key", "Gemma-8B-Other"),
        )
    )
    write(
        hub / "models" / "google" / "gemma-8b" / "model.yaml",
        f"model: google/gemma-8b\nbase:\n{bases}",
    )
    store = LMStudioStore(models)
    assert len(store.inventory().artifacts) == 4, "the hub is in LM Studio's home"
    hub.rename(models.parent / "hub")
    found = [a.reference for a in store.inventory().artifacts if a.repository == "google/gemma-8b"]
    assert found == ["google/gemma-8b@q4_k_m", "google/gemma-8b@4bit"], "two are Q8_0"


def test_the_hub_is_in_the_home_though_models_are_elsewhere(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "disk"
    write(elsewhere / "publisher" / "tiny" / "tiny-Q4_0.gguf")
    write(home / ".lmstudio" / "settings.json", json.dumps({"downloadsFolder": str(elsewhere)}))
    about = home / ".lmstudio" / "hub" / "models" / "google" / "tiny" / "model.yaml"
    write(about, "base: publisher/tiny")
    references = [artifact.reference for artifact in LMStudioStore().inventory().artifacts]
    assert references == ["publisher/tiny@q4_0", "google/tiny"]
    write(about, "base: publisher/tiny #" + "x" * 100_000)
    assert len(LMStudioStore().inventory().artifacts) == 1, "no honest one is as long"


@pytest.mark.parametrize(
    "text",
    [
        *("base: {key: [1]}", "base: [{sources: 5}]", "base: [{sources: [1, {user: 5}]}]"),
        *("base: [[[[1]]]]", "base: &a [*a]", "base: !!python/object:os.system x", "base: \xff"),
        "a: &a {k: 1}\n"
        + "".join(f"{y}: &{y} {{<<: [{', '.join([f'*{x}'] * 9)}]}}\n" for x, y in pairwise(NAMES))
        + "base: [*m]",
        "a: &a [x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nbase: [*c,*c,*c]",
    ],
)  # fmt: skip
def test_descriptions_that_are_invalid(tmp_path: Path, text: str) -> None:
    write(tmp_path / "models" / "publisher" / "tiny" / "tiny-Q4_0.gguf")
    write(tmp_path / "hub" / "models" / "google" / "tiny" / "model.yaml", text)
    assert len(LMStudioStore(tmp_path / "models").inventory().artifacts) == 1

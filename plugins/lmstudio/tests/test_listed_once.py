"""LM Studio's server is listed once, though gemmahub-openai looks at its well-known port, too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.service import Library
from gemmahub.service.loaded import loaded_models
from gemmahub_openai.other_plugins import listed_elsewhere
from gemmahub_openai.places import all_places
from plugins.lmstudio.tests.conftest import KEY, make_model, told
from plugins.lmstudio.tests.fake_lm_studio import FakeLMStudio

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = "publisher/tiny-GGUF@f32"
ONLY_THERE = {"gemma-3-270m-it-qat", "google/gemma-4-26b-a4b"}


@pytest.fixture
def everywhere(
    studio: FakeLMStudio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[FakeLMStudio]:
    """A server at the place that both plugins ask, with one model that is a file here, loaded."""
    monkeypatch.setenv("GEMMAHUB_OPENAI_LOCAL", studio.address.removeprefix("http://"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "lmstudio,openai")
    with FakeLMStudio() as documents:
        studio.models += documents.models
    studio.add_instance(KEY, {"context_length": 512})
    return studio


def rows() -> list[str]:
    return sorted(variant.reference for variant in Library().models().variants)


def in_memory() -> list[tuple[str, str]]:
    return sorted((row.model.backend, row.model.reference) for row in loaded_models(Library()).rows)


def add(text: str) -> None:
    path = Path(os.environ["GEMMAHUB_CONFIG"])
    path.write_text(f"{path.read_text()}\n{text}\n")


def test_found_at_the_well_known_port_it_is_lm_studios(everywhere: FakeLMStudio) -> None:
    assert listed_elsewhere() == (everywhere.address,)
    assert all_places().servers == ()
    assert rows() == sorted([HERE, *(f"lmstudio://{name}" for name in ONLY_THERE)])
    assert in_memory() == sorted(
        [("lmstudio", HERE), *(("lmstudio", f"lmstudio://{name}") for name in ONLY_THERE)]
    )


def test_named_by_the_user_it_has_that_name(everywhere: FakeLMStudio) -> None:
    place = everywhere.address.replace("127.0.0.1", "localhost")
    add(f'[plugins.openai.servers.lab]\nurl = "{place}/v1"')
    found = rows()
    assert set(found) >= {HERE, *(f"lab://{name}" for name in (KEY, *ONLY_THERE))}
    assert all(reference.startswith("lab://") for reference in found if reference != HERE)
    assert {backend for backend, _ in in_memory()} == {"openai"}


@pytest.mark.parametrize("how", ["disabled", "left out"])
def test_without_this_plugin_it_is_found(
    everywhere: FakeLMStudio, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "disabled":
        path = Path(os.environ["GEMMAHUB_CONFIG"])
        path.write_text(path.read_text() + "enabled = false\n")
    else:
        monkeypatch.setenv("GEMMAHUB_PLUGINS", "openai")
    assert listed_elsewhere() == ()
    names = [reference.partition("://") for reference in rows()]
    assert {name for _, _, name in names} >= ONLY_THERE
    assert all(scheme.startswith("lm-studio") for scheme, _, _ in names)


def test_without_the_other_plugin_its_settings_do_not_count(
    everywhere: FakeLMStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(f'[plugins.openai.servers.lab]\nurl = "{everywhere.address}"')
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "lmstudio")
    assert rows() == sorted([HERE, *(f"lmstudio://{name}" for name in ONLY_THERE)])


def test_another_server_at_another_place_is_no_business_of_it(
    everywhere: FakeLMStudio, home: Path
) -> None:
    make_model(home)
    with FakeLMStudio() as other:
        told(other)
        found = rows()
        assert f"lmstudio://{next(iter(ONLY_THERE))}" in found
        assert any(reference.startswith("lm-studio-") for reference in found)


def test_what_fails_there_lists_nothing(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    def broken(**_: Any) -> list[Any]:
        class Point:
            name = "lmstudio"

            def load(self) -> Any:
                raise RuntimeError("broken")

        return [Point()]

    monkeypatch.setattr("gemmahub_openai.other_plugins.entry_points", broken)
    assert listed_elsewhere() == ()

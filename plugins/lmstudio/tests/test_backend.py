"""Listing, loading, showing and unloading, with answers as LM Studio's documents have them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Message, Sampling, ServedModel, Settings
from gemmahub.errors import LoadFailed
from gemmahub.testing.conformance.kit import read
from gemmahub_lmstudio.backend import LMStudioBackend
from gemmahub_lmstudio.matching import label_of, model_of, named
from gemmahub_openai.client import Clock, ServerClient
from gemmahub_openai.lm_studio import StudioModel, studio_models
from gemmahub_openai.servers import Server
from plugins.lmstudio.tests import recorded
from plugins.lmstudio.tests.conftest import KEY, entry_of, make_model, told
from plugins.lmstudio.tests.fake_lm_studio import FakeLMStudio

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.engines.contract import Artifact

BACKEND = LMStudioBackend()
LOAD = "/api/v1/models/load"


@pytest.fixture
def documents(home: Path) -> Iterator[FakeLMStudio]:
    """A server with the models of the documents' examples."""
    with FakeLMStudio() as server:
        told(server)
        yield server


# --- what it has ---------------------------------------------------------------------------------


def test_models_that_only_the_server_has_are_served(documents: FakeLMStudio) -> None:
    found = {model.reference: model for model in BACKEND.served(2.0)}
    assert set(found) == {"lmstudio://gemma-3-270m-it-qat", "lmstudio://google/gemma-4-26b-a4b"}
    large = found["lmstudio://google/gemma-4-26b-a4b"]
    assert (large.name, large.backend) == ("google/gemma-4-26b-a4b", "lmstudio")
    assert (large.precision, large.architecture, large.images) == ("Q4_K_M", "gemma4", True)
    assert (large.context, large.context_trained) == (4096, 262144)
    assert large.place == documents.address


def test_files_of_its_folder_are_not_served_models(
    studio: FakeLMStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BACKEND.served(2.0) == []
    studio.models.append(recorded.TINY)
    assert [model.name for model in BACKEND.served(2.0)] == [recorded.TINY["key"]]
    monkeypatch.setenv("GEMMAHUB_STORES", "huggingface")  # the folder is not looked into
    assert [model.name for model in BACKEND.served(2.0)] == [KEY, recorded.TINY["key"]]


def test_what_is_in_memory(documents: FakeLMStudio) -> None:
    documents.add_instance("google/gemma-4-26b-a4b", {"context_length": 8192})
    found = {model.name: model for model in BACKEND.loaded()}
    assert set(found) == {
        "gemma-3-270m-it-qat",
        "google/gemma-4-26b-a4b",
        "google/gemma-4-26b-a4b:2",
    }
    second = found["google/gemma-4-26b-a4b:2"]
    assert (second.reference, second.label) == ("lmstudio://google/gemma-4-26b-a4b", "Q4_K_M")
    assert (second.context, second.memory_bytes) == (8192, None)
    assert f"http://{second.place}" == documents.address


def test_what_is_in_memory_is_known_by_its_file(studio: FakeLMStudio) -> None:
    studio.add_instance(KEY, {"context_length": 8192})
    (found,) = BACKEND.loaded()
    assert found.reference == "publisher/tiny-GGUF@f32"


def test_unloading_one_of_two_instances(documents: FakeLMStudio) -> None:
    name = documents.add_instance("google/gemma-4-26b-a4b", {"context_length": 8192})
    BACKEND.unload(name)
    assert sorted(documents.instances) == ["gemma-3-270m-it-qat", "google/gemma-4-26b-a4b"]
    BACKEND.unload(name)
    assert documents.bodies("/api/v1/models/unload") == [{"instance_id": name}]


# --- loading -------------------------------------------------------------------------------------


def test_it_is_loaded_with_what_was_requested_and_unloaded(
    studio: FakeLMStudio, artifact: Artifact
) -> None:
    settings = Settings(context=2048, ubatch=256, flash_attention=False, cache_in_memory=True)
    with BACKEND.load(artifact, settings) as session:
        assert studio.bodies(LOAD) == [
            {
                "model": KEY,
                "context_length": 2048,
                "eval_batch_size": 256,
                "flash_attention": False,
                "offload_kv_cache_to_gpu": False,
                "echo_load_config": True,
            }
        ]
        info = session.info
        assert (info.engine, info.context, info.context_trained) == ("LM Studio", 2048, 32768)
        assert (info.precision, info.images) == ("F32", False)
        assert list(studio.instances) == [KEY]
    assert studio.instances == {}
    session.close()
    assert len(studio.bodies("/api/v1/models/unload")) == 1


def test_an_instance_that_was_there_is_used_and_stays(
    studio: FakeLMStudio, artifact: Artifact
) -> None:
    studio.add_instance(KEY, {"context_length": 1024})
    studio.add_instance(KEY, {"context_length": 2048})
    for context, used in ((None, 1024), (2048, 2048)):
        with BACKEND.load(artifact, Settings(context=context)) as session:
            assert session.info.context == used
            assert read(session.generate("one two", Sampling())).text == "one two"
    assert studio.bodies(LOAD) == []
    assert [body["model"] for body in studio.bodies("/v1/completions")] == [KEY, f"{KEY}:2"]
    assert sorted(studio.instances) == [KEY, f"{KEY}:2"]
    with BACKEND.load(artifact, Settings(context=512)) as session:
        assert session.info.context == 512
        assert f"{KEY}:3" in studio.instances
    assert sorted(studio.instances) == [KEY, f"{KEY}:2"]


def test_without_a_context_it_gets_8192_tokens_at_most(
    studio: FakeLMStudio, artifact: Artifact
) -> None:
    with BACKEND.load(artifact, Settings()) as session:
        assert session.info.context == 8192
    studio.models[0]["max_context_length"] = 512
    with BACKEND.load(artifact, Settings()) as session:
        assert session.info.context == 512


def test_an_mlx_model_is_not_told_of_llama_cpp(studio: FakeLMStudio, artifact: Artifact) -> None:
    studio.models[:] = [{**recorded.LARGE, "format": "mlx", "loaded_instances": []}]
    (served,) = BACKEND.served(2.0)
    BACKEND.load(served, Settings(context=512)).close()
    (body,) = studio.bodies(LOAD)
    assert set(body) == {"model", "context_length", "echo_load_config"}
    ignored: list[dict[str, Any]] = [
        {"gpu_layers": 0},
        {"cache_in_memory": True},
        {"flash_attention": False},
    ]
    for changes in ignored:
        with pytest.raises(LoadFailed, match="has no effect on an MLX model"):
            BACKEND.load(served, Settings(context=512, **changes))


def test_a_served_model_by_its_name(documents: FakeLMStudio) -> None:
    served = next(m for m in BACKEND.served(2.0) if m.name == "google/gemma-4-26b-a4b")
    with BACKEND.load(served, Settings(context=1024)) as session:
        answer = read(session.generate([Message("user", "one two")], Sampling()))
        assert answer.text == "one two"
        assert session.info.images is True


# --- which model a file is -----------------------------------------------------------------------


def of(path: Path, **changes: Any) -> StudioModel:
    """The model of an entry, through the client's own reader."""
    with (
        FakeLMStudio([entry_of(path, **changes)]) as server,
        ServerClient(Server("x", server.address)) as client,
    ):
        return studio_models(client, Clock(5.0))[0]


def test_the_documents_example_is_found_by_its_names(home: Path) -> None:
    artifact = make_model(
        home, "lmstudio-community/gemma-3-270m-it-qat-GGUF", "gemma-3-270m-it-QAT-Q4_0.gguf"
    )
    model = of(artifact.path, **recorded.TINY)
    found = model_of(artifact, [model])
    assert found == (model, "gemma-3-270m-it-qat")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, KEY),
        ({"key": "publisher/tiny-gguf@f32"}, "publisher/tiny-gguf@f32"),  # its own name
        (
            {"key": "google/tiny", "variants": ["publisher/tiny-GGUF@f32"]},
            "publisher/tiny-GGUF@f32",
        ),
        ({"key": "other", "publisher": "else"}, "other"),  # the only one of its size and label
        ({"key": "tiny@f32", "size_bytes": 5}, "tiny@f32"),  # older: no size
        ({"size_bytes": 5, "key": "other"}, None),
        ({"size_bytes": 5, "publisher": "else"}, None),
        ({"quantization": {"name": "Q4_0"}}, None),
        ({"format": "mlx"}, None),
        ({"quantization": None}, None),
    ],
)
def test_which_model_a_file_is(
    artifact: Artifact, changes: dict[str, Any], found: str | None
) -> None:
    match = model_of(artifact, [of(artifact.path, **changes)])
    assert (match and match[1]) == found


def test_several_that_may_be_meant_are_none(artifact: Artifact) -> None:
    same = [of(artifact.path, key=key, publisher="else") for key in ("one", "two")]
    assert model_of(artifact, same) is None
    mine = of(artifact.path)
    assert model_of(artifact, [*same, mine]) == (mine, KEY)


def test_a_virtual_model_is_loaded_by_the_name_of_its_variant(artifact: Artifact) -> None:
    virtual = replace(artifact, reference="google/tiny", repository="google/tiny")
    names = ["google/tiny@f32", "google/tiny@q4_0"]
    model = of(artifact.path, key="google/tiny", variants=names)
    assert model_of(virtual, [model]) == (model, "google/tiny")
    other = replace(model, quantization="Q4_0")  # another variant is the selected one
    assert model_of(virtual, [other]) == (other, "google/tiny@f32")
    assert label_of(*model_of(virtual, [other])) == "F32"  # type: ignore[misc]
    assert label_of(model, "google/tiny") == "F32"
    assert named("GOOGLE/tiny@Q4_0", [model]) == (model, "google/tiny@q4_0")


def test_a_projector_counts_in_the_size(home: Path) -> None:
    place = home / ".lmstudio" / "models" / "publisher" / "tiny-GGUF"
    place.mkdir(parents=True)
    (place / "mmproj-tiny-F16.gguf").write_bytes(b"GGUF" + b"x" * 96)
    artifact = make_model(home)
    assert artifact.projector is not None
    both = artifact.path.stat().st_size + 100
    assert model_of(artifact, [of(artifact.path, key="x", publisher="y", size_bytes=both)])


def test_it_is_taken_for_models_of_its_folder_only(artifact: Artifact) -> None:
    assert BACKEND.suits(artifact)
    assert not BACKEND.suits(replace(artifact, store="huggingface"))
    assert isinstance(ServedModel("lmstudio://x", "x", "lmstudio"), ServedModel)

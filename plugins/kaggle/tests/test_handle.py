"""The grammar of ``kaggle://``, and which files of a version are models."""

from __future__ import annotations

import pytest

from gemmahub.errors import UsageError
from gemmahub_kaggle.file_names import clash_of, problem_of
from gemmahub_kaggle.handle import FRAMEWORKS, Handle, handle_of, parsed
from gemmahub_kaggle.layout import chosen, models_in
from gemmahub_kaggle.source import KaggleSource
from plugins.kaggle.tests.models import flax


@pytest.mark.parametrize(
    ("text", "handle"),
    [
        ("kaggle://google/gemma-3", Handle("google", "gemma-3")),
        ("google/gemma-3/flax", Handle("google", "gemma-3", "flax")),
        (
            "kaggle://google/gemma-3/flax/gemma3-4b-it-int4",
            Handle("google", "gemma-3", "flax", "gemma3-4b-it-int4"),
        ),
        (
            "google/gemma/gemmacpp/2b-it-sfp/3",
            Handle("google", "gemma", "gemmaCpp", "2b-it-sfp", 3),
        ),
        ("a/b/GEMMA_CPP/1.1-2b", Handle("a", "b", "gemmaCpp", "1.1-2b")),
        ("a/b/gguf/v/2/x/y-Q4_0.gguf", Handle("a", "b", "gguf", "v", 2, "x/y-Q4_0.gguf")),
        ("a/b/gguf/v/y-Q4_0.gguf", Handle("a", "b", "gguf", "v", 0, "y-Q4_0.gguf")),
        ("a/b/newFramework/v", Handle("a", "b", "newFramework", "v")),
    ],
)
def test_what_a_name_means(text: str, handle: Handle) -> None:
    found = handle_of(text)
    assert found == handle
    assert handle_of(found.reference) == handle


@pytest.mark.parametrize(
    "text",
    [
        "", "google", "a//b", "../x/y/z", "a/../b/c", "a/b/c/..", "a/b/c/d/../e",
        "a/b/c/d/1/../../e", "a b/c", "a/b/c/d/1//x", "/a/b", "a/b/c/d/1/x y", "ä/b",
        "a/b/c/d/1/\x1b[2J", "a/b/c/d/1/C:/x",
    ],
)  # fmt: skip
def test_what_is_not_a_name(text: str) -> None:
    assert parsed(text) is None
    with pytest.raises(UsageError):
        handle_of(text)


def test_a_full_name_needs_no_request() -> None:
    source = KaggleSource()
    assert source.bare("google/gemma-3/FLAX/x") == "kaggle://google/gemma-3/flax/x"
    assert source.bare("gemma3:4b") is None
    assert "api" not in vars(source)


def test_frameworks_are_those_of_kagglehub() -> None:
    from kagglehub.enum import to_enum
    from kagglesdk.models.types.model_enums import ModelFramework

    known = {to_enum(ModelFramework, name) for name in FRAMEWORKS}
    assert known == set(ModelFramework) - {ModelFramework.MODEL_FRAMEWORK_UNSPECIFIED}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("model.gguf", ""), ("a/b/c.bin", ""), ("../x", "out of its folder"),
        ("a/../../x", "out of its folder"), ("a\\..\\x", "out of its folder"),
        ("/etc/passwd", "absolute"), ("C:\\x", "absolute"), ("a//b", "empty"), ("", "empty"),
        ("./a", "empty"), ("a\nb", "control"), ("a\u202eb", "control"), ("a\\b", "backslashes"),
        ("x.gguf.complete", "ends in"), ("x.part", "ends in"), ("x" * 300, "too long"),
        ("x/" * 600 + "y", "too long"),
    ],
)  # fmt: skip
def test_names_that_become_no_paths(name: str, problem: str) -> None:
    found = problem_of(name)
    assert (problem in found) if problem else found == ""


@pytest.mark.parametrize(
    ("names", "clash"),
    [
        (["a", "b"], ""), (["a", "a"], "a"), (["Model.gguf", "model.gguf"], "model.gguf"),
        (["a", "a/b"], "a"), (["a/b", "a/c"], ""), (["e\u0301", "\u00e9"], "\u00e9"),
    ],
)  # fmt: skip
def test_names_that_are_one_file(names: list[str], clash: str) -> None:
    assert clash_of(names) == clash


# --- which files are models ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("framework", "names", "expected"),
    [
        ("gguf", ["g-Q4_0.gguf", "mmproj-g-f16.gguf", "README.md"], [("gguf", "g-Q4_0.gguf")]),
        (
            "gguf",
            ["g-Q8_0-00001-of-00002.gguf", "g-Q8_0-00002-of-00002.gguf", "g-Q4_0.gguf"],
            [("gguf", "g-Q4_0.gguf"), ("gguf", "g-Q8_0-00001-of-00002.gguf")],
        ),
        (
            "transformers",
            ["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
             "tokenizer.json"],
            [("safetensors", "")],
        ),
        ("flax", list(flax()), [("orbax", "gemma3-4b-it-int4")]),
        ("flax", ["_METADATA", "d/x", "checkpoint", "tokenizer.model"], [("orbax", "")]),
        ("gemmaCpp", ["4b-it-sfp.sbs", "tokenizer.spm"], [("sbs", "4b-it-sfp.sbs")]),
        ("tfLite", ["gemma3-1b-it-int4.task"], [("task", "gemma3-1b-it-int4.task")]),
        ("tfLite", ["gemma-2b-it-cpu-int4.bin"], [("task", "gemma-2b-it-cpu-int4.bin")]),
        ("pyTorch", ["model.ckpt", "tokenizer.model"], [("pytorch", "model.ckpt")]),
        (
            "keras",
            ["config.json", "model.weights.h5", "tokenizer.json", "assets/vocabulary.spm"],
            [("keras", "model.weights.h5")],
        ),
        ("tensorFlow2", ["saved_model.pb", "variables/v", "README.md"], [("tensorflow2", "")]),
        ("other", ["archive.tar.gz"], [("archive", "archive.tar.gz")]),
        ("other", ["README.md", "LICENSE"], []),
        ("other", [], []),
    ],
)  # fmt: skip
def test_the_models_of_a_version(
    framework: str, names: list[str], expected: list[tuple[str, str]]
) -> None:
    found = models_in(names, framework)
    assert [(model.format, model.path) for model in found] == expected


def test_a_projector_belongs_to_the_model_of_its_size() -> None:
    names = ["g-4b-Q4_0.gguf", "g-12b-Q4_0.gguf", "mmproj-4b-f16.gguf", "mmproj-12b-f16.gguf"]
    found = {model.path: model.projector for model in models_in(names, "gguf")}
    assert found == {
        "g-4b-Q4_0.gguf": "mmproj-4b-f16.gguf",
        "g-12b-Q4_0.gguf": "mmproj-12b-f16.gguf",
    }


def test_a_split_model_without_a_part_says_so() -> None:
    (model,) = models_in(["g-00001-of-00003.gguf", "g-00003-of-00003.gguf"], "gguf")
    assert model.problem == "part 2 of 3 is missing"
    assert chosen([model], "g-00003-of-00003.gguf") is model
    assert chosen([model], "other") is None

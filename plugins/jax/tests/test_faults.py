"""What goes wrong around a checkpoint: one clear error each, with what to do next."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from ocdbt_writer import write_ocdbt
from test_format import NESTED, read

from gemmahub.engines.contract import Artifact, Settings
from gemmahub.errors import BackendError, BackendMissing, LoadFailed
from gemmahub.python_environment import install_command
from gemmahub_jax import engine
from gemmahub_jax.backend import JaxBackend
from gemmahub_jax.families import habits_of
from gemmahub_jax.model import build_model, load_weights
from gemmahub_jax.reader import config_beside
from gemmahub_jax.shapes import shape_of
from gemmahub_jax.tokenizer import find_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("default")  # SentencePiece crashes where they are errors
CONFIG = '{"sliding_window": 64, "sliding_window_pattern": 2}'


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A checkpoint of a model that nobody published, with what has to be known of it."""
    folder = write_ocdbt(tmp_path / "tiny", NESTED)
    (folder / "config.json").write_text(CONFIG)
    return folder


def dry_load(folder: Path, **settings: Any) -> Any:
    given = {"context": 256, "gpu_layers": 0} | settings
    return JaxBackend().dry_load(Artifact("orbax", folder), Settings(**given))


@pytest.mark.quick
def test_a_python_that_is_too_old_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 11, 7, "final", 0))
    found = JaxBackend().availability()
    assert not found.ok
    assert found.reason == "the gemma library needs Python 3.12, and this is 3.11"
    assert "uv tool install --python 3.12" in found.hint
    with pytest.raises(BackendMissing, match=r"needs Python 3\.12"):
        engine.library()


@pytest.mark.quick
@pytest.mark.parametrize("missing", ["gemma", "jax", "jaxlib"])
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 12, 1, "final", 0))
    monkeypatch.setattr(engine, "version", lambda name="gemma": "" if name == missing else "1.0")
    found = JaxBackend().availability()
    assert (found.ok, found.reason) == (False, f"{missing} is missing")
    assert install_command("gemmahub-jax[cpu]") in found.hint


@pytest.mark.quick
def test_another_protobuf_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """What sentencepiece 0.2.3 raised beside tensorflow-cpu 2.21: an error of protobuf's own."""

    def fails(host_only: bool) -> None:
        raise Exception("Detected incompatible Protobuf Gencode/Runtime versions")

    monkeypatch.setattr(engine, "availability", lambda: engine.Availability(True, version="4.0.1"))
    monkeypatch.setattr(engine, "_started", fails)
    with pytest.raises(BackendMissing) as caught:
        engine.library()
    assert "sentencepiece<0.2.2" in caught.value.hint


@pytest.mark.quick
def test_plans_need_no_library(made: Path) -> None:
    found = dry_load(made)
    assert found.weights_bytes == sum(tensor.bytes or 0 for tensor in read(made).tensors)
    assert found.settings.cache_type_k == "bf16"


@pytest.mark.quick
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gpu_layers": 5}, "found no GPU"),
        ({"threads": 2}, "threads"),
        ({"parallel": 2}, "one answer at a time"),
        ({"cache_type_k": "q8_0"}, "no q8_0 cache"),
        ({"context": 0}, "context"),
        ({"options": {"tokeniser": "x"}}, "no option"),
    ],
)
def test_settings_that_it_has_not_are_refused(
    made: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr(engine, "device", lambda: engine.HOST)
    with pytest.raises(LoadFailed, match=said):
        dry_load(made, **settings)


@pytest.mark.quick
def test_a_model_is_not_split(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "device", lambda: engine.CUDA)
    with pytest.raises(LoadFailed, match="does not split"):
        dry_load(made, gpu_layers=1)
    assert dry_load(made, gpu_layers=None).devices[0].device == "CUDA0"
    assert dry_load(made).devices[0].device == "CPU"


@pytest.mark.quick
def test_a_model_that_nobody_published_needs_its_config(made: Path) -> None:
    (made / "config.json").unlink()
    with pytest.raises(LoadFailed, match="not a published Gemma") as caught:
        dry_load(made)
    assert "sliding_window" in caught.value.hint


@pytest.mark.quick
@pytest.mark.parametrize(
    "config",
    [
        "{}",
        "not JSON",
        '{"sliding_window_pattern": 2}',
        '{"sliding_window": -1, "sliding_window_pattern": 2}',
        '{"sliding_window": 64, "sliding_window_pattern": "2"}',
        '{"sliding_window": 64, "layer_types": ["full_attention"]}',
    ],
)
def test_a_config_that_is_invalid_is_none(made: Path, config: str) -> None:
    (made / "config.json").write_text(config)
    with pytest.raises(LoadFailed, match="not a published Gemma"):
        dry_load(made)


@pytest.mark.quick
def test_layer_types_say_which_layers_are_global(made: Path) -> None:
    kinds = '["full_attention", "sliding_attention"]'
    (made / "config.json").write_text(f'{{"sliding_window": 64, "layer_types": {kinds}}}')
    shape = shape_of(read(made).tensors)
    habits = habits_of(shape.architecture, 2, shape.width, config_beside(made))
    assert habits is not None
    assert [habits.is_global(layer) for layer in range(2)] == [True, False]


@pytest.mark.quick
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layer_0.per_layer_input_gate.w": ("bfloat16", (4, 4))}, "does not run"),
        ({"layer_5.mlp.linear": ("bfloat16", (4, 4))}, "not a complete Gemma"),
        ({"embedder.input_embedding": ("bfloat16", (4,))}, "not a complete Gemma"),
        ({"embedder.input_embedding": ("bfloat16", (4, 65))}, "does not fit"),
        ({"layer_0.attn.q_einsum.w": ("bfloat16", (3, 64, 32))}, "does not fit"),
        ({"layer_0.mlp.gating_einsum": ("bfloat16", (4,))}, "no mlp.gating_einsum"),
        ({"final_norm.scale": ("int3_of_tomorrow", (64,))}, "of unknown size"),
    ],
)
def test_arrays_of_another_model_are_refused(
    tmp_path: Path, change: dict[str, tuple[str, tuple[int, ...]]], said: str
) -> None:
    with pytest.raises(LoadFailed, match=said) as caught:
        dry_load(write_ocdbt(tmp_path / "other", NESTED | change))
    assert caught.value.hint


@pytest.mark.quick
def test_other_models_are_listed_and_not_loadable(tmp_path: Path) -> None:
    model = read(write_ocdbt(tmp_path / "other", {"a.b": ("float32", (4,))}))
    answer = JaxBackend().loadable(model)
    assert (answer.ok, "another model" in answer.reason) == (False, True)


@pytest.mark.quick
def test_a_vision_tower_is_left_out_of_the_weights(made: Path) -> None:
    text = dry_load(made).weights_bytes
    tower = {"vision_encoder.siglip.kernel": ("float32", (64, 64))}
    folder = write_ocdbt(made.parent / "with", NESTED | tower)
    (folder / "config.json").write_text(CONFIG)
    assert dry_load(folder).weights_bytes == text


@pytest.mark.quick
def test_the_tokenizer_is_looked_for_beside_and_above(made: Path) -> None:
    with pytest.raises(LoadFailed, match=r"has no tokenizer\.model") as caught:
        find_tokenizer(made, None)
    assert "--option tokenizer=FILE" in caught.value.hint
    (made.parent / "tokenizer.model").write_bytes(b"x")
    assert find_tokenizer(made, None) == made.parent / "tokenizer.model"
    (made / "tokenizer.model").write_bytes(b"x")
    assert find_tokenizer(made, None) == made / "tokenizer.model"
    with pytest.raises(LoadFailed, match="there is no tokenizer"):
        find_tokenizer(made, str(made / "other.model"))


@pytest.mark.parametrize("content", [b"", b"no tokenizer", b"\x0a\xff\xff\xff\x0f"])
def test_a_damaged_tokenizer_is_one_error(backend: JaxBackend, made: Path, content: bytes) -> None:
    (made / "tokenizer.model").write_bytes(content)
    with pytest.raises(BackendError, match="no tokenizer"):
        backend.load(Artifact("orbax", made), Settings(context=64))


def test_another_models_tokenizer_is_refused(backend: JaxBackend, tmp_path: Path) -> None:
    from tiny_checkpoint import write_tokenizer

    small = NESTED | {"embedder.input_embedding": ("bfloat16", (64, 64))}
    folder = write_ocdbt(tmp_path / "small", small)
    (folder / "config.json").write_text(CONFIG)
    write_tokenizer(folder / "tokenizer.model")
    with pytest.raises(LoadFailed, match="belongs to another model"):
        backend.load(Artifact("orbax", folder), Settings(context=64))


def test_weights_that_are_damaged_are_one_error(backend: JaxBackend, made: Path) -> None:
    """The index is whole, and the arrays are no numbers: the library says so when it loads."""
    library = engine.library()
    shape = shape_of(read(made).tensors)
    habits = habits_of(shape.architecture, 2, shape.width, config_beside(made))
    assert habits is not None
    build_model(library, shape, habits)
    with pytest.raises(LoadFailed, match="cannot load") as caught:
        load_weights(library, made, shape, None)
    assert "fetch it again" in caught.value.hint

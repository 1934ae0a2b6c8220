"""What a Modelfile made of the weights: kept apart, named, and used or said to be left out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.conversations import Described
from gemmahub.engines.contract import Adapter, Artifact, Message, Sampling, Settings
from gemmahub.engines.manager import BackendOffer
from gemmahub.errors import IntegrityError, LoadFailed
from gemmahub.service import Library
from gemmahub.service.tag_parts import TagParts, adapters_of_tag, parts_of_tag, with_parts
from gemmahub.testing.model_writer import write_model
from gemmahub_llamacpp.backend import LlamaCppBackend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.engines.contract import Chunk, Prompt, Session

TYPE = "application/vnd.ollama.image."
OPTIONS = {
    "temperature": 0.25, "top_k": 20, "top_p": 0.5, "min_p": 0.1, "seed": 7, "num_predict": 12,
    "stop": ["<end_of_turn>", "###"], "num_ctx": 512, "repeat_penalty": 1.5, "mirostat": 2,
}  # fmt: skip
MESSAGES = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ahoy!"}]
HOST = "registry.ollama.ai/library/"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """One file of weights under four names, and one name whose weights are gone."""
    root = tmp_path / "ollama"
    (root / "blobs").mkdir(parents=True)

    def layer(kind: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (root / "blobs" / f"sha256-{digest}").write_bytes(content)
        return {"mediaType": TYPE + kind, "digest": f"sha256:{digest}", "size": len(content)}

    write_model(tmp_path / "tiny.gguf")
    weights = layer("model", (tmp_path / "tiny.gguf").read_bytes())
    template, system = layer("template", b"{{ .Prompt }}"), layer("system", b"You are a pirate.")
    gone = weights | {"digest": f"sha256:{'ab' * 32}"}
    for name, layers in {
        HOST + "gemma3/270m": [weights, template],
        HOST + "pirate/latest": [weights, template, system],
        HOST + "captain/latest": [
            weights,
            template,
            layer("system", b"You are a captain."),
            layer("params", json.dumps(OPTIONS).encode()),
            layer("messages", json.dumps(MESSAGES).encode()),
        ],
        HOST + "tuned/latest": [weights, template, layer("adapter", b"GGUF, a small one")],
        "hf.co/unsloth/gemma-3-270m-it-GGUF/Q4_K_M": [weights, template],
        "hf.co/user/gemma/latest": [weights, template],
        HOST + "gone/latest": [gone, template],
    }.items():
        path = root / "manifests" / name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    return root


@pytest.fixture
def library(store: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """What sees that store alone."""
    monkeypatch.setenv("OLLAMA_MODELS", str(store))
    monkeypatch.setenv("GEMMAHUB_STORES", "ollama")
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "ollama,llamaserver,llamacpp")
    return Library(say=said.append)


said: list[str] = []


def artifact(library: Library, reference: str) -> Artifact:
    return library.registry.resolve(reference).artifacts[0]


def parts(library: Library, reference: str) -> list[str]:
    return [name for name, _ in artifact(library, reference).parts]


def test_names_of_other_systems_and_adapters_are_other_models(library: Library) -> None:
    found = {len(variant.artifacts) for variant in library.registry.installed().variants}
    assert len(library.registry.installed().variants) == 4
    assert found == {1, 3}
    assert parts(library, "ollama://pirate") == ["TEMPLATE", "SYSTEM"]
    assert parts(library, "ollama://tuned") == ["TEMPLATE", "ADAPTER"]
    assert parts(library, "ollama://gemma3:270m") == ["TEMPLATE"]


def test_a_repository_that_ollama_holds_is_found_by_its_name(library: Library) -> None:
    for reference in ("hf.co/unsloth/gemma-3-270m-it-GGUF:Q4_K_M", "hf.co/user/gemma:latest",
                      "ollama://hf.co/unsloth/gemma-3-270m-it-GGUF:Q4_K_M"):  # fmt: skip
        assert artifact(library, reference).store == "ollama"


def test_a_name_whose_weights_are_gone_says_so(library: Library) -> None:
    with pytest.raises(IntegrityError, match="gone:latest: its weights are missing"):
        library.registry.resolve("ollama://gone")


def brought(library: Library, reference: str, backend: str) -> TagParts:
    offer = library.plugins_manager.backend(backend)
    return parts_of_tag(offer, artifact(library, reference))


def test_an_adapter_goes_before_those_that_are_named(library: Library, tmp_path: Path) -> None:
    offer = library.plugins_manager.backend("llama-server")
    own = adapters_of_tag(offer, artifact(library, "ollama://tuned"))
    found = with_parts(Settings(adapters=(Adapter(tmp_path),)), TagParts(context=512), own)
    assert [a.path == tmp_path for a in found.adapters] == [False, True]
    assert found.adapters[0].path.read_bytes() == b"GGUF, a small one"
    assert found.context == 512
    assert with_parts(Settings(context=99), TagParts(context=512), ()).context == 99


def test_what_a_tag_says_is_taken_over(library: Library) -> None:
    found = brought(library, "ollama://captain", "llama-server")
    assert found.system == "You are a captain."
    assert found.sampling == {
        "temperature": 0.25, "top_k": 20, "top_p": 0.5, "min_p": 0.1, "seed": 7,
        "max_tokens": 12, "stop": ("<end_of_turn>", "###"),
    }  # fmt: skip
    assert found.context == 512
    assert found.messages == (Message("user", "Hi"), Message("assistant", "Ahoy!"))
    assert found.note("NAME", "ENGINE", chat_template=True) == (
        "ENGINE runs the weights of NAME; from its tag, unless overridden: SYSTEM, "
        "PARAMETER temperature top_k top_p min_p seed num_predict stop num_ctx, 2 MESSAGEs; "
        "ignored in its tag: TEMPLATE (the file's own is used), PARAMETER repeat_penalty "
        "mirostat"
    )
    plain = found.note("NAME", "ENGINE", chat_template=False)
    assert "TEMPLATE (prompts are completed as text)" in plain
    assert plain.endswith("2 MESSAGEs")


def test_what_a_person_says_goes_before_the_tag(library: Library) -> None:
    found = brought(library, "ollama://captain", "llama-server")
    filled = found.filled(Described("", sampling=Sampling(top_k=5)), {"temperature"})
    assert (filled.sampling.temperature, filled.sampling.top_k, filled.sampling.top_p) == (
        1,
        5,
        0.5,
    )
    assert filled.system == "You are a captain."
    assert found.filled(Described("", system="You cook.")).system == "You cook."
    assert found.filled(Described(""), {"system"}).system == ""


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        ({"temperature": "hot"}, "temperature"), ({"temperature": -1}, "temperature"),
        ({"top_p": 1.5}, "top_p"), ({"top_k": 2.5}, "top_k"), ({"top_k": True}, "top_k"),
        ({"seed": 2**40}, "seed"), ({"num_ctx": 0}, "num_ctx"), ({"stop": [1, ""]}, "stop"),
        ({"seed": -1, "num_predict": -2}, ""), ({"\x1b[2Jodd\n": 1}, "odd"),
    ],
)  # fmt: skip
def test_an_odd_parameter_is_left_out(tmp_path: Path, options: Any, left_out: str) -> None:
    (tmp_path / "params").write_text(json.dumps(options))
    found = parts_of(tmp_path / "params", "PARAMETER")
    assert not found.sampling
    assert found.left_out == ((f"PARAMETER {left_out}",) if left_out else ())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PARAMETER", "not JSON"), ("PARAMETER", "[]"), ("SYSTEM", " "), ("MESSAGE", "{}"),
        ("MESSAGE", '[{"role": "user", "content": "no answer"}]'),
        ("MESSAGE", '[{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]'),
        ("SOMETHING", "new"),
    ],
)  # fmt: skip
def test_an_odd_part_is_left_out(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "part").write_text(text)
    assert parts_of(tmp_path / "part", name) == TagParts(left_out=(name,))
    assert parts_of(tmp_path / "gone", name) == TagParts(left_out=(name,))


def parts_of(path: Path, name: str) -> TagParts:
    artifact = Artifact("gguf", path, parts=((name, path),))
    return parts_of_tag(BackendOffer("", "", LlamaCppBackend()), artifact)


class Recorder:
    """A session that answers nothing, and keeps what it is asked."""

    def __init__(self, session: Session) -> None:
        self.info = session.info
        self.asked: list[tuple[Prompt, Sampling]] = []

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        self.asked.append((prompt, sampling))
        return iter(())


def test_a_conversation_begins_as_the_tag_says(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "ollama,echo")
    said.clear()
    library = Library(say=said.append)
    running = library.load("ollama://captain", backend="echo")
    with running.session as session:
        recorder: Any = Recorder(session)
        journal = library.conversations.new(Described("ollama://captain:latest"))
        chat = replace(running, session=recorder).chat(journal, {"top_k"})
        assert not journal.begun  # a look at a model leaves no conversation behind
        list(chat.ask("Where are we?"))
        ((prompt, sampling),) = recorder.asked
        journal.close()
    assert session.info.context == 512
    assert [(turn.role, turn.content) for turn in prompt] == [
        ("system", "You are a captain."), ("user", "Hi"), ("assistant", "Ahoy!"),
        ("user", "Where are we?"),
    ]  # fmt: skip
    assert (sampling.temperature, sampling.top_k, sampling.stop[-1]) == (0.25, 64, "###")
    assert [line for line in said if "from its tag, unless overridden: SYSTEM" in line]


def test_ollama_itself_uses_all_of_a_tag(library: Library) -> None:
    found = brought(library, "ollama://captain", "ollama")
    assert found.sampling["temperature"] == 0.25
    assert found == TagParts(
        sampling={k: v for k, v in found.sampling.items() if k != "stop"}, context=512
    )
    assert found.note("NAME", "ollama", chat_template=True) == ""
    offer = library.plugins_manager.backend("ollama")
    assert adapters_of_tag(offer, artifact(library, "ollama://tuned")) == ()


def test_an_engine_without_adapters_refuses_a_tag_with_one(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = LlamaCppBackend.capabilities - {"adapters"}
    monkeypatch.setattr(LlamaCppBackend, "capabilities", kept)
    offer = library.plugins_manager.backend("llama.cpp")
    with pytest.raises(LoadFailed, match=r"has an ADAPTER, which llama\.cpp cannot use"):
        adapters_of_tag(offer, artifact(library, "ollama://tuned"))

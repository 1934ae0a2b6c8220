"""Answers of the real engine, and what happens where it is missing or refuses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Artifact, Message, Sampling, Settings
from gemmahub.errors import (
    BackendMissing,
    ContextExceeded,
    GenerationFailed,
    LoadFailed,
    TemplateError,
)
from gemmahub.python_environment import install_command
from gemmahub_litertlm import engine
from gemmahub_litertlm.backend import LitertLmBackend
from plugins.litertlm.tests.bundle_writer import (
    METADATA,
    PIECES,
    SENTENCEPIECE,
    TFLITE,
    bundle,
    language_model,
    metadata,
    sections,
    sentencepiece,
    write_bundle,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.engines.contract import Usage
    from gemmahub_litertlm.session import LitertLmSession

needs_engine = pytest.mark.skipif(
    not engine.availability().ok, reason="litert-lm-api is not installed"
)


def of(path: Path) -> Artifact:
    return Artifact("litertlm", path, (path,))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LitertLmSession]:
    path = write_bundle(tmp_path_factory.mktemp("bundle") / "m.litertlm")
    with LitertLmBackend().load(of(path), Settings(context=256)) as loaded:
        yield loaded


def read(session: LitertLmSession, prompt: object, **sampling: object) -> tuple[str, Usage]:
    wanted = {"max_tokens": 12, "temperature": 0.0} | sampling
    chunks = list(session.generate(prompt, Sampling(**wanted)))  # type: ignore[arg-type]
    assert chunks[-1].usage is not None
    return "".join(chunk.text for chunk in chunks), chunks[-1].usage


@needs_engine
def test_answer_has_the_engines_figures(session: LitertLmSession) -> None:
    text, usage = read(session, [Message("user", "hello")])
    assert text
    assert usage.tokens == 12
    assert usage.finish_reason == "length"
    assert usage.prompt_tokens is not None
    assert usage.prompt_tokens > 10  # the template is counted
    assert usage.prefill_seconds is not None
    assert usage.context == 256


@needs_engine
def test_template_of_the_bundle_is_used(session: LitertLmSession) -> None:
    """A turn has more tokens than its text; turns before count, too."""
    _, plain = read(session, "hello")
    _, turn = read(session, [Message("user", "hello")])
    turns = [Message("user", "a"), Message("assistant", "b"), Message("user", "hello")]
    _, more = read(session, turns)
    assert plain.prompt_tokens is not None
    assert turn.prompt_tokens is not None
    assert more.prompt_tokens is not None
    assert plain.prompt_tokens < turn.prompt_tokens < more.prompt_tokens


@needs_engine
def test_same_seed_gives_the_same(session: LitertLmSession) -> None:
    prompt = [Message("user", "hello")]
    one, two = (read(session, prompt, temperature=1.0, seed=5)[0] for _ in range(2))
    others = {read(session, prompt, temperature=1.0)[0] for _ in range(4)}
    assert one == two
    assert len(others) > 1


@needs_engine
def test_prompt_that_is_too_long_is_distinguished(session: LitertLmSession) -> None:
    for prompt in ("dog " * 100, [Message("user", "dog " * 100)]):
        with pytest.raises(ContextExceeded, match="256"):
            read(session, prompt)
    assert read(session, "dog")[0]


@needs_engine
@pytest.mark.parametrize(
    ("messages", "kind"),
    [
        ([Message("user", "a"), Message("assistant", "b")], GenerationFailed),
        ([Message("tool", "a")], GenerationFailed),
        ([Message("user", " ")], TemplateError),
    ],
)
def test_turns_that_are_invalid_are_refused(
    session: LitertLmSession, messages: list[Message], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        read(session, messages)


@needs_engine
def test_nothing_is_written_beside_the_model(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "m.litertlm")
    with LitertLmBackend().load(of(path), Settings()) as loaded:
        read(loaded, "hello")
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["m.litertlm"]


@needs_engine
@pytest.mark.parametrize("which", ["no tokenizer", "no signatures", "broken template"])
def test_bundle_that_the_engine_refuses_is_one_error(tmp_path: Path, which: str) -> None:
    made = {
        "no tokenizer": [sections()[0], sections()[2]],
        "no signatures": [*sections()[:2], (TFLITE, _weights_alone(), sections()[2][2])],
        "broken template": [
            (METADATA, metadata(template="{% for x in %}"), {}),
            (SENTENCEPIECE, sentencepiece(), {}),
            (TFLITE, language_model(len(PIECES)), sections()[2][2]),
        ],
    }[which]
    path = tmp_path / "m.litertlm"
    path.write_bytes(bundle(made))
    with pytest.raises((LoadFailed, GenerationFailed)) as caught:  # noqa: SIM117
        with LitertLmBackend().load(of(path), Settings()) as loaded:
            read(loaded, [Message("user", "hello")])
    assert caught.value.hint


def _weights_alone() -> bytes:
    from plugins.litertlm.tests.test_reader import weights_alone

    return weights_alone()


@pytest.mark.parametrize(
    "settings",
    [
        Settings(gpu_layers=4), Settings(cache_type_k="q8_0"), Settings(parallel=2),
        Settings(context=0), Settings(context=2048), Settings(options={"device": "tpu"}),
    ],
)  # fmt: skip
def test_settings_that_it_does_not_have_are_refused(tmp_path: Path, settings: Settings) -> None:
    path = write_bundle(tmp_path / "m.litertlm")
    for call in (LitertLmBackend().load, LitertLmBackend().dry_load):
        with pytest.raises(LoadFailed) as caught:
            call(of(path), settings)
        assert caught.value.hint


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "m.litertlm")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(LoadFailed):
        LitertLmBackend().load(of(path), Settings())


def test_missing_library_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "DISTRIBUTION", "gemmahub-no-such-library")
    monkeypatch.setitem(sys.modules, "litert_lm", None)
    answer = LitertLmBackend().availability()
    assert not answer.ok
    assert install_command("gemmahub-litertlm[engine]") in answer.hint
    with pytest.raises(BackendMissing, match="cannot be loaded"):
        LitertLmBackend().load(of(write_bundle(tmp_path / "m.litertlm")), Settings())

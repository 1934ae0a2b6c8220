"""Images through real llama.cpp: a tiny random Gemma 3, and a tiny random projector."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, FinishReason, Message, Sampling, Settings
from gemmahub.engines.isolated import load_isolated
from gemmahub.engines.manager import load_plugins
from gemmahub.engines.prompt_tokens import encode_with_images
from gemmahub.errors import ContextExceeded, GenerationFailed, LoadFailed
from gemmahub.testing.gguf_writer import write_gguf
from gemmahub.testing.model_writer import WIDTH, write_model
from gemmahub.testing.projector_writer import TOKENS, write_png, write_projector
from gemmahub_llamacpp import vision
from gemmahub_llamacpp.projector import LoadedProjector, read_buffers
from gemmahub_llamacpp.vision import ImageCell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.engines.contract import Usage
    from gemmahub_llamacpp.backend import LlamaCppBackend
    from gemmahub_llamacpp.session import LlamaCppSession

AROUND = 2 + 4  # <start_of_image>, <end_of_image>, and the lines before and after
QUESTION = "What is this?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_model(folder / "tiny-F32.gguf")
    write_projector(folder / "mmproj-tiny.gguf", WIDTH)
    write_png(folder / "red.png", 40, 30, lambda x, y: (6 * x, 8 * y, 0))
    write_png(folder / "blue.png", 40, 30, lambda x, y: (0, 255 - 6 * x, 8 * y))
    return folder


@pytest.fixture(scope="module")
def seeing(folder: Path) -> Artifact:
    path = folder / "tiny-F32.gguf"
    return Artifact("gguf", path, (path,), projector=folder / "mmproj-tiny.gguf")


@pytest.fixture(scope="module")
def loaded(seeing: Artifact, backend: LlamaCppBackend) -> Iterator[LlamaCppSession]:
    with backend.load(seeing, Settings(context=512)) as session:
        yield session


@pytest.fixture
def tiny(loaded: LlamaCppSession) -> LlamaCppSession:
    loaded.context.clear()
    return loaded


@pytest.fixture
def red(folder: Path) -> Message:
    return Message("user", QUESTION, (folder / "red.png",))


@pytest.fixture
def blue(folder: Path) -> Message:
    return Message("user", QUESTION, (folder / "blue.png",))


def ask(session: Any, *messages: Message, **sampling: object) -> tuple[str, Usage]:
    wanted = {"max_tokens": 12, "temperature": 0.0} | sampling
    chunks = list(session.generate(messages, Sampling(**wanted)))  # type: ignore[arg-type]
    assert chunks[-1].usage is not None
    return "".join(chunk.text for chunk in chunks), chunks[-1].usage


# --- what the model sees ------------------------------------------------------------------------


def test_an_image_takes_its_tokens_of_the_context(tiny: LlamaCppSession, red: Message) -> None:
    _, plain = ask(tiny, Message("user", QUESTION))
    _, usage = ask(tiny, red)
    assert usage.prompt_tokens == usage.prefill_tokens == plain.prompt_tokens + TOKENS + AROUND
    assert usage.context_used == usage.prompt_tokens + usage.tokens - 1


def test_the_same_image_gives_the_same_answer_and_another_one_another(
    tiny: LlamaCppSession, seeing: Artifact, backend: LlamaCppBackend, red: Message, blue: Message
) -> None:
    text, _ = ask(tiny, red)
    assert ask(tiny, blue)[0] != text
    assert ask(tiny, Message("user", QUESTION))[0] != text
    assert ask(tiny, red)[0] == text
    with backend.load(seeing, Settings(context=512)) as fresh:
        assert ask(fresh, red)[0] == text


def test_a_seed_repeats_an_answer_to_an_image(tiny: LlamaCppSession, red: Message) -> None:
    hot = {"temperature": 1.5, "top_k": 0, "top_p": 1.0}
    one, again, other = (ask(tiny, red, seed=seed, **hot)[0] for seed in (7, 7, 8))
    assert one == again != other


def test_images_stand_before_the_text_in_their_order(
    tiny: LlamaCppSession, red: Message, blue: Message
) -> None:
    both = replace(red, images=red.images + blue.images)
    tokens = encode_with_images(tiny.model, [both], tiny.vision)
    cells = [token for token in tokens if isinstance(token, ImageCell)]
    first, second = (tiny.vision.read(path)[1] for path in both.images)
    assert [cell.digest for cell in cells] == [first.digest] * TOKENS + [second.digest] * TOKENS  # type: ignore[union-attr]
    rest = [token for token in tokens if not isinstance(token, ImageCell)]
    around = "\n\n<start_of_image><end_of_image>\n\n"
    text = f"<bos><start_of_turn>user\n{around * 2}{QUESTION}<end_of_turn>\n<start_of_turn>model\n"
    assert rest == tiny.model.tokenize(text, special=True, start=False)


def test_a_control_token_in_a_message_with_an_image_stays_text(
    tiny: LlamaCppSession, red: Message
) -> None:
    tokens = encode_with_images(
        tiny.model, [replace(red, content="<end_of_turn> and <start_of_image>")], tiny.vision
    )
    for name, count in (("<end_of_turn>", 1), ("<start_of_image>", 1), ("<end_of_image>", 1)):
        (control,) = tiny.model.tokenize(name, special=True, start=False)
        assert tokens.count(control) == count, name


def test_without_a_chat_template(
    backend: LlamaCppBackend, seeing: Artifact, folder: Path, red: Message
) -> None:
    path = folder / "base.gguf"
    write_model(path, template="")
    with backend.load(replace(seeing, path=path, files=(path,)), Settings(context=512)) as session:
        _, usage = ask(session, red)
        assert usage.prompt_tokens == 1 + TOKENS + AROUND + len(QUESTION)


# --- the cache ----------------------------------------------------------------------------------


def test_a_second_turn_computes_only_what_is_new(
    tiny: LlamaCppSession, red: Message, blue: Message
) -> None:
    text, usage = ask(tiny, red)
    turns = (red, Message("assistant", text), Message("user", "And now?"))
    _, more = ask(tiny, *turns)
    assert more.prefill_tokens == more.prompt_tokens - usage.context_used < TOKENS + 30
    _, changed = ask(tiny, blue, *turns[1:])
    assert changed.prefill_tokens == changed.prompt_tokens == more.prompt_tokens
    text, _ = ask(tiny, *turns)
    tiny.context.clear()
    assert ask(tiny, *turns)[0] == text


def test_a_second_turn_with_another_image(
    tiny: LlamaCppSession, red: Message, blue: Message
) -> None:
    text, usage = ask(tiny, red)
    _, more = ask(tiny, red, Message("assistant", text), blue)
    new = more.prompt_tokens - usage.context_used
    assert TOKENS < more.prefill_tokens == new < 2 * TOKENS + AROUND + 60


def test_an_image_is_known_by_its_content(
    tiny: LlamaCppSession, folder: Path, tmp_path: Path, red: Message
) -> None:
    copy = tmp_path / "x"  # the name says nothing
    copy.write_bytes((folder / "red.png").read_bytes())
    text, _ = ask(tiny, red)
    asked = replace(red, images=(copy,))
    more = (Message("assistant", text), Message("user", "And now?"))
    assert ask(tiny, asked, *more)[1].prefill_tokens < 40
    copy.write_bytes((folder / "blue.png").read_bytes())
    usage = ask(tiny, asked, *more)[1]
    assert usage.prefill_tokens == usage.prompt_tokens


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Which images were computed."""
    seen: list[object] = []
    original = LoadedProjector.encode

    def encode(self: LoadedProjector, image: Any) -> None:
        seen.append(image)
        original(self, image)

    monkeypatch.setattr(LoadedProjector, "encode", encode)
    return seen


def test_an_answer_again_does_not_compute_the_image_again(
    backend: LlamaCppBackend, seeing: Artifact, encoded: list[object], red: Message, blue: Message
) -> None:
    with backend.load(seeing, Settings(context=512)) as session:
        texts = [ask(session, message)[0] for message in (red, blue, red, blue)]
        assert len(encoded) == 2
        assert texts[:2] == texts[2:]


def test_images_that_were_let_go_are_computed_again(
    backend: LlamaCppBackend,
    seeing: Artifact,
    encoded: list[object],
    red: Message,
    blue: Message,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vision, "KEPT_BYTES", 0)
    both = replace(red, images=red.images + blue.images)
    with backend.load(seeing, Settings(context=512)) as session:
        assert ask(session, both)[0] == ask(session, both)[0]
        assert len(encoded) == 4
        texts = [ask(session, message)[0] for message in (red, blue, red)]
        assert texts[0] == texts[2]


# --- what is no image ---------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
HUGE = PNG + b"\0\1\0\0" * 2 + bytes(40)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no image"),
        (b"", "is not an image"),
        (b"a text", "is not an image"),
        (b"RIFF\0\0\0\0WAVEfmt ", "is not an image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "is WebP"),
        (b"\0\0\0\x18ftypheic", "is HEIC"),
        (PNG, "is damaged"),
        (PNG + bytes(30), "is damaged"),
        (PNG + b"\0\0\0\x10" * 2 + bytes(60), "is damaged"),
        (HUGE, "65,536 x 65,536 pixels"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "is damaged"),
        (b"BM" + bytes(9), "is damaged"),
    ],
)
def test_what_is_not_an_image_is_an_error_and_the_session_lives_on(
    tiny: LlamaCppSession, red: Message, tmp_path: Path, content: bytes | None, said: str
) -> None:
    expected, _ = ask(tiny, red)
    path = tmp_path / "image.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(GenerationFailed, match=said) as caught:
        ask(tiny, replace(red, images=(path,)))
    assert caught.value.hint
    assert ask(tiny, red)[0] == expected


def test_no_other_program_is_started_for_a_damaged_image(
    tiny: LlamaCppSession, red: Message, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "started"
    for name in ("ffmpeg", "ffprobe"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >> {trace}\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    path = tmp_path / "image.png"
    path.write_bytes(PNG + b"\0\0\0\x10" * 2 + bytes(60))
    with pytest.raises(GenerationFailed, match="damaged"):
        ask(tiny, replace(red, images=(path,)))
    assert not trace.exists()


def bmp() -> bytes:
    head = (54 + 16).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    sizes = (40).to_bytes(4, "little") + (2).to_bytes(4, "little") * 2
    return b"BM" + head + sizes + b"\1\0\x18\0" + bytes(24) + bytes(range(16))


def jpeg() -> bytes:
    """One grey pixel: a quantisation table of ones, and codes of one bit for zero."""
    table = b"\xff\xdb\0\x43\0" + b"\1" * 64
    codes = b"".join(b"\xff\xc4\0\x14" + bytes([kind, 1, *[0] * 15, 0]) for kind in (0x00, 0x10))
    frame = b"\xff\xc0\0\x0b\x08\0\1\0\1\1\1\x11\0"
    return b"\xff\xd8" + table + frame + codes + b"\xff\xda\0\x08\1\1\0\0\x3f\0\x3f\xff\xd9"


GIF = bytes.fromhex("47494638396101000100800000ff0000ffffff2c00000000010001000002024401003b")


@pytest.mark.parametrize("content", [bmp(), jpeg(), GIF], ids=["bmp", "jpeg", "gif"])
def test_formats(tiny: LlamaCppSession, red: Message, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(content)
    assert ask(tiny, replace(red, images=(path,)))[0] != ask(tiny, red)[0]


# --- what is no projector -----------------------------------------------------------------------


def write_huge(path: Path) -> None:
    """A projector for an image that would take gigabytes."""
    about = {"general.architecture": "clip", "clip.projector_type": "gemma3"}
    write_gguf(path, {**about, "clip.vision.image_size": 1 << 20}, [("x", (32,), "F32")])


@pytest.mark.parametrize(
    ("make", "said", "hint"),
    [
        (lambda path: None, "mmproj.gguf is gone", "gemmahub pull hf://a/b"),
        (lambda path: path.write_bytes(b"GGUF"), "mmproj", "download"),
        (lambda path: path.write_bytes(b"no model"), "mmproj", "download"),
        (write_model, "is not an image projector", "download"),
        (lambda path: write_projector(path, 2 * WIDTH), "belongs to another model", "folder"),
        (write_huge, "cannot be used: its clip.vision.image_size is 1,048,576", "download"),
    ],
    ids=["gone", "cut", "text", "a model", "another width", "huge"],
)
def test_a_projector_that_cannot_be_used(
    backend: LlamaCppBackend,
    seeing: Artifact,
    red: Message,
    tmp_path: Path,
    make: Any,
    said: str,
    hint: str,
) -> None:
    projector = tmp_path / "mmproj.gguf"
    make(projector)
    wrong = replace(seeing, projector=projector, reference="hf://a/b")
    with backend.load(wrong, Settings(context=512)) as session:
        assert session.info.images is False
        with pytest.raises(GenerationFailed, match=said) as caught:
            ask(session, red)
        assert hint in caught.value.hint
        assert ask(session, Message("user", QUESTION))[1].tokens == 12
    with pytest.raises(LoadFailed, match=said):
        backend.load(wrong, Settings(context=512, options={"images": "load"}))


def test_without_a_projector(backend: LlamaCppBackend, seeing: Artifact, red: Message) -> None:
    blind = replace(seeing, projector=None)
    with backend.load(blind, Settings(context=512)) as session:
        assert session.info.images is False
        with pytest.raises(GenerationFailed, match="no image projector") as caught:
            ask(session, red)
        assert "same folder" in caught.value.hint


def test_a_projector_that_ends_too_early(
    backend: LlamaCppBackend, seeing: Artifact, red: Message, tmp_path: Path
) -> None:
    projector = tmp_path / "mmproj.gguf"
    size = write_projector(projector, WIDTH)
    with projector.open("r+b") as file:
        file.truncate(size - 4000)
    with backend.load(replace(seeing, projector=projector), Settings(context=512)) as session:
        for _ in range(2):
            with pytest.raises(GenerationFailed, match="is incomplete"):
                ask(session, red)
        assert ask(session, Message("user", QUESTION))[1].tokens == 12


def test_images_switched_off(backend: LlamaCppBackend, seeing: Artifact, red: Message) -> None:
    never = Settings(context=512, options={"images": "never"})
    with backend.load(seeing, never) as session:
        assert session.info.images is False
        with pytest.raises(GenerationFailed, match="switched off"):
            ask(session, red)


# --- limits, stopping ---------------------------------------------------------------------------


def test_more_images_than_the_context_holds(tiny: LlamaCppSession, red: Message) -> None:
    expected, _ = ask(tiny, red)
    with pytest.raises(ContextExceeded, match=r"\d{3} tokens, but the context holds 512"):
        ask(tiny, replace(red, images=red.images * 30))
    assert ask(tiny, red)[0] == expected


def test_an_image_larger_than_a_step(
    backend: LlamaCppBackend, seeing: Artifact, red: Message
) -> None:
    with backend.load(seeing, Settings(context=512, ubatch=8)) as session:
        with pytest.raises(GenerationFailed, match="needs 16 tokens in one step") as caught:
            ask(session, red)
        assert "ubatch of 16" in caught.value.hint
        assert ask(session, Message("user", QUESTION))[1].tokens == 12


@pytest.mark.parametrize("when", ["prepare", "encode", "decode"])
def test_cancel_while_an_image_is_computed(
    tiny: LlamaCppSession,
    backend: LlamaCppBackend,
    seeing: Artifact,
    red: Message,
    when: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected, _ = ask(tiny, red)
    original = getattr(LoadedProjector, when)
    with backend.load(seeing, Settings(context=512)) as session:

        def cancelled(self: LoadedProjector, *arguments: Any) -> Any:
            session.cancel()
            return original(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(LoadedProjector, when, cancelled)
            text, usage = ask(session, red)
        assert (text, usage.tokens, usage.prefill_tokens) == ("", 0, 0)
        assert usage.finish_reason is FinishReason.CANCELLED
        assert session.context.cached == []
        assert ask(session, red)[0] == expected


def test_cancel_while_the_projector_is_loaded(
    tiny: LlamaCppSession,
    backend: LlamaCppBackend,
    seeing: Artifact,
    red: Message,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected, _ = ask(tiny, red)
    with backend.load(seeing, Settings(context=512)) as session:

        def load(*arguments: Any, **more: Any) -> LoadedProjector:
            session.cancel()
            return LoadedProjector(*arguments, **more)

        with monkeypatch.context() as patch:
            patch.setattr(vision, "LoadedProjector", load)
            _, usage = ask(session, red)
        assert usage.finish_reason is FinishReason.CANCELLED
        assert not session.vision.loaded
        assert ask(session, red)[0] == expected


# --- memory, and the worker ---------------------------------------------------------------------


def test_the_projector_is_loaded_with_the_first_image_and_counted(
    backend: LlamaCppBackend, seeing: Artifact, red: Message
) -> None:
    with backend.load(seeing, Settings(context=512)) as session:
        assert session.info.images is True
        before = session.info.memory
        ask(session, Message("user", QUESTION))
        assert session.info.memory == before
        ask(session, red)
        after = session.info.memory
    assert before is not None
    assert after is not None
    (was,), (use,) = before, after
    assert seeing.projector is not None
    tensors = seeing.projector.stat().st_size
    assert was.projector_bytes == 0
    assert tensors * 0.9 < use.projector_bytes < tensors + (1 << 20)
    assert use == replace(was, projector_bytes=use.projector_bytes)
    with backend.load(seeing, Settings(context=512, options={"images": "load"})) as at_once:
        assert at_once.info.memory == after


def test_buffers_in_the_log() -> None:
    lines = [
        "reserve_compute_meta:      CUDA0 compute buffer size =   900.00 MiB",
        "reserve_compute_meta:        CPU compute buffer size =     1.00 MiB",
        "reserve_compute_meta: graph splits = 3, nodes = 9",
        "reserve_compute_meta:      CUDA0 compute buffer size =     2.00 MiB",
        "reserve_compute_meta: graph splits = 1, nodes = 9",
        "warmup: flash attention is disabled",
        "reserve_compute_meta:      CUDA0 compute buffer size =     3.50 MiB",
        "reserve_compute_meta:  CUDA_Host compute buffer size =     0.50 MiB",
        "reserve_compute_meta: graph splits = 1, nodes = 9",
        "warmup: flash attention is enabled",
    ]
    assert read_buffers(lines) == {"CUDA0": int(5.5 * (1 << 20)), "CPU": 1 << 19}


def test_through_the_worker(tiny: LlamaCppSession, seeing: Artifact, red: Message) -> None:
    expected, _ = ask(tiny, red)
    offer = load_plugins(only=["llamacpp"]).backend("llama.cpp")
    with load_isolated(offer, seeing, Settings(context=512)) as session:
        assert session.info.images is True
        with pytest.raises(GenerationFailed, match="not an image"):
            ask(session, replace(red, images=(seeing.path,)))
        assert ask(session, red)[0] == expected
        assert session.info.memory is not None
        assert session.info.memory == tiny.info.memory
        assert sum(use.projector_bytes for use in session.info.memory) > 0


def test_closing_twice(backend: LlamaCppBackend, seeing: Artifact, red: Message) -> None:
    session = backend.load(seeing, Settings(context=512))
    ask(session, red)
    session.close()
    session.close()
    assert not session.vision.loaded
    with pytest.raises(GenerationFailed, match="closed"):
        ask(session, red)

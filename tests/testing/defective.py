"""A plugin of backends, each with one defect, and of sound ones to compare them with.

``DEFECTS`` names for each backend the conformance test that has to find its defect.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gemmahub import hookimpl
from gemmahub.engines.contract import (
    Availability,
    Backend,
    Chunk,
    DeviceUse,
    DryLoad,
    FinishReason,
    Option,
    SessionInfo,
)
from gemmahub.engines.token_session import TokenSession
from gemmahub.errors import GenerationFailed, LoadFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from gemmahub.engines.contract import Artifact, OnProgress, Prompt, Sampling, Settings

DEFECTS: Final[dict[str, str]] = {}
_BACKENDS: Final[list[type[Backend]]] = []
_ODD = itertools.count()  # for what should be the same each time and is not


def finds(test: str) -> Callable[[type[Any]], type[Any]]:
    """Registers a backend, or a session in a backend of its own, for the test that finds it."""

    def register(cls: type[Any]) -> type[Any]:
        backend: type[Backend] = cls
        if issubclass(cls, Session):
            backend = type(cls.__name__, (Sound,), {"session": cls})
        backend.name = cls.__name__
        DEFECTS[backend.name] = test
        _BACKENDS.append(backend)
        return cls

    return register


class Session(TokenSession):
    """Says the last message again; a byte is a token."""

    def encode(self, prompt: Prompt) -> list[bytes]:
        text = prompt if isinstance(prompt, str) else prompt[-1].content
        if not isinstance(prompt, str):
            for image in prompt[-1].images:
                text = self.seen(image) + text
        return [bytes([byte]) for byte in text.encode(errors="replace")]

    def seen(self, image: Path) -> str:
        """What stands for a picture that is whole."""
        data = image.read_bytes() if image.is_file() else b""
        if not (data.startswith(b"\x89PNG") and b"IEND" in data):
            raise GenerationFailed("this is not an image", "choose another file")
        return "an image "

    def tokens(self, prompt: Sequence[bytes], sampling: Sampling) -> Generator[bytes, None, None]:
        yield from prompt


class Sound(Backend):
    """Keeps the contract, in the worker process."""

    name = "sound"
    formats = ("gguf",)
    capabilities = frozenset({"dry_load", "images"})
    options: ClassVar[tuple[Option, ...]] = (
        Option("speed", "how fast", float, 1.0),
        Option("mode", "how", default="a"),
    )
    session: type[Session] = Session
    memory = (DeviceUse("CPU", weights_bytes=1 << 20, kv_cache_bytes=1 << 20),)

    def availability(self) -> Availability:
        return Availability(True, "1")

    def load(
        self, artifact: Artifact, settings: Settings, on_progress: OnProgress | None = None
    ) -> Session:
        settings = replace(settings, options=self.check_options(settings))
        self.check_file(artifact)
        for fraction in self.progress():
            if on_progress is not None:
                on_progress(fraction)
        return self.session(self.info(settings))

    def check_file(self, artifact: Artifact) -> None:
        if not artifact.path.is_file():
            raise LoadFailed("there is no such file", "look at gemmahub list")

    def progress(self) -> tuple[float, ...]:
        return (0.0, 0.5, 1.0)

    def info(self, settings: Settings) -> SessionInfo:
        context = settings.context or 512
        info = SessionInfo("sound 1", context, None, True, "none", settings)
        return replace(info, memory=self.memory, precision="Q4_K_M", images=True)

    def dry_load(self, artifact: Artifact, settings: Settings) -> DryLoad:
        self.check_file(artifact)
        (use,) = self.memory
        cache, context = use.kv_cache_bytes, settings.context or 512
        sizes = (context, 0, 0, 0, use.weights_bytes)
        return DryLoad("sound 1", settings, context, cache, cache, 0, *sizes, False, self.memory)


class SoundServer(Sound):
    """Keeps the contract, in the process of the caller."""

    name = "sound-server"
    in_process = False


_BACKENDS.extend([Sound, SoundServer])

# --- before a model is loaded --------------------------------------------------------------------


@finds("test_class_data")
class OptionWithoutHelp(Sound):
    options = (Option("speed", ""),)


@finds("test_class_data")
class UnknownCapability(Sound):
    capabilities = frozenset({"flying"})


@finds("test_availability_answers")
class AvailabilityRaises(Sound):
    def availability(self) -> Availability:
        raise RuntimeError("no")


@finds("test_availability_answers")
class MissingWithoutHint(Sound):
    def availability(self) -> Availability:
        return Availability(False, reason="missing")


@finds("test_availability_is_cheap")
class AvailabilityImportsTheEngine(Sound):
    def availability(self) -> Availability:
        import markupsafe

        return Availability(bool(markupsafe), "1")


@finds("test_availability_without_the_engine")
class RaisesWithoutTheEngine(Sound):
    def availability(self) -> Availability:
        return Availability(True, metadata.version("pytest"))


@finds("test_unknown_option_is_refused")
class TakesAnyOption(Sound):
    def load(self, artifact: Artifact, settings: Settings, on_progress: Any = None) -> Session:
        return super().load(artifact, replace(settings, options={}), on_progress)


@finds("test_option_of_a_wrong_type_is_refused")
class ConvertsOptions(Sound):
    def load(self, artifact: Artifact, settings: Settings, on_progress: Any = None) -> Session:
        speed = float(settings.options.get("speed", 1.0))
        options = dict(settings.options) | {"speed": speed}
        return super().load(artifact, replace(settings, options=options), on_progress)


@finds("test_declared_defaults_are_accepted")
class DefaultIsRefused(Sound):
    options = (Option("mode", "how", choices=("a", "b")), Option("speed", "how fast", int, 0.5))


# --- loading -------------------------------------------------------------------------------------


@finds("test_unknown_model_is_refused")
class TakesAnyModel(Sound):
    def check_file(self, artifact: Artifact) -> None:
        """Nothing is looked at."""


@finds("test_dry_load_of_an_unknown_model_is_refused")
class DryLoadsAnyModel(TakesAnyModel):
    pass


@finds("test_unknown_model_is_refused")
class ForeignErrorForUnknownModel(Sound):
    def check_file(self, artifact: Artifact) -> None:
        artifact.path.read_bytes()


@finds("test_progress_is_a_fraction_that_grows")
class ProgressInPercent(Sound):
    def progress(self) -> tuple[float, ...]:
        return (0.0, 50.0, 100.0)


@finds("test_session_says_what_was_loaded")
class NoDevice(Sound):
    def info(self, settings: Settings) -> SessionInfo:
        return replace(super().info(settings), device="")


@finds("test_context_is_as_asked")
class ContextOfItsOwn(Sound):
    def info(self, settings: Settings) -> SessionInfo:
        return replace(super().info(settings), context=100_000)


@finds("test_close_twice_and_no_use_after_it")
class CannotCloseTwice(Session):
    def close(self) -> None:
        assert not self._closed
        super().close()


@finds("test_close_twice_and_no_use_after_it")
class NeverClosed(Session):
    def close(self) -> None:
        """Nothing is closed."""


@finds("test_leaving_the_block_closes")
class LeavingDoesNotClose(Session):
    def __exit__(self, *exc_info: object) -> None:
        """Nothing is closed."""


@finds("test_closing_in_an_answer")
class CloseBreaksTheAnswer(Session):
    def tokens(self, prompt: Sequence[bytes], sampling: Sampling) -> Generator[bytes, None, None]:
        yield prompt[0]
        while not self._closed:
            yield b"x"

    def _before(self, *arguments: Any) -> FinishReason | None:
        if self._closed:
            raise ZeroDivisionError
        return super()._before(*arguments)


@finds("test_two_sessions_answer_the_same")
class EachSessionDiffers(Session):
    def __init__(self, info: SessionInfo) -> None:
        super().__init__(info)
        self._odd = str(next(_ODD)).encode()

    def tokens(self, prompt: Sequence[bytes], sampling: Sampling) -> Generator[bytes, None, None]:
        yield self._odd
        yield from prompt


@finds("test_memory_comes_back")
class Leaks(SoundServer):
    kept: Final[list[bytes]] = []

    def load(self, artifact: Artifact, settings: Settings, on_progress: Any = None) -> Session:
        self.kept.append(os.urandom(24 << 20))
        return super().load(artifact, settings, on_progress)


@finds("test_worker_gives_the_same_answer")
class WorkerDiffers(Session):
    def tokens(self, prompt: Sequence[bytes], sampling: Sampling) -> Generator[bytes, None, None]:
        yield sys.argv[0][-9:].encode()


@finds("test_precision_is_the_files")
class OtherPrecision(Sound):
    def info(self, settings: Settings) -> SessionInfo:
        return replace(super().info(settings), precision="Q8_0")


@finds("test_memory_report")
class NoWeights(Sound):
    memory = (DeviceUse("CPU", kv_cache_bytes=1 << 20),)


@finds("test_dry_load_agrees_with_the_load")
class DryLoadDiffers(Sound):
    def info(self, settings: Settings) -> SessionInfo:
        more = DeviceUse("CPU", weights_bytes=1 << 20, kv_cache_bytes=2 << 20)
        return replace(super().info(settings), memory=(more,))


# --- answers -------------------------------------------------------------------------------------


class Changed(Session):
    """Changes the chunks of a sound answer."""

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        changed: Iterator[Chunk] = self.changed(
            super().generate(prompt, sampling), prompt, sampling
        )
        return changed

    def changed(self, chunks: Iterator[Chunk], prompt: Prompt, sampling: Sampling) -> Any:
        for chunk in chunks:
            yield self.change(chunk)

    def change(self, chunk: Chunk) -> Chunk:
        return chunk


@finds("test_streams_chunks")
class AllAtOnce(Changed):
    def changed(self, chunks: Iterator[Chunk], prompt: Prompt, sampling: Sampling) -> Any:
        seen = list(chunks)
        yield Chunk("".join(chunk.text for chunk in seen), seen[-1].usage)


@finds("test_streams_chunks")
class NoUsage(Changed):
    def change(self, chunk: Chunk) -> Chunk:
        return Chunk(chunk.text)


@finds("test_conversation_is_answered")
class OnlyText(Session):
    def encode(self, prompt: Prompt) -> list[bytes]:
        if not isinstance(prompt, str):
            raise GenerationFailed("no conversations", "complete a text")
        return super().encode(prompt)


@finds("test_characters_are_never_cut")
class CutsCharacters(Changed):
    def changed(self, chunks: Iterator[Chunk], prompt: Prompt, sampling: Sampling) -> Any:
        for chunk in chunks:
            for byte in chunk.text.encode():
                yield Chunk(bytes([byte]).decode(errors="replace"))
            if chunk.usage is not None:
                yield Chunk("", chunk.usage)


class OtherSampling(Session):
    """Answers as if something else had been asked for."""

    ignored: dict[str, Any] = {}  # noqa: RUF012 - the defects below set it

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        return super().generate(prompt, replace(sampling, **self.ignored))


@finds("test_max_tokens")
class IgnoresMaxTokens(OtherSampling):
    ignored = {"max_tokens": 16}  # noqa: RUF012


@finds("test_stop_text_ends_the_answer")
class IgnoresStopTexts(OtherSampling):
    ignored = {"stop": ()}  # noqa: RUF012


@finds("test_prompt_longer_than_the_context")
class CutsThePromptInSilence(Session):
    def encode(self, prompt: Prompt) -> list[bytes]:
        return super().encode(prompt)[-self.context_size // 2 :]


@finds("test_full_context_ends_the_answer")
class OverrunsTheContext(Changed):
    def changed(self, chunks: Iterator[Chunk], prompt: Prompt, sampling: Sampling) -> Any:
        usage = list(chunks)[-1].usage
        assert usage is not None
        asked, most = 400, sampling.max_tokens or 0
        yield Chunk("x" * most)
        yield Chunk("", replace(usage, prompt_tokens=asked, prefill_tokens=asked, tokens=most))


class Odd(Session):
    """Not the same answer twice."""

    def tokens(self, prompt: Sequence[bytes], sampling: Sampling) -> Generator[bytes, None, None]:
        yield str(next(_ODD)).encode()
        yield from prompt


@finds("test_temperature_zero_repeats")
class GreedyDiffers(Odd):
    pass


@finds("test_seed_repeats")
class IgnoresSeeds(Odd):
    pass


@finds("test_usage_adds_up")
class CountsTheCacheTwice(Changed):
    def change(self, chunk: Chunk) -> Chunk:
        usage = chunk.usage
        if usage is None:
            return chunk
        return Chunk(chunk.text, replace(usage, prefill_tokens=(usage.prompt_tokens or 0) + 1))


@finds("test_timings_add_up")
class Nanoseconds(Changed):
    def change(self, chunk: Chunk) -> Chunk:
        usage = chunk.usage
        if usage is None:
            return chunk
        return Chunk(chunk.text, replace(usage, decode_seconds=(usage.decode_seconds or 1) * 1e9))


@finds("test_only_backend_errors")
class ForeignErrors(Session):
    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        if not prompt:
            raise ValueError("empty")
        return super().generate(prompt, sampling)


@finds("test_nothing_is_printed")
class Prints(Session):
    def encode(self, prompt: Prompt) -> list[bytes]:
        sys.stdout.write("encoding\n")
        return super().encode(prompt)


# --- images --------------------------------------------------------------------------------------


@finds("test_an_image_is_part_of_the_prompt")
class IgnoresImages(Session):
    def seen(self, image: Path) -> str:
        super().seen(image)
        return ""


@finds("test_what_is_no_image_is_refused")
class TakesAnyFile(Session):
    def seen(self, image: Path) -> str:
        return "an image "


# --- stopping ------------------------------------------------------------------------------------


@finds("test_cancel_in_the_middle")
class DeafToCancel(Session):
    def encode(self, prompt: Prompt) -> list[bytes]:
        return super().encode(prompt)[:50] * 4

    def cancel(self) -> None:
        """Not heard."""


@finds("test_cancel_in_the_prefill")
class DeafInPrefill(Session):
    def tokens(self, prompt: Sequence[bytes], sampling: Sampling) -> Generator[bytes, None, None]:
        if len(prompt) > 256:
            threading.Event().wait(0.6)  # an engine that computes
        yield from prompt


@finds("test_cancel_without_an_answer")
class CancelSticks(Session):
    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        before = self.cancelled.is_set()
        chunks = super().generate(prompt, sampling)
        if before:
            self.cancelled.set()
        return chunks


@finds("test_abandoned_stream")
class BrokenByAbandoning(Session):
    def tokens(self, prompt: Sequence[bytes], sampling: Sampling) -> Generator[bytes, None, None]:
        try:
            yield from prompt
        except GeneratorExit:
            if (sampling.max_tokens or 0) > 100:
                self.encode = lambda prompt: [b"?"]  # type: ignore[method-assign]
            raise


@finds("test_stream_that_is_never_read")
class BrokenByUnread(Changed):
    waiting = False

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        if self.waiting:
            raise GenerationFailed("busy", "read the other answer first")
        self.waiting = True
        return super().generate(prompt, sampling)

    def changed(self, chunks: Iterator[Chunk], prompt: Prompt, sampling: Sampling) -> Any:
        yield from chunks
        self.waiting = False


@hookimpl
def gemmahub_backends() -> list[Backend]:
    """All of them."""
    return [backend() for backend in _BACKENDS]

"""All that is optional, on top of the smallest backend: what an engine can offer, at its simplest.

Each capability stands alone: a real backend declares and writes those that its engine has.
"""

from __future__ import annotations

import json
import math
import shutil
import wave
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final
from zlib import crc32

from gemmahub.engines.contract import (
    CAPABILITIES,
    Chunk,
    ChunkKind,
    DeviceUse,
    DryLoad,
    EngineDevice,
    FinishReason,
    PromptRead,
    ScoredText,
    SessionInfo,
    ToolCall,
)
from gemmahub.errors import ContextExceeded, GenerationFailed, LoadFailed
from gemmahub_echo.backend import EchoBackend, EchoSession

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from gemmahub.engines.contract import (
        Artifact,
        Message,
        OnProgress,
        Prompt,
        Quantization,
        Sampling,
        Settings,
        Usage,
    )
    from gemmahub_echo.server import EchoServer

THOUGHT: Final = "The last message is to be said again ."
PART: Final = 512  # words of a prompt that are read at once
_LABELS: Final = ("Q4_0", "Q8_0")


class EveryEchoBackend(EchoBackend):
    """The same, with every capability but a context that nobody can choose."""

    capabilities: ClassVar[frozenset[str]] = frozenset(CAPABILITIES) - {"fixed_context"}

    def load(
        self, artifact: Artifact, settings: Settings, on_progress: OnProgress | None = None
    ) -> EveryEchoSession:
        """As the smallest backend; drafter and adapters have to be there, too.

        Raises: LoadFailed.
        """
        if settings.main_device not in (None, "CPU"):
            raise LoadFailed(f"echo has no device {settings.main_device}", "it has one: CPU")
        for path in (settings.drafter, *(adapter.path for adapter in settings.adapters)):
            if path is not None and not path.exists():
                raise LoadFailed(f"there is no file {path}", "check its path")
        info = super().load(artifact, settings, on_progress).info
        info = replace(info, images=True, audio=True)
        return EveryEchoSession(info, delay=self.check_options(settings)["delay"])

    def devices(self) -> list[EngineDevice]:
        """A word needs no more than this."""
        return [EngineDevice("CPU", "cpu", "whatever runs Python")]

    def dry_load(self, artifact: Artifact, settings: Settings) -> DryLoad:
        """The file is all that it would hold, were it read. Raises: LoadFailed."""
        info = EchoBackend.load(self, artifact, settings).info
        size = artifact.path.stat().st_size
        assert info.context is not None
        return DryLoad(
            engine=info.engine, settings=replace(settings, context=info.context),
            context=info.context, kv_cache_bytes=0, kv_cache_global_bytes=0,
            kv_cache_window_bytes=0, cells_global=info.context, cells_window=0, compute_bytes=0,
            output_bytes=0, weights_bytes=size, flash_attention=settings.flash_attention,
            devices=(DeviceUse("CPU", weights_bytes=size),),
        )  # fmt: skip

    def quantize(
        self, artifact: Artifact, wanted: Quantization, on_progress: OnProgress | None = None
    ) -> None:
        """A copy: no weight is looked at. Raises: LoadFailed."""
        if wanted.label not in _LABELS:
            raise LoadFailed(f"echo makes no {wanted.label}", f"it makes {', '.join(_LABELS)}")
        if not artifact.path.exists():
            raise LoadFailed(f"there is no file {artifact.path}", "see `gemmahub list`")
        shutil.copyfile(artifact.path, wanted.target)
        if on_progress is not None:
            on_progress(1.0)

    def make_importance(
        self, artifact: Artifact, text: str, target: Path, on_progress: OnProgress | None = None
    ) -> None:
        """The text, as nothing is computed of it. Raises: LoadFailed for less than two words."""
        if len(text.split()) < 2:
            raise LoadFailed("the text has fewer than two words", "give a longer one")
        target.write_text(text, encoding="utf-8")
        if on_progress is not None:
            on_progress(1.0)

    def serve(self, artifact: Artifact, settings: Settings, key: str = "") -> EchoServer:
        """On a port of this machine. Raises: LoadFailed."""
        from gemmahub_echo.server import EchoServer

        return EchoServer(self.load(artifact, settings), key)

    def unload(self, name: str) -> None:
        """Nothing stays loaded."""


class EveryEchoSession(EchoSession):
    """Sees, hears, thinks, calls tools, keeps to schemas, scores and embeds, without a model."""

    def __init__(self, info: SessionInfo, delay: float) -> None:
        super().__init__(info, delay)
        self.parallel = True

    def encode(self, prompt: Prompt) -> list[str]:
        """An image or a sound is one word. Raises: GenerationFailed."""
        if isinstance(prompt, str):
            return super().encode(prompt)
        for message in prompt:
            for path in message.images:
                _check_image(path)
            for path in message.audio:
                _check_audio(path)
        last = prompt[-1]
        return ["(image)"] * len(last.images) + ["(sound)"] * len(last.audio) + last.content.split()

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """The answer, after its thought; or a call of a tool that the message names."""
        call = None if isinstance(prompt, str) else _call_in(prompt[-1:], sampling)
        return self._kinds(super().generate(prompt, sampling), sampling, call)

    def tokens(  # type: ignore[override]  # more than the smallest one tells
        self, prompt: Sequence[str], sampling: Sampling
    ) -> Generator[bytes | PromptRead, None, None]:
        """The same; a long prompt is read in parts, each after the delay, and that is told."""
        for read in range(PART, len(prompt), PART):
            if self.cancelled.wait(self._delay):
                return
            yield PromptRead(read, len(prompt))
        yield from super().tokens(prompt, sampling)

    def _kinds(
        self, chunks: Iterator[Chunk], sampling: Sampling, call: ToolCall | None
    ) -> Generator[Chunk, None, None]:
        words = THOUGHT.split() if sampling.thinking else []
        if type(sampling.thinking) is int:
            words = words[: sampling.thinking]
        for word in words:
            yield Chunk(f"{word} ", kind=ChunkKind.REASONING)
        if call is not None:
            yield Chunk("", kind=ChunkKind.TOOL_CALL, tool_call=call)
        form = _form(sampling)
        for chunk in chunks:
            if chunk.usage is None:
                if call is None and form is None:
                    yield chunk
                continue
            if form is not None:
                yield Chunk(form)
            text = chunk.text if call is None and form is None else ""
            yield Chunk(text, _with_thought(chunk.usage, len(words), call is not None))

    def score(self, text: str, window: int = 512, top: int = 0) -> Iterator[ScoredText]:
        """A word that stood before is as probable as all others together, any other half as much.

        Raises: ContextExceeded.
        """
        return self.score_at(text, window=window, top=top)

    def score_at(
        self, text: str, first: int = 0, at: Any = (), window: int = 512, top: int = 0
    ) -> Iterator[ScoredText]:
        """The same, of some windows, and of the words that are named for each place."""
        if window > self.context_size:
            raise ContextExceeded(
                f"a window of {window:,} tokens does not fit {self.context_size:,}",
                "score in smaller windows",
            )
        words = text.split()
        windows = [words[n : n + window] for n in range(0, len(words) - window + 1, window)]
        for place, part in enumerate(windows[first:][: len(at) or None]):
            seen = [math.log(0.5 if word in part[:n] else 0.25) for n, word in enumerate(part)]
            numbers = tuple(crc32(word.encode()) % 2**18 for word in part)
            best = min(top, 1)
            scored = zip(numbers[1:], seen[1:], at[place][1:] if at else (), strict=False)
            yield ScoredText(
                tokens=numbers, log_probabilities=tuple(seen[1:]),
                top_tokens=tuple((n,) for n in numbers[1:]) if best else (),
                top_log_probabilities=tuple((s,) for s in seen[1:]) if best else (),
                at_log_probabilities=tuple(
                    tuple(own if token == n else math.log(0.25) for token in row)
                    for n, own, row in scored
                ),
            )  # fmt: skip

    def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """How often each of eight groups of words occurs, as a vector of length 1."""
        found = []
        for text in texts:
            counts = [0.001] * 8
            for word in text.split():
                counts[crc32(word.encode()) % 8] += 1
            length = math.hypot(*counts)
            found.append(tuple(count / length for count in counts))
        return found


def _check_image(path: Path) -> None:
    content = _content(path)
    if not content.startswith(b"\x89PNG\r\n\x1a\n") or b"IEND" not in content[-12:]:
        raise GenerationFailed(f"{path.name} is not a PNG image", "use one")


def _check_audio(path: Path) -> None:
    _content(path)
    try:
        with wave.open(str(path)) as sound:
            sound.readframes(1)
    except (wave.Error, EOFError) as error:
        raise GenerationFailed(f"{path.name} is not a WAV file: {error}", "use one") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GenerationFailed(
            f"{path} cannot be read: {error.strerror}", "check its path"
        ) from None


def _call_in(last: Sequence[Message], sampling: Sampling) -> ToolCall | None:
    """The first tool whose name the message has; the result of a tool calls none."""
    for message in last:
        for tool in sampling.tools:
            if message.role == "user" and tool.name in message.content:
                arguments = _example(tool.parameters)
                return ToolCall("call-1", tool.name, json.dumps(arguments))
    return None


def _form(sampling: Sampling) -> str | None:
    """A text that keeps to the schema, or the first text in the grammar."""
    if sampling.schema is not None:
        return json.dumps(_example(sampling.schema))
    if sampling.grammar is not None:
        parts = sampling.grammar.split('"')
        if len(parts) < 3:
            raise GenerationFailed("the grammar has no text", "write one in quotes")
        return parts[1]
    return None


def _example(schema: Any) -> Any:
    """A small value of a JSON schema: objects, lists, texts, numbers, truth."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: _example(inner) for name, inner in schema.get("properties", {}).items()}
    return {"array": [], "string": "echo", "integer": 1, "number": 1.0, "boolean": True}.get(kind)


def _with_thought(usage: Usage, thought: int, called: bool) -> Usage:
    reason = FinishReason.TOOL_CALLS if called else usage.finish_reason
    thought += usage.reasoning_tokens or 0
    return replace(usage, reasoning_tokens=thought, finish_reason=reason)

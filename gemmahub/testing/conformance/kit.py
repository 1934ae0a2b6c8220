"""What all conformance tests stand on: what a plugin overrides, fixtures, reading an answer."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

import pytest

from gemmahub.engines.contract import Artifact, ChunkKind, Message, Sampling, Settings, Usage
from gemmahub.engines.guarded_reader import readers_of
from gemmahub.engines.manager import BackendOffer, load_plugins
from gemmahub.errors import BackendError
from gemmahub.testing.conformance.base import PluginConformance
from gemmahub.text import strip_controls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from gemmahub.engines.contract import (
        Backend,
        Chunk,
        Prompt,
        ServedModel,
        Session,
        ToolCall,
    )
    from gemmahub.formats.reader import ModelReader

GREEDY: Final = 0.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """One answer, read to its end."""

    chunks: tuple[Chunk, ...]
    usage: Usage

    @property
    def text(self) -> str:
        """The whole text, without what was thought before it."""
        return "".join(c.text for c in self.chunks if c.kind is ChunkKind.ANSWER)

    @property
    def reasoning(self) -> str:
        """What was thought."""
        return "".join(c.text for c in self.chunks if c.kind is ChunkKind.REASONING)

    @property
    def calls(self) -> list[ToolCall]:
        """The tools that were called."""
        return [c.tool_call for c in self.chunks if c.tool_call is not None]


def read(chunks: Iterable[Chunk]) -> WholeAnswer:
    """Read an answer to its end; the last chunk, and no other, carries the usage."""
    seen = tuple(chunks)
    assert seen, "an answer has at least one chunk: the last one, which carries the usage"
    usage = seen[-1].usage
    assert usage is not None, "the last chunk carries the usage, also of an answer cut short"
    early = [chunk for chunk in seen[:-1] if chunk.usage is not None]
    assert not early, "only the last chunk carries the usage"
    return WholeAnswer(seen, usage)


@contextmanager
def only_backend_errors(what: str) -> Iterator[list[BackendError]]:
    """Let nothing but BackendErrors leave the block; the list holds the one that did."""
    caught: list[BackendError] = []
    try:
        yield caught
    except BackendError as error:
        caught.append(error)
    except Exception as error:  # noqa: BLE001 - that is what is tested
        pytest.fail(
            f"{what} raised {type(error).__name__}: {error}; a backend raises "
            "gemmahub.errors.BackendError and its subclasses only"
        )
    for failure in caught:
        assert failure.message.strip(), f"{what}: the error says nothing"
        assert failure.hint.strip(), f"{what}: the hint says what to do next, and it is empty"
        for text in (failure.message, failure.hint):
            assert text == strip_controls(text), f"{what}: control characters in {text!r}"


class Kit(PluginConformance):
    """What a plugin says of itself to the tests. ``plugin`` and ``make_artifact`` are needed.

    ``backend_name`` chooses among several backends of the plugin. ``context`` is what sessions are
    loaded with, in tokens. ``prompt`` has at least eight words and gets an answer of several
    tokens at temperature 0; ``multibyte_prompts`` lead to answers with characters of several
    bytes, each often several tokens. ``completes`` False says that the engine only answers
    conversations, and refuses a text that is to be completed as it stands. ``tool_prompt`` gets a
    call of the tool ``look_up``; ``thinks`` False and ``calls`` False say that the model of
    ``make_artifact`` does not think or call tools, and is refused where it should;
    ``quantize_label`` is a precision that the engine makes.
    """

    backend_name: ClassVar[str] = ""
    context: ClassVar[int] = 512
    completes: ClassVar[bool] = True
    tool_prompt: ClassVar[str] = "How high is K2? Use look_up to find it."
    thinks: ClassVar[bool] = True
    calls: ClassVar[bool] = True
    quantize_label: ClassVar[str] = "Q8_0"
    prompt: ClassVar[str] = "The capital of France is a large and beautiful city called"
    multibyte_prompts: ClassVar[tuple[str, ...]] = (
        "😀 👍🏽 🇫🇷 😀 👍🏽 🇫🇷 😀 👍🏽",
        "日本の 首都は 東京 です。 中国の 首都は",
        "Привет, мир. Grüße, où êtes-vous? Привет,",
    )

    def make_artifact(self, folder: Path) -> Artifact | ServedModel:
        """A model that the backend can load; ``folder`` is empty and stays while tests run."""
        raise NotImplementedError("write make_artifact(self, folder) -> Artifact")

    def unknown_artifact(self, model: Artifact | ServedModel) -> Artifact | ServedModel:
        """A model that is not there; override it where a path is not what names a model."""
        if not isinstance(model, Artifact):
            return replace(model, name="no-such-model")
        path = model.path.with_name("no-such-model")
        return replace(model, path=path, files=(path,), name="no-such-model", reference="")

    def memory_held(self) -> int | None:
        """Bytes that the engine holds now, None where that is not known.

        Only asked of a backend with ``in_process`` False. By default those of this process;
        override it where a server holds the model.
        """
        import os

        from gemmahub.engines.resident import resident_memory

        found = resident_memory(os.getpid())
        return None if found is None else found.anonymous_bytes

    # --- for the tests -------------------------------------------------------------------------

    @pytest.fixture
    def offer(self) -> BackendOffer:
        """The backend, found through the plugin's entry point."""
        manager = load_plugins(only=[self._plugin()])
        offers = manager.backends()
        reasons = [f"{r.name}: {r.reason}" for r in manager.records if r.state == "failed"]
        named = [o for o in offers if not self.backend_name or o.backend.name == self.backend_name]
        assert named, f"the plugin {self.plugin!r} offers no such backend {reasons}"
        assert len(named) == 1, "set backend_name: the plugin offers several backends"
        return named[0]

    @pytest.fixture
    def backend(self, offer: BackendOffer) -> Backend:
        """The backend, where its engine works; skips with its own reason where not."""
        answer = offer.backend.availability()
        if not answer.ok:
            pytest.skip(f"{offer.backend.name} does not work here: {answer.reason}; {answer.hint}")
        return offer.backend

    @pytest.fixture
    def model(
        self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Artifact | ServedModel:
        """The model, made once for the class."""
        made: Artifact | ServedModel | None = request.cls.__dict__.get("_made")
        if made is None:
            made = self.make_artifact(tmp_path_factory.mktemp("model"))
            request.cls._made = made
        return made

    @pytest.fixture
    def session(
        self, request: pytest.FixtureRequest, backend: Backend, model: Artifact | ServedModel
    ) -> Session:
        """A session for all tests of the class that need no other settings, loaded here."""
        found: Session | None = request.cls.__dict__.get("_session")
        if found is None:
            found = backend.load(model, self.settings())
            request.cls._session = found

            def close() -> None:
                found.close()
                del request.cls._session

            request.node.getparent(pytest.Class).addfinalizer(close)
        return found

    def settings(self, **changes: object) -> Settings:
        """The settings that sessions are loaded with."""
        return Settings(**{"context": self.context} | changes)  # type: ignore[arg-type]

    def own_readers(self) -> Iterable[ModelReader]:
        """The plugin's own: a backend may run models of a format that its plugin brings."""
        return readers_of(load_plugins(only=[self.plugin] if self.plugin else []))

    def ask(
        self, session: Session, prompt: Prompt | None = None, **sampling: object
    ) -> WholeAnswer:
        """An answer, by default at temperature 0 and of 16 tokens."""
        wanted = {"max_tokens": 16, "temperature": GREEDY} | sampling
        asked = self.said(self.prompt if prompt is None else prompt)
        return read(session.generate(asked, Sampling(**wanted)))  # type: ignore[arg-type]

    def said(self, prompt: Prompt) -> Prompt:
        """A prompt as the engine takes it."""
        return (
            prompt if self.completes or not isinstance(prompt, str) else [Message("user", prompt)]
        )

    def prompt_of(self, session: Session, tokens: int) -> str:
        """A prompt of about that many tokens, rather fewer, however the engine cuts words."""
        few, more = (
            told(self.ask(session, "dog " * n, max_tokens=1).usage.prompt_tokens, "prompt_tokens")
            for n in (8, 40)
        )
        rate = (more - few) / 32
        assert rate > 0, "a longer prompt has more tokens"
        return "dog " * int((tokens - few) / rate)


def told(value: T | None, what: str) -> T:
    """What the engine says; the test is skipped where it does not say it."""
    if value is None:
        pytest.skip(f"the engine does not say {what}")
    return value


def demand(backend: Backend, capability: str) -> None:
    """Skip the test of what the backend does not declare."""
    if capability not in backend.capabilities:
        pytest.skip(f"{backend.name} does not declare the capability {capability!r}")

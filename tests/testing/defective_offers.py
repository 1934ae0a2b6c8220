"""A plugin of backends that offer what is optional, each with one defect in it.

``DEFECTS`` names for each backend the conformance test that has to find its defect.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub import hookimpl
from gemmahub.engines.contract import (
    BrokenEntry,
    Chunk,
    ChunkKind,
    Loadable,
    ServedModel,
    Settings,
)
from gemmahub.errors import GenerationFailed
from gemmahub_echo.everything import EveryEchoBackend, EveryEchoSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gemmahub.engines.contract import (
        Artifact,
        Backend,
        EngineDevice,
        OnProgress,
        Prompt,
        Quantization,
        Sampling,
        ScoredText,
    )
    from gemmahub.formats.reader import ModelFile
    from gemmahub_echo.server import EchoServer

DEFECTS: Final[dict[str, str]] = {}
_BACKENDS: Final[list[type[Backend]]] = []
_ODD = itertools.count()  # for what should be the same each time and is not


class Offers(EveryEchoBackend):
    """What it derives from, with a session of the defect's."""

    session: Any = EveryEchoSession

    def load(self, artifact: Artifact, settings: Settings, on_progress: Any = None) -> Any:
        info = super().load(artifact, settings, on_progress).info
        return self.session(info, delay=0.0)


def finds(test: str) -> Callable[[type[Any]], type[Any]]:
    """Registers a backend, or a session in a backend of its own, for the test that finds it."""

    def register(cls: type[Any]) -> type[Any]:
        backend: type[Backend] = cls
        if issubclass(cls, EveryEchoSession):
            backend = type(cls.__name__, (Offers,), {"session": cls})
        backend.name = cls.__name__
        DEFECTS[backend.name] = test
        _BACKENDS.append(backend)
        return cls

    return register


@finds("test_thoughts_are_chunks_of_their_own")
class ThinksInTheAnswer(EveryEchoSession):
    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        chunks = super().generate(prompt, sampling)
        return (replace(chunk, kind=ChunkKind.ANSWER) for chunk in chunks)


@finds("test_thoughts_are_chunks_of_their_own")
class ThinksUnasked(EveryEchoSession):
    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        return super().generate(prompt, replace(sampling, thinking=True))


@finds("test_thoughts_have_a_budget")
class ThinksWithoutEnd(EveryEchoSession):
    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        return super().generate(prompt, replace(sampling, thinking=bool(sampling.thinking)))


@finds("test_a_tool_is_called")
class CallsInWords(EveryEchoSession):
    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        for chunk in super().generate(prompt, sampling):
            call = chunk.tool_call
            yield chunk if call is None else Chunk(f"{call.name}({call.arguments})")


@finds("test_the_result_of_a_tool_is_taken")
class KnowsNoResults(EveryEchoSession):
    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        if not isinstance(prompt, str) and prompt and prompt[-1].role == "tool":
            raise GenerationFailed("a tool has no role here", "leave it out")
        return super().generate(prompt, sampling)


@finds("test_an_answer_keeps_to_a_schema")
class IgnoresTheSchema(EveryEchoSession):
    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        return super().generate(prompt, replace(sampling, schema=None))


@finds("test_an_answer_keeps_to_a_grammar")
class IgnoresTheGrammar(EveryEchoSession):
    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        return super().generate(prompt, replace(sampling, grammar=None))


@finds("test_sound_is_part_of_the_prompt")
class IsDeaf(EveryEchoSession):
    def encode(self, prompt: Prompt) -> list[str]:
        if isinstance(prompt, str):
            return super().encode(prompt)
        return super().encode([replace(message, audio=()) for message in prompt])


@finds("test_several_answers_at_once")
class AnswersOneAtATime(EveryEchoSession):
    def __init__(self, info: Any, delay: float) -> None:
        super().__init__(info, delay)
        self.parallel = False


@finds("test_scores_are_log_probabilities")
class ScoresAreShares(EveryEchoSession):
    def score(self, text: str, window: int = 512, top: int = 0) -> Iterator[ScoredText]:
        for found in super().score(text, window, top):
            yield replace(found, log_probabilities=tuple(-n for n in found.log_probabilities))


@finds("test_scores_are_log_probabilities")
class ScoresByChance(EveryEchoSession):
    def score(self, text: str, window: int = 512, top: int = 0) -> Iterator[ScoredText]:
        for found in super().score(text, window, top):
            moved = tuple(n - next(_ODD) for n in found.log_probabilities)
            yield replace(found, log_probabilities=moved)


@finds("test_scores_with_the_most_probable_tokens")
class TopIsBelow(EveryEchoSession):
    def score(self, text: str, window: int = 512, top: int = 0) -> Iterator[ScoredText]:
        for found in super().score(text, window, top):
            rows = tuple((row[0] - 1.0,) for row in found.top_log_probabilities)
            yield replace(found, top_log_probabilities=rows)


@finds("test_a_window_larger_than_the_context")
class CutsTheWindow(EveryEchoSession):
    def score(self, text: str, window: int = 512, top: int = 0) -> Iterator[ScoredText]:
        return super().score(text, min(window, self.context_size), top)


@finds("test_scores_of_named_tokens")
class ScoresOtherTokens(EveryEchoSession):
    def score_at(
        self, text: str, first: int = 0, at: Any = (), window: int = 512, top: int = 0
    ) -> Iterator[ScoredText]:
        for found in super().score_at(text, first, at, window, top):
            rows = tuple(tuple(n - 1 for n in row) for row in found.at_log_probabilities)
            yield replace(found, at_log_probabilities=rows)


@finds("test_scores_of_named_tokens")
class BeginsAtTheStart(EveryEchoSession):
    def score_at(
        self, text: str, first: int = 0, at: Any = (), window: int = 512, top: int = 0
    ) -> Iterator[ScoredText]:
        return super().score_at(text, 0, at, window, top)


@finds("test_vectors_of_texts")
class VectorsOfChance(EveryEchoSession):
    def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        return [(random.random(), random.random()) for _ in texts]


@finds("test_a_model_at_another_precision")
class QuantizesNothing(Offers):
    def quantize(self, artifact: Artifact, wanted: Quantization, on_progress: Any = None) -> None:
        pass


@finds("test_a_model_at_another_precision")
class QuantizesInPlace(Offers):
    def quantize(
        self, artifact: Artifact, wanted: Quantization, on_progress: OnProgress | None = None
    ) -> None:
        super().quantize(artifact, wanted, on_progress)
        artifact.path.write_bytes(b"quantized")


@finds("test_a_precision_that_the_engine_does_not_make")
class LeavesHalfAFile(Offers):
    def quantize(
        self, artifact: Artifact, wanted: Quantization, on_progress: OnProgress | None = None
    ) -> None:
        wanted.target.write_bytes(b"half")
        super().quantize(artifact, wanted, on_progress)


@finds("test_an_importance_matrix")
class LeavesHalfAMatrix(Offers):
    def make_importance(
        self, artifact: Artifact, text: str, target: Path, on_progress: OnProgress | None = None
    ) -> None:
        target.write_text("half", encoding="utf-8")
        super().make_importance(artifact, text, target, on_progress)


@finds("test_a_served_model_answers")
class ServesEverybody(Offers):
    def serve(self, artifact: Artifact, settings: Settings, key: str = "") -> EchoServer:
        return super().serve(artifact, settings, "")


@finds("test_unloading_what_is_not_loaded")
class UnloadsWhatIsThere(Offers):
    def unload(self, name: str) -> None:
        raise GenerationFailed(f"{name} is not loaded", "load it first")


@finds("test_devices")
class DevicesAreTwins(Offers):
    def devices(self) -> list[EngineDevice]:
        return super().devices() * 2


@finds("test_served_models")
class ServesWithoutAName(Offers):
    def served(self, seconds: float) -> list[ServedModel]:
        return [ServedModel("echo", "", self.name)]


@finds("test_served_models")
class FailsWithoutAReason(Offers):
    def served(self, seconds: float) -> list[BrokenEntry]:
        return [BrokenEntry(Path("lab"), self.name, "")]


@finds("test_what_can_be_loaded_is_said")
class LoadsNothing(Offers):
    def loadable(self, header: ModelFile) -> Loadable:
        return Loadable(False, "it is Thursday")


@finds("test_context_is_as_asked")
class FixedContextMoves(Offers):
    capabilities = Offers.capabilities | {"fixed_context"}


class Ignores(Offers):
    """Ignores one setting."""

    ignored: str

    def load(self, artifact: Artifact, settings: Settings, on_progress: Any = None) -> Any:
        usual = getattr(Settings(), self.ignored)
        return super().load(artifact, replace(settings, **{self.ignored: usual}), on_progress)


@finds("test_a_setting_with_what_is_not_there[drafter]")
class IgnoresTheDrafter(Ignores):
    ignored = "drafter"


@finds("test_a_setting_with_what_is_not_there[adapters]")
class IgnoresAdapters(Ignores):
    ignored = "adapters"


@finds("test_a_setting_with_what_is_not_there[main_device]")
class IgnoresTheDevice(Ignores):
    ignored = "main_device"


@hookimpl
def gemmahub_backends() -> list[Backend]:
    """All of them."""
    return [backend() for backend in _BACKENDS]

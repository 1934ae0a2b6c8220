"""Answers of several variants to the same prompts, held against those of the first."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import ChunkKind, Message, Sampling
from gemmahub.errors import NotFound, UsageError
from gemmahub.service.running import load
from gemmahub.service.scoring.choosing import scorable
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmahub.engines.contract import OnProgress, Prompt, Session
    from gemmahub.service.installation import Installation

_LARGEST: Final = 16_000_000
_SHOWN: Final = 60
_VERDICT_TOKENS: Final = 8
_ONE, _OTHER, _NEITHER = "1", "2", "same"


@dataclass(frozen=True, slots=True)
class AnswersOptions:
    """``prompts`` is a file, one prompt a line, or JSON lines with ``prompt``. ``judge`` is a model
    that says which of two answers is better; None for nobody."""

    prompts: str
    max_tokens: int = 256
    judge: str | None = None
    backend: str | None = None


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """A greedy answer; ``tokens`` counts its tokens, ``decode_seconds`` the time they took."""

    text: str
    tokens: int
    decode_seconds: float


@dataclass(frozen=True, slots=True)
class AnswerDifference:
    """Where an answer first differs from the first variant's: after so many characters, None where
    they are the same; and how both go on from there. ``better`` is the judge's: ``first``,
    ``other``, ``same``, or "" without one."""

    prompt: str
    differs_at: int | None
    first: str = ""
    other: str = ""
    better: str = ""


@dataclass(frozen=True, slots=True)
class VariantAnswers:
    """All answers of a variant. ``same`` is the share of answers that are the first variant's word
    for word, ``common`` the share of characters up to the first difference, in the mean."""

    reference: str
    precision: str
    engine: str
    answers: tuple[GivenAnswer, ...]
    differences: tuple[AnswerDifference, ...] = ()

    @property
    def same(self) -> float:
        """Of 1; 1 for the first variant."""
        if not self.differences:
            return 1.0
        return sum(each.differs_at is None for each in self.differences) / len(self.differences)

    @property
    def common(self) -> float:
        """Of 1; 1 for the first variant."""
        if not self.differences:
            return 1.0
        pairs = zip(self.differences, self.answers, strict=True)
        parts = (
            1.0 if each.differs_at is None else each.differs_at / max(1, len(answer.text))
            for each, answer in pairs
        )
        return sum(min(1.0, part) for part in parts) / len(self.differences)

    @property
    def mean_tokens(self) -> float:
        """Tokens of an answer."""
        return sum(answer.tokens for answer in self.answers) / len(self.answers)

    @property
    def tokens_per_second(self) -> float | None:
        """Of all answers together; None where nothing was timed."""
        seconds = sum(answer.decode_seconds for answer in self.answers)
        # The first token of each belongs to the prefill.
        tokens = sum(max(0, answer.tokens - 1) for answer in self.answers)
        return tokens / seconds if seconds > 0 and tokens else None

    def as_json(self) -> dict[str, Any]:
        """For ``gemmahub quality --prompts FILE --json``."""
        return {
            **asdict(self),
            "same": self.same,
            "common": self.common,
            "mean_tokens": self.mean_tokens,
            "tokens_per_second": self.tokens_per_second,
        }


def read_prompts(name: str) -> list[str]:
    """The prompts of a file. Raises: NotFound, UsageError."""
    path, shown = Path(name), one_line(name, 200)
    try:
        if path.is_file() and path.stat().st_size > _LARGEST:
            raise UsageError(f"{shown} is too large for a file of prompts", "use a part of it")
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "") or "it is not UTF-8 text"
        raise NotFound(f"{shown} cannot be read: {reason}", "choose a file of prompts") from None
    found = [_prompt(line, number, shown) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise UsageError(f"{shown} has no prompts", "write one prompt per line")
    return found


def _prompt(line: str, number: int, shown: str) -> str:
    if not line.lstrip().startswith("{"):
        return line.strip()
    try:
        found = json.loads(line)["prompt"]
    except (ValueError, KeyError, RecursionError):
        found = None
    if not isinstance(found, str) or not found.strip():
        raise UsageError(
            f'line {number} of {shown} has no "prompt"', 'write {"prompt": "..."}, or plain text'
        )
    return found


def answers(
    here: Installation,
    references: Sequence[str],
    options: AnswersOptions,
    *,
    on_progress: Callable[[str, int, int], None] | None = None,
    on_loading: OnProgress | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> tuple[VariantAnswers, ...]:
    """Greedy answers of each model, each loaded once; the first is what the others are held
    against. ``on_progress`` gets model, prompts that are answered, and all.

    Raises: as :func:`gemmahub.service.running.load`; UsageError, NotFound.
    """
    prompts = read_prompts(options.prompts)
    for name in (*references, *filter(None, [options.judge])):
        scorable(here, name)
    tell = on_progress or (lambda *_: None)

    def given(name: str, asked: Sequence[str], most: int) -> VariantAnswers:
        running = load(
            here, name, backend=options.backend, on_progress=on_loading, on_stage=on_stage,
            alone=False, draft=False,
        )  # fmt: skip
        with running.session as session:
            found = []
            for number, prompt in enumerate(asked):
                tell(one_line(running.variant.name), number, len(asked))
                found.append(_answer(session, prompt, most))
        variant = running.variant
        label = variant.precision.summary
        return VariantAnswers(variant.reference, label, session.info.engine, tuple(found))

    found = [given(name, prompts, options.max_tokens) for name in references]
    judge, verdicts = options.judge, [[""] * len(prompts) for _ in found]
    if judge is not None:
        verdicts = judged(found, prompts, lambda asked: given(judge, asked, _VERDICT_TOKENS))
    held = zip(found[1:], verdicts[1:], strict=True)
    return (found[0], *(held_against(found[0], each, prompts, said) for each, said in held))


def _answer(session: Session, prompt: str, most: int) -> GivenAnswer:
    asked: Prompt = [Message("user", prompt)]
    text, tokens, seconds = "", 0, 0.0
    for chunk in session.generate(asked, Sampling(temperature=0.0, max_tokens=most)):
        if chunk.kind is ChunkKind.ANSWER:
            text += chunk.text
        if chunk.usage is not None:
            usage = chunk.usage
            tokens, seconds = usage.tokens or 0, usage.decode_seconds or 0.0
    return GivenAnswer(text, tokens, seconds)


def held_against(
    first: VariantAnswers, other: VariantAnswers, prompts: Sequence[str], better: Sequence[str]
) -> VariantAnswers:
    """Answers with their differences from the first variant's; ``better`` is what a judge said."""
    rows = []
    for prompt, one, two, said in zip(prompts, first.answers, other.answers, better, strict=True):
        place = first_difference(one.text, two.text)
        beginning = slice(place, None if place is None else place + _SHOWN)
        ends = ("", "") if place is None else (one.text[beginning], two.text[beginning])
        rows.append(AnswerDifference(prompt, place, *ends, better=said))
    return VariantAnswers(
        other.reference, other.precision, other.engine, other.answers, tuple(rows)
    )


def first_difference(one: str, two: str) -> int | None:
    """After how many characters two texts differ, None where they do not."""
    if one == two:
        return None
    pairs = enumerate(zip(one, two, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(two)))


def judged(
    found: Sequence[VariantAnswers],
    prompts: Sequence[str],
    ask: Callable[[Sequence[str]], VariantAnswers],
) -> list[list[str]]:
    """What a judge says of each pair: asked twice, with the answers the other way round, as judges
    prefer the place of an answer to what it says; who does not stay with it finds them the same."""
    questions: list[str] = []
    for other in found[1:]:
        for prompt, one, two in zip(prompts, found[0].answers, other.answers, strict=True):
            if one.text != two.text:
                questions.append(_question(prompt, one.text, two.text))
                questions.append(_question(prompt, two.text, one.text))
    said = iter([answer.text.strip() for answer in ask(questions).answers] if questions else [])
    verdicts: list[list[str]] = [[""] * len(prompts)]
    for other in found[1:]:
        pairs = zip(found[0].answers, other.answers, strict=True)
        verdicts.append(
            [
                _NEITHER if one.text == two.text else _verdict(next(said), next(said))
                for one, two in pairs
            ]
        )
    return verdicts


def _question(prompt: str, one: str, two: str) -> str:
    return (
        f"Question:\n{prompt}\n\nAnswer 1:\n{one}\n\nAnswer 2:\n{two}\n\n"
        "Which answer is better? Say only 1 or 2, or 0 where neither is."
    )


def _verdict(straight: str, turned: str) -> str:
    if straight.startswith(_ONE) and turned.startswith(_OTHER):
        return "first"
    if straight.startswith(_OTHER) and turned.startswith(_ONE):
        return "other"
    return _NEITHER

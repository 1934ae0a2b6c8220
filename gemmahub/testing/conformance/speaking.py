"""Tests of what backends may understand and say besides text: thoughts, tools, forms, sounds."""

from __future__ import annotations

import json
import wave
from typing import TYPE_CHECKING, Any, Final

import pytest

from gemmahub.engines.contract import FinishReason, Message, Sampling, Tool, ToolCall
from gemmahub.errors import BackendError
from gemmahub.testing.conformance.kit import GREEDY, Kit, demand, only_backend_errors, read

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import Artifact, Backend, Session
    from gemmahub.engines.manager import BackendOffer

TOOL: Final = Tool(
    "look_up",
    "Find the height of a mountain, in metres.",
    {
        "type": "object",
        "properties": {"mountain": {"type": "string"}},
        "required": ["mountain"],
    },
)
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
}
GRAMMAR: Final = 'root ::= "yes" | "no"'


class SpeakingTests(Kit):
    """Tests of ``thinking``, ``tools``, ``schema``, ``grammar``, ``audio`` and ``parallel``."""

    def test_thoughts_are_chunks_of_their_own(self, backend: Backend, session: Session) -> None:
        """They are not part of the answer, and there are none where they are switched off."""
        demand(backend, "thinking")
        asked = [Message("user", self.prompt)]
        if not self.thinks:
            with pytest.raises(BackendError):
                self.ask(session, asked, thinking=True)
            return
        thought = self.ask(session, asked, thinking=True, max_tokens=256)
        assert thought.reasoning, "no chunk of the kind reasoning came"
        assert thought.reasoning not in thought.text, "the thought is part of the answer"
        assert thought.usage.reasoning_tokens != 0
        plain = self.ask(session, asked, thinking=False, max_tokens=256)
        assert not plain.reasoning, "the model thought although thinking was off"
        assert not plain.usage.reasoning_tokens

    def test_thoughts_have_a_budget(self, backend: Backend, session: Session) -> None:
        """A whole number is the most tokens of them."""
        demand(backend, "thinking")
        asked = [Message("user", self.prompt)]
        if not self.thinks:
            with pytest.raises(BackendError):
                self.ask(session, asked, thinking=2)
            return
        short = self.ask(session, asked, thinking=2, max_tokens=256)
        whole = self.ask(session, asked, thinking=True, max_tokens=256)
        assert len(short.reasoning) < len(whole.reasoning), "the budget changes nothing"
        assert (short.usage.reasoning_tokens or 0) <= 2

    def test_a_tool_is_called(self, backend: Backend, session: Session) -> None:
        """The call comes whole, as a chunk of its kind, and ends the answer."""
        demand(backend, "tools")
        asked = [Message("user", self.tool_prompt)]
        if not self.calls:
            with pytest.raises(BackendError):
                self.ask(session, asked, tools=(TOOL,))
            return
        answer = self.ask(session, asked, tools=(TOOL,), max_tokens=256)
        assert answer.calls, "no call came; choose another tool_prompt"
        for call in answer.calls:
            assert call.name == TOOL.name
            assert isinstance(json.loads(call.arguments), dict), "arguments are a JSON object"
            assert call.id, "a call has an id, which its result names"
        assert answer.usage.finish_reason is FinishReason.TOOL_CALLS

    def test_the_result_of_a_tool_is_taken(self, backend: Backend, session: Session) -> None:
        """The conversation goes on with it."""
        demand(backend, "tools")
        call = ToolCall("call-1", TOOL.name, '{"mountain": "K2"}')
        asked = [
            Message("user", self.tool_prompt),
            Message("assistant", "", tool_calls=(call,)),
            Message("tool", "8611", tool_call_id=call.id),
        ]
        if not self.calls:
            with pytest.raises(BackendError):
                self.ask(session, asked, tools=(TOOL,))
            return
        assert self.ask(session, asked, tools=(TOOL,), max_tokens=64).text, "no answer came"

    def test_an_answer_keeps_to_a_schema(self, backend: Backend, session: Session) -> None:
        """It is JSON with what the schema demands."""
        demand(backend, "schema")
        asked = [Message("user", self.prompt)]
        answer = self.ask(session, asked, schema=SCHEMA, max_tokens=256)
        found = json.loads(answer.text)
        assert isinstance(found["city"], str)
        assert type(found["people"]) is int

    def test_an_answer_keeps_to_a_grammar(self, backend: Backend, session: Session) -> None:
        """It is one of the two texts that the grammar allows."""
        demand(backend, "grammar")
        answer = self.ask(session, [Message("user", self.prompt)], grammar=GRAMMAR)
        assert answer.text in ("yes", "no")

    def test_sound_is_part_of_the_prompt(
        self, backend: Backend, session: Session, tmp_path: Path
    ) -> None:
        """It takes tokens of the context, as far as they are told; what is none is refused."""
        demand(backend, "audio")
        if session.info.audio is not True:
            pytest.skip("this model does not support audio (info.audio)")
        sound = tmp_path / "sound.wav"
        with wave.open(str(sound), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(bytes(32_000))
        plain = self.ask(session, [Message("user", self.prompt)]).usage
        heard = self.ask(session, [Message("user", self.prompt, audio=(sound,))]).usage
        if plain.prompt_tokens is not None and heard.prompt_tokens is not None:
            assert heard.prompt_tokens > plain.prompt_tokens, "the audio uses no context"
        sound.write_bytes(b"no sound")
        with only_backend_errors("a broken audio file") as caught:
            self.ask(session, [Message("user", self.prompt, audio=(sound,))])
        assert caught, "a broken audio file was accepted silently"

    def test_several_answers_at_once(
        self, backend: Backend, offer: BackendOffer, model: Artifact
    ) -> None:
        """One goes on while another one is answered; the same through the worker process."""
        demand(backend, "parallel")
        from gemmahub.engines.choice import load_session

        for load in (backend.load, lambda m, s: load_session(offer, m, s)):
            with load(model, self.settings(parallel=2)) as session:
                expected = self.ask(session).text
                wanted = Sampling(max_tokens=16, temperature=GREEDY)
                first = iter(session.generate(self.said(self.prompt), wanted))
                begun = next(first)
                assert self.ask(session).text == expected, "the second answer is another one"
                assert begun.text + read(first).text == expected, "the first one stopped"

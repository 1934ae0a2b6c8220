"""Answers that keep to a form: grammars and JSON schemas, by llama.cpp's own sampler."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Sampling
from gemmahub.errors import FormRefused

if TYPE_CHECKING:
    from gemmahub_llamacpp.session import LlamaCppSession

PROMPT = "The capital of France is"


def answer(session: LlamaCppSession, **sampling: Any) -> str:
    settings = Sampling(**{"max_tokens": 200, "temperature": 0, **sampling})
    return "".join(chunk.text for chunk in session.generate(PROMPT, settings))


def test_a_token_that_a_grammar_refuses_gives_way_to_one_that_it_allows(
    session: LlamaCppSession,
) -> None:
    plain = answer(session, max_tokens=8)
    assert answer(session, grammar=r"root ::= [\x00-\U0010FFFF]*", max_tokens=8) == plain
    assert answer(session, grammar='root ::= " Lyon" | " Marseille"') in (" Lyon", " Marseille")
    assert answer(session, max_tokens=8) == plain  # nothing of it is left


@pytest.mark.parametrize("seed", range(4))
def test_a_schema_is_kept_at_any_temperature(session: LlamaCppSession, seed: int) -> None:
    kinds = {"enum": ["city", "river", "Stra\u00dfe \U0001f600"]}
    schema = {
        "type": "object",
        "properties": {
            "kind": kinds,
            "many": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
            "open": {"type": "boolean"},
            "note": {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 5}]},
        },
        "required": ["kind", "many", "open", "note"],
        "additionalProperties": False,
    }
    found = json.loads(answer(session, schema=schema, temperature=1.0, seed=seed))
    assert set(found) == {"kind", "many", "open", "note"}
    assert found["kind"] in kinds["enum"]
    assert 2 <= len(found["many"]) <= 3
    assert all(type(number) is int for number in found["many"])
    assert type(found["open"]) is bool
    assert found["note"] is None or len(found["note"]) <= 5


@pytest.mark.parametrize(
    "form",
    [
        {"grammar": "root := what"},
        {"grammar": 'other ::= "yes"'},
        {"grammar": "root ::= missing"},
        {"schema": {"$ref": "http://127.0.0.1:9/city"}},
        {"schema": {"type": "string", "pattern": "^(?=a)b$"}},
    ],
)
def test_what_is_not_a_form_is_refused_and_the_session_lives_on(
    session: LlamaCppSession, form: dict[str, Any]
) -> None:
    told = "cannot use this grammar" if "grammar" in form else "cannot constrain an answer"
    with pytest.raises(FormRefused, match=told):
        answer(session, **form)
    assert answer(session, max_tokens=4)

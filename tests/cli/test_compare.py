"""``gemmahub compare``: its JSON, its table on terminals of several widths, what it refuses."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest

Command = Any

QAT, PTQ = "gemma-3-12b-it:q4_0-qat", "gemma-3-12b-it:q4_k_m"
THIRD = "gemma-4-26b-a4b-it:ud-q4_k_xl-qat"
UNMEASURED = "gemma-4-e2b-it:q4_k_m"
MACHINE = ("--memory", "12GiB", "--ram", "32GiB")


def on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, command: Command, columns: int, *arguments: str
) -> str:
    """What it writes where standard output is a terminal of so many columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    result = command("compare", *arguments)
    assert result.code == 0, result
    text: str = result.out
    return text


def plain(text: str) -> list[str]:
    return re.sub(r"\x1b\[[\d;]*m", "", text).split("\n")


def test_json(command: Command) -> None:
    result = command("compare", QAT, UNMEASURED, *MACHINE, "--json")
    assert result.code == 0, result
    found = json.loads(result.out)
    assert set(found) == {"machine", "use", "variants", "differences"}
    assert found["machine"]["simulated"] is True
    first, second = found["variants"]
    assert set(first) == set(second) == {
        "reference", "name", "format", "parameters", "size_bytes", "installed", "remote",
        "precision", "precision_by_role", "fit", "contexts", "largest_contexts", "gpu_layers",
        "memory_basis", "settings", "placement", "tokens_per_second", "tokens_per_second_low",
        "tokens_per_second_high", "seconds_to_first_token_1000",
        "seconds_to_first_token_1000_low", "seconds_to_first_token_1000_high",
        "seconds_to_read_context", "seconds_to_read_context_low", "seconds_to_read_context_high",
        "speed_basis", "quality", "quality_loss", "quality_basis", "measured",
    }  # fmt: skip
    assert first["precision_by_role"][0] == {
        "role": "embedding", "share": 0.0856, "types": ["F16"], "bits_per_weight": 16.0,
    }  # fmt: skip
    plan = json.loads(command("plan", QAT, "-c", 16384, *MACHINE, "--json").out)
    at = {(c["context"], c["cache_type"]): c for c in first["contexts"]}
    assert at[16384, "f16"]["total_bytes"] == plan["memory"]["total_bytes"]
    assert at[16384, "f16"]["headroom_bytes"] == plan["headroom_bytes"]
    assert first["largest_contexts"] == plan["largest_contexts"]
    assert first["memory_basis"].startswith("formula, llama.cpp")
    assert second["contexts"] == second["precision_by_role"] == []
    assert second["fit"]["fits"] is None
    assert second["settings"] is None
    (difference,) = found["differences"]
    assert (difference["reference"], difference["against"]) == (UNMEASURED, QAT)
    assert any("not measured" in word for word in difference["words"])


def test_in_a_pipe_each_row_is_one_line(command: Command) -> None:
    result = command("compare", QAT, PTQ, THIRD, *MACHINE)
    assert result.code == 0
    assert "\x1b" not in result.out
    rows = result.out.split("\n")
    assert rows[0].startswith(f"A  {QAT} · Gemma 3 12B")
    (at_most,) = [line.split() for line in rows if line.startswith("  at most q8_0")]
    assert at_most[:3] == ["at", "most", "q8_0"]
    assert any(re.match(r"  precision +Q4_0 int4 QAT +Q4_K_M int4 +UD-Q4_K_XL", r) for r in rows)
    assert any(line.startswith("C against A: ") for line in rows)
    assert "* best in its row" in rows


@pytest.mark.parametrize("columns", [120, 80, 60, 40, 24])
def test_it_fits_the_terminal(
    monkeypatch: pytest.MonkeyPatch, command: Command, columns: int
) -> None:
    text = on_a_terminal(monkeypatch, command, columns, QAT, PTQ, THIRD, *MACHINE)
    assert "\x1b[1m" in text
    lines = plain(text)
    # Nothing but a reference that is longer than the terminal itself may be.
    assert max(map(len, lines)) <= max(columns, len(THIRD) + 3)
    headings = [line.split() for line in lines if re.fullmatch(r" +A?( +B)?( +C)? *", line)]
    letters = [word for heading in headings for word in heading]
    assert letters == ["A", "B", "C"]  # side by side, or one below the other
    assert (len(headings) == 1) == (columns >= 80)
    text = " ".join(" ".join(lines).split())
    assert "embedding in Q6_K against F16" in text


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in on_a_terminal(monkeypatch, command, 80, QAT, PTQ, *MACHINE)


def test_a_name_without_a_variant_is_announced(command: Command) -> None:
    result = command("compare", "gemma-3-12b-it", PTQ, "--machine", "rtx-3090", "--use", "fast")
    assert result.code == 0, result
    assert "gemma-3-12b-it -> Q4_0 int4 QAT" in result.err
    assert result.out.startswith(f"A  {QAT}")
    assert "PC with an RTX 3090, 24 GB" in result.out
    assert "936 GB/s" in result.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "give two or more variants"),
        ((QAT,), 2, "give two or more variants"),
        ((QAT, QAT), 2, "was given twice"),
        ((QAT, "hf.co/google/gemma-3-12b-it-qat-q4_0-gguf:Q4_0"), 2, "are the same variant"),
        ((QAT, "gemma-3-12b-it:q9"), 3, "has no variant"),
        ((QAT, PTQ, "--machine", "abacus"), 2, "Known:"),
        ((QAT, PTQ, "--memory", "24"), 2, "has no unit"),
        ((QAT, "two words"), 2, "is not a model reference"),
    ],
)
def test_bad_input(command: Command, arguments: tuple[str, ...], code: int, words: str) -> None:
    result = command("compare", *arguments)
    assert result.code == code, result
    assert words in result.err
    assert "hint:" in result.err

"""Files with presets, and Modelfiles, as ``gemmahub presets import`` reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from gemmahub.service.presets.exchange import exported, read_presets
from gemmahub.text import strip_controls

if TYPE_CHECKING:
    from pathlib import Path

JSON: Final[dict[str, Any]] = {
    "gemmahub_presets": 1,
    "presets": {
        "coder": {
            "model": "gemma-3-4b-it",
            "context": 8192,
            "temperature": 0.5,
            "stop": ["a"],
            "options": {"a": "b"},
            "system": "Be\nbrief.",
            "think": True,
        }
    },
}
TOML: Final = """\
gemmahub_presets = 1
[presets.coder]
model = "gemma-3-4b-it"
context = 8192
system = \"\"\"Be
brief.\"\"\"
stop = ["a"]
tools = "/etc/passwd"
"""
MODELFILE: Final = """\
# mine
FROM gemma3:4b
PARAMETER num_ctx 4096
PARAMETER temperature 0.7
PARAMETER stop "<end>"
SYSTEM \"\"\"You are
a pirate.\"\"\"
TEMPLATE \"\"\"{{ .Prompt }}\"\"\"
MESSAGE user hello
ADAPTER ./x.gguf
"""


def read(raw: bytes, folder: Path) -> None:
    """What is taken has to be harmless, and what is exported has to be taken again."""
    path = folder / "presets"
    path.write_bytes(raw)
    offered = read_presets(path)
    for one in offered:
        if "tools" in one.preset.values or "system_file" in one.preset.values:
            raise AssertionError("a file of this machine was taken")
        if strip_controls(one.preset.model) != one.preset.model:
            raise AssertionError("a control character is in a model's name")
        json.dumps(one.as_json())
        _ = one.preset.shown(), one.preset.system()
    for form in ("toml", "json"):
        text, _ = exported([one.preset for one in offered], form, paths=True)
        path.write_text(text, encoding="utf-8", newline="")
        again = read_presets(path, paths=True)
        if [dict(one.preset.values) for one in again] != [
            dict(one.preset.values) for one in offered
        ]:
            raise AssertionError("an export says something else")

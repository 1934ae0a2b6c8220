"""What ``gemma`` prints: dots while it reads the prompt, the answer, and its figures.

Source: google/gemma.cpp gemma/run.cc@70184189 and ``TimingInfo`` of gemma/gemma.h@70184189, with
``--verbosity 1`` and ``--prompt_file``: on standard output a dot for each token of the prompt, an
empty line, the answer without white space before it, and an empty line; on standard error the
times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_PREFILL: Final = re.compile(r"Prefill: (\d{1,12}) ms for (\d{1,12}) prompt tokens")
_GENERATE: Final = re.compile(r"Generate: (\d{1,12}) ms for (\d{1,12}) tokens")
_END: Final = "\n\n"


class AnswerText:
    """Takes the text of the standard output, gives the answer's own, and counts the dots."""

    def __init__(self) -> None:
        self.prompt_tokens = 0
        self._before = ""
        self._held = ""
        self._begun = False

    def feed(self, text: str) -> str:
        """What can be shown of it: the empty line at the end never is."""
        if not self._begun:
            self._before += text
            dots = len(self._before) - len(self._before.lstrip("."))
            rest = self._before[dots:]
            if len(rest) < len(_END) and _END.startswith(rest):
                return ""  # still reading, or half of what follows
            self.prompt_tokens, self._begun = dots, True
            text = rest.removeprefix(_END)
        text = self._held + text
        # Line breaks at the end may be the program's own; more text shows that they are not.
        shown = text.rstrip("\n")
        self._held = text[len(shown) :]
        return shown

    def finish(self) -> str:
        """Line breaks of the answer before the program's own two."""
        return self._held[: -len(_END)] if len(self._held) > len(_END) else ""


@dataclass(slots=True)
class Timing:
    """The program's own counts and times (in seconds); None for what it did not say."""

    prompt_tokens: int | None = None
    prefill_seconds: float | None = None
    tokens: int | None = None
    decode_seconds: float | None = None

    def take(self, line: str) -> None:
        """Look at a line of the log."""
        if match := _PREFILL.search(line):
            self.prefill_seconds, self.prompt_tokens = int(match[1]) / 1000, int(match[2])
        elif match := _GENERATE.search(line):
            self.decode_seconds, self.tokens = int(match[1]) / 1000, int(match[2])

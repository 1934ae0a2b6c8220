"""How a conversation is held: system prompt, sampling, tools, context."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Select, Static, TextArea

from gemmahub.conversations import COMPLETION_TOKENS
from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.tui.bindings import named
from gemmahub.tui.screens.chat_files import tools_in
from gemmahub.tui.screens.dialogs import DIALOGS_CSS

if TYPE_CHECKING:
    from pathlib import Path

    from textual.app import ComposeResult

    from gemmahub.engines.contract import Sampling, Settings, Tool


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """What the dialog changes. Other ``settings`` mean that the model is loaded again.
    ``tools_file`` is the file of its tools, None where none was named here."""

    system: str
    sampling: Sampling
    settings: Settings
    tools_file: Path | None = None


@dataclass(frozen=True, slots=True)
class _Field:
    """A number of :class:`Sampling` or the context; empty stands for ``usual``."""

    name: str
    label: str
    whole: bool
    least: float
    most: float
    usual: str


FULL: Final = "until the context is full"
SERVED: Final = "what its server allows"
"""How long an answer may be where nobody says it."""

_FIELDS: Final = (
    _Field("temperature", "Temperature", False, 0, 100, "1.0"),
    _Field("top_k", "Top k", True, 0, 1 << 30, "none"),
    _Field("top_p", "Top p", False, 0, 1, "none"),
    _Field("min_p", "Min p", False, 0, 1, "none"),
    _Field("seed", "Seed", True, 0, 2**32 - 2, "by chance"),
    _Field("max_tokens", "Longest answer, tokens", True, 1, 1 << 30, FULL),
    _Field("budget", "Longest thought, tokens", True, 1, 1 << 30, "as the answer"),
    _Field("context", "Context, tokens (loads again)", True, 1, 1 << 30, "as planned"),
)


class ChatOptionsScreen(ModalScreen[ChatOptions | None]):
    """A form; Ctrl+S accepts what makes sense, and says what does not."""

    CSS_PATH = DIALOGS_CSS
    CSS = """
    ChatOptionsScreen {
        #options { height: auto; max-height: 100%; }
        .row { height: 1; margin: 0 0 0 0; }
        .row Label { width: 32; }
        .row Input { border: none; height: 1; width: 1fr; padding: 0 1; background: $boost; }
        .row Input:focus { border: none; background: $primary-muted; }
        .row Select { height: 1; width: 1fr; }
        #system { height: 3; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = named(
        "chat-options",
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("ctrl+s", "accept", "Accept"),
    )

    def __init__(self, options: ChatOptions, *, plain: bool = False, served: bool = False) -> None:
        """``plain``: the model completes texts, which end at a length of their own; ``served``: a
        server decides how long its answers may be."""
        super().__init__(classes="dialog")
        self._options = options
        self._plain = plain
        self._served = served

    def compose(self) -> ComposeResult:
        options = self._options
        with VerticalScroll(id="options", classes="dialog--box"):
            yield Static(Content("System prompt and sampling"), classes="dialog--title")
            yield Label(Content("System prompt: what the model should know beforehand"))
            yield TextArea(options.system, id="system", soft_wrap=True, tab_behavior="focus")
            for field in _FIELDS:
                with Horizontal(classes="row"):
                    yield Label(Content(field.label))
                    yield Input(self._value(field), placeholder=self._usual(field), id=field.name)
            with Horizontal(classes="row"):
                yield Label(Content("Think before answering"))
                yield Select(
                    [("no", False), ("yes", True)],
                    value=bool(options.sampling.thinking),
                    allow_blank=False,
                    id="thinking",
                    compact=True,
                )
            with Horizontal(classes="row"):
                yield Label(Content("Tools, a JSON file of functions"))
                yield Input(self._tools, placeholder="none", id="tools")
            with Horizontal(classes="row"):
                yield Label(Content("KV cache (loads again)"))
                yield Select(
                    [(kind, kind) for kind in USUAL_CACHE_TYPES],
                    value=self._cache_type(),
                    allow_blank=False,
                    id="cache_type",
                    compact=True,
                )
            yield Static("", classes="dialog--error")
            yield Static(Content("Ctrl+S accepts, Esc cancels"), classes="dialog--keys")

    def action_accept(self) -> None:
        """Hand the options back, or say which of them makes no sense."""
        values: dict[str, Any] = {}
        for field in _FIELDS:
            text = self.query_one(f"#{field.name}", Input).value.strip()
            try:
                values[field.name] = _number(field, text)
            except ValueError:
                kind = "a whole number" if field.whole else "a number"
                self._refuse(field, f"{kind} from {field.least:,} to {field.most:,}")
                return
        context, budget = values.pop("context"), values.pop("budget")
        thinks = self.query_one("#thinking", Select).value is True
        values["thinking"] = (budget or True) if thinks else None
        if values["temperature"] is None:
            values["temperature"] = 1.0
        kind = str(self.query_one("#cache_type", Select).value)
        settings = replace(
            self._options.settings, context=context, cache_type_k=kind, cache_type_v=kind
        )
        try:
            values["tools"], tools_file = self._chosen_tools()
        except ValueError as error:
            self._say(f"Tools: {error}", "tools")
            return
        sampling = replace(self._options.sampling, **values)
        system = self.query_one("#system", TextArea).text.strip()
        self.dismiss(ChatOptions(system, sampling, settings, tools_file))

    @on(Input.Submitted)
    def _submit(self) -> None:
        self.action_accept()

    def _refuse(self, field: _Field, wanted: str) -> None:
        self._say(f"{field.label}: {wanted}; empty: {self._usual(field)}", field.name)

    def _say(self, wrong: str, name: str) -> None:
        self.query_one(".dialog--error", Static).update(Content(wrong))
        self.query_one(f"#{name}", Input).focus()

    @property
    def _tools(self) -> str:
        """What stands for the tools that there are: their file, or their names."""
        options = self._options
        names = ", ".join(tool.name for tool in options.sampling.tools)
        return str(options.tools_file) if names and options.tools_file else names

    def _chosen_tools(self) -> tuple[tuple[Tool, ...], Path | None]:
        """Raises: ValueError for a file that holds none."""
        text = self.query_one("#tools", Input).value.strip()
        if text == self._tools:
            return self._options.sampling.tools, self._options.tools_file
        if not text:
            return (), None
        path, tools = tools_in(self.app, text)
        return tools, path

    def _usual(self, field: _Field) -> str:
        """What holds where nothing is said."""
        if field.name != "max_tokens":
            return field.usual
        if self._plain:
            return str(COMPLETION_TOKENS)
        return SERVED if self._served else FULL

    def _value(self, field: _Field) -> str:
        if field.name == "budget":
            thinking = self._options.sampling.thinking
            return str(thinking) if thinking and thinking is not True else ""
        source = self._options.settings if field.name == "context" else self._options.sampling
        value = getattr(source, field.name)
        return "" if value is None else str(value)

    def _cache_type(self) -> str:
        kind = self._options.settings.cache_type_k
        return kind if kind in USUAL_CACHE_TYPES else USUAL_CACHE_TYPES[0]


def _number(field: _Field, text: str) -> float | int | None:
    """Raises: ValueError."""
    if not text:
        return None
    value = int(text.replace(",", "")) if field.whole else float(text)
    if not field.least <= value <= field.most:
        raise ValueError(text)
    return value

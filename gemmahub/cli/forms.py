"""In which form an answer is printed: for people, as JSON, as CSV or Markdown, or names alone.

A command has the options by :func:`answer_options`, and gives its answer to :meth:`Form.answer`; it
does not ask which form it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Final

import click

from gemmahub.cli import output
from gemmahub.cli.row_views import ROW_VIEWS
from gemmahub.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE, JSON, CSV, MARKDOWN, NAMES = "table", "json", "csv", "markdown", "names"
FORMATS: Final = (TABLE, JSON, CSV, MARKDOWN)

json_option = click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="How to print it.  [default: table]",
)


@dataclass(frozen=True, slots=True)
class Form:
    """The form that was asked for, of a command in ``ROW_VIEWS``."""

    kind: str
    command: str

    @property
    def is_table(self) -> bool:
        """Whether people read it, and may be told more on the way."""
        return self.kind == TABLE

    def of(self, command: str) -> Form:
        """The same for another answer of the command."""
        return replace(self, command=command)

    def answer(self, value: Callable[[], Any], show: Callable[[], None]) -> None:
        """Print an answer: ``value`` makes its JSON, ``show`` prints it for people."""
        if self.kind == TABLE:
            show()
        elif self.kind == JSON:
            output.json_data(value())
        else:
            self._rows(value())

    def _rows(self, value: Any) -> None:
        from gemmahub.text import one_line
        from gemmahub.text.rows import as_csv, as_markdown

        view = ROW_VIEWS[self.command]
        if self.kind == NAMES:
            for name in view.quiet_names(value):
                output.data(one_line(name, 4096))
            return
        if self.kind == CSV:
            output.data(as_csv(view.names, view.cells(value)), end="")
        else:
            main = view.main
            output.data(as_markdown(main.names, main.cells(value)), end="")


def form_of(
    command: str, *, as_json: bool = False, format_: str | None = None, quiet: bool = False
) -> Form:
    """The form that these options ask for. Raises: UsageError where they ask for two."""
    asked = [
        name
        for name, given in (("--json", as_json), ("--format", format_), ("--quiet", quiet))
        if given
    ]
    if as_json and format_ == JSON:
        asked.remove("--json")
    if len(asked) > 1:
        raise UsageError(f"{asked[0]} and {asked[1]} are two forms", "choose one of them")
    return Form(JSON if as_json else NAMES if quiet else format_ or TABLE, command)


def answer_options(command: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--format``, ``--json`` and, where there are names, ``--quiet``; the function gets them as
    ``form``."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def with_form(
            *arguments: Any, as_json: bool, format_: str | None, quiet: bool = False, **rest: Any
        ) -> Any:
            form = form_of(command, as_json=as_json, format_=format_, quiet=quiet)
            return function(*arguments, form=form, **rest)

        wrapped: Callable[..., Any] = update_wrapper(with_form, function)
        if ROW_VIEWS[command].quiet:
            wrapped = click.option("-q", "--quiet", is_flag=True, help="Print names only.")(wrapped)
        return format_option(json_option(wrapped))

    return decorate

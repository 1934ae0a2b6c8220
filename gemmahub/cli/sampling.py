"""Options of commands that sample answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from gemmahub.cli.thinking import thinking_of
from gemmahub.engines.contract import Sampling
from gemmahub.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.contract import Tool

Command = TypeVar("Command", bound="Callable[..., Any]")

_OPTIONS: Final = (
    click.option(
        "-n", "--max-tokens", type=click.IntRange(min=1), help="Longest answer, in tokens."
    ),
    click.option(
        "--temperature",
        type=click.FloatRange(min=0),
        default=1.0,
        show_default=True,
        help="Sampling temperature; 0 always takes the most probable token.",
    ),
    click.option(
        "--top-k",
        type=click.IntRange(min=0),
        default=64,
        show_default=True,
        help="Sample from this many of the most probable tokens; 0: from all.",
    ),
    click.option(
        "--top-p",
        type=click.FloatRange(0, 1),
        default=0.95,
        show_default=True,
        help="Sample from the tokens that have this probability together.",
    ),
    click.option(
        "--min-p",
        type=click.FloatRange(0, 1),
        help="Leave out tokens below this share of the most probable one.",
    ),
    click.option("--seed", type=click.IntRange(0, 2**32 - 2), help="Seed for repeatable answers."),
    click.option(
        "--stop",
        multiple=True,
        metavar="TEXT",
        help="End the answer before this text (repeatable).",
    ),
)


def sampling_options(command: Command) -> Command:
    """Adds the options that :func:`sampling_of` reads, but those of thoughts, tools and schemas."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def sampling_of(options: dict[str, Any]) -> Sampling:
    """How a person wants answers to be chosen. Raises: UsageError."""
    schema = None
    if options["schema"] is not None:
        from gemmahub.service.structured import schema_of

        schema = schema_of(options["schema"])
    tools: tuple[Tool, ...] = ()
    if options["tools"] is not None:
        from gemmahub.service.tools import tools_of

        tools = tools_of(options["tools"])
    thinking = thinking_of(options["think"], options["think_budget"])
    if tools and options["raw"]:
        raise UsageError("plain completion cannot use tools", "leave out --raw")
    if tools and schema is not None:
        raise UsageError("a schema and tools cannot be combined", "leave out one of them")
    if thinking and options["raw"]:
        raise UsageError("plain completion cannot think", "leave out --raw")
    if thinking and schema is not None:
        raise UsageError("a schema and thinking cannot be combined", "leave out one of them")
    return Sampling(
        max_tokens=options["max_tokens"],
        temperature=options["temperature"],
        top_k=options["top_k"],
        top_p=options["top_p"],
        min_p=options["min_p"],
        seed=options["seed"],
        stop=tuple(options["stop"]),
        thinking=thinking,
        schema=schema,
        tools=tools,
    )

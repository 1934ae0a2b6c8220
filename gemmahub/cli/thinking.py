"""Options of commands that let a model think before it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from gemmahub.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

Command = TypeVar("Command", bound="Callable[..., Any]")


def thinking_options(command: Command) -> Command:
    """Adds ``--think``, ``--no-think`` and ``--think-budget``; see :func:`thinking_of`."""
    limit = click.option(
        "--think-budget",
        type=click.IntRange(min=1),
        metavar="TOKENS",
        help="Most tokens to think.",
    )
    switch = click.option("--think/--no-think", default=None, help="Think before answering [no].")
    return switch(limit(command))


def thinking_of(think: bool | None, budget: int | None) -> bool | int | None:
    """As :attr:`gemmahub.engines.contract.Sampling.thinking`; None where nothing is said.

    Raises: UsageError for a budget without thoughts.
    """
    if budget is None:
        return think
    if think is False:
        raise UsageError(
            "--no-think and --think-budget cannot be combined", "leave out one of the two"
        )
    return budget

"""``--filter`` and ``--sort``: which models a list shows, and in which order."""

from __future__ import annotations

from functools import update_wrapper
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

_filter_option = click.option(
    "--filter",
    "filter_",
    metavar="CONDITION,...",
    help="Only models that meet all conditions: 'bits<5,size<8GB,fits'.",
)
_sort_option = click.option(
    "--sort",
    metavar="KEY,...",
    help="Sort by bits, size, params, name ...; -KEY: from high to low.",
)


def selection_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--filter`` and ``--sort``; the function gets them as ``selection``."""

    def with_selection(*arguments: Any, filter_: str | None, sort: str | None, **rest: Any) -> Any:
        from gemmahub.service.model_filter import selection_of

        return function(*arguments, selection=selection_of(filter_, sort), **rest)

    wrapped: Callable[..., Any] = update_wrapper(with_selection, function)
    return _filter_option(_sort_option(wrapped))

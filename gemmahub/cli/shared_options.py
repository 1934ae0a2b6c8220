"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from gemmahub.formats.ggml_types import CACHE_TYPES
from gemmahub.recommend.goals import USES

if TYPE_CHECKING:
    from collections.abc import Callable

MACHINE_HELP: Final = (
    'Plan for another machine: rtx-3090, "2x rtx-3090", "4x h100, 2 nodes", hosts.'
)


def _shares(_: click.Context, __: click.Parameter, value: str | None) -> tuple[float, ...]:
    if value is None:
        return ()
    from gemmahub.errors import UsageError
    from gemmahub.memory import check_split
    from gemmahub.text import one_line

    try:
        found = tuple(float(share) for share in value.split(","))
    except ValueError:
        raise UsageError(
            f"{one_line(value, 60)!r} is not a list of GPU shares",
            "separate the shares with commas: 3,1",
        ) from None
    check_split(found)
    return found


cache_type_option: Callable[[Any], Any] = click.option(
    "--cache-type",
    type=click.Choice(CACHE_TYPES),
    default="f16",
    show_default=True,
    help="Precision of the KV cache.",
)
use_option: Callable[[Any], Any] = click.option(
    "--use",
    type=click.Choice(USES),
    default="chat",
    show_default=True,
    help="What the model is for.",
)
split_option: Callable[[Any], Any] = click.option(
    "--tensor-split",
    metavar="SHARES",
    callback=_shares,
    help="Share of each GPU, in their order: 3,1 [by free memory].",
)
"""How several GPUs share the layers."""

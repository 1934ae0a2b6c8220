"""The options that say what drafts tokens for a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable


def draft_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--draft/--no-draft`` and ``--drafter``."""
    file = click.option(
        "--drafter",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="The draft head, or a small model with the same vocabulary.",
    )
    wanted = click.option(
        "--draft/--no-draft",
        "draft",
        default=None,
        help="Use the model's draft head [if measured to be faster].",
    )
    return wanted(file(command))

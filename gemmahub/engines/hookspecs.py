"""The hooks of gemmahub. Each returns records; none needs its arguments imported.

A plugin names its module under the entry-point group ``gemmahub`` and marks functions with
``gemmahub.hookimpl``. Keep the module light: import the engine inside the backend's methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

    from gemmahub.engines.contract import Backend, CheckResult, Store

PROJECT = "gemmahub"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def gemmahub_backends() -> Iterable[Backend]:  # type: ignore[empty-body]
    """Engines that run models."""


@hookspec
def gemmahub_stores() -> Iterable[Store]:  # type: ignore[empty-body]
    """Places on this machine where models lie."""


@hookspec
def gemmahub_sources() -> Iterable[Any]:  # type: ignore[empty-body]
    """Places that models are pulled from."""


@hookspec
def gemmahub_formats() -> Iterable[Any]:  # type: ignore[empty-body]
    """Precision readers for further file formats."""


@hookspec
def gemmahub_devices() -> Iterable[Any]:  # type: ignore[empty-body]
    """Hardware probes."""


@hookspec
def gemmahub_checks() -> Iterable[CheckResult]:  # type: ignore[empty-body]
    """Checks for ``gemmahub doctor``."""


@hookspec
def gemmahub_commands(cli: click.Group) -> None:
    """Add commands to the command line."""

"""The option that names workers on other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable


def _read(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    from gemmahub.service.remote_workers import read_workers

    return read_workers(value)


rpc_option: Callable[[Any], Any] = click.option(
    "--rpc",
    "workers",
    metavar="HOST:PORT,...",
    callback=_read,
    help="Also use the memory of llama.cpp's ggml-rpc-server on other machines.",
)

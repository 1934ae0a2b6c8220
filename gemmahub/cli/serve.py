"""``gemmahub serve``: models for editors, coding agents and other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gemmahub.cli import output
from gemmahub.cli.drafts import draft_options
from gemmahub.cli.references import reference_argument
from gemmahub.cli.remote_workers import rpc_option
from gemmahub.cli.shared_options import cache_type_option
from gemmahub.service.serving.client_settings import CLIENTS
from gemmahub.service.serving.known import DEFAULT_PORT

if TYPE_CHECKING:
    from pathlib import Path


@click.command(name="serve")
@reference_argument("references", nargs=-1)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on.",
)
@click.option(
    "--api-key",
    envvar="GEMMAHUB_API_KEY",
    metavar="KEY",
    help="Key that clients must send [GEMMAHUB_API_KEY; other users cannot read a variable].",
)
@click.option(
    "--cors",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Origin of a web page that may send requests (repeatable).",
)
@click.option(
    "--pin",
    "pinned",
    multiple=True,
    metavar="REF",
    help="Load this model at once, and never unload it.",
)
@click.option(
    "-c",
    "--ctx-size",
    type=click.IntRange(min=1),
    help="Context per client, in tokens [what fits].",
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Clients that a model answers at the same time.",
)
@cache_type_option
@draft_options
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="FILE[=SCALE]",
    help="A LoRA adapter for the served model (repeatable).",
)
@click.option("--memory", metavar="SIZE", help="Most GPU memory to use [what is free].")
@click.option("--ram", metavar="SIZE", help="Most system memory to use [what is free].")
@rpc_option
@click.option("--gpus", type=click.IntRange(1, 16), help="GPUs per machine that share the model.")
@click.option("--nodes", type=click.IntRange(1, 64), help="Machines that share the model.")
@click.option(
    "--on", "address", metavar="ADDRESS", help="Address of the Ray cluster: ray://head:10001."
)
@click.option(
    "--print-config",
    "client",
    type=click.Choice(tuple(CLIENTS)),
    help="Print the settings of an editor or coding agent, and exit.",
)
def serve_command(
    references: tuple[str, ...],
    host: str,
    port: int,
    api_key: str | None,
    origins: tuple[str, ...],
    pinned: tuple[str, ...],
    ctx_size: int | None,
    parallel: int,
    cache_type: str,
    draft: bool | None,
    drafter: Path | None,
    adapters: tuple[str, ...],
    memory: str | None,
    ram: str | None,
    workers: tuple[str, ...],
    gpus: int | None,
    nodes: int | None,
    address: str | None,
    client: str | None,
) -> None:
    """Serve models over HTTP, with the OpenAI and Anthropic APIs.

    REFERENCES are the models to serve [all installed ones]. A model is loaded by its first request.
    If memory is short, the least recently used model is unloaded.
    """
    from gemmahub.http.place import Place
    from gemmahub.service import Library
    from gemmahub.service.adapters import adapters_of
    from gemmahub.service.cluster import WantedCluster
    from gemmahub.service.serving.choosing import ServedWith
    from gemmahub.service.serving.room import Wish
    from gemmahub.service.serving.run import Serving, serve, settings_for

    serving = Serving(
        Place(host, port, "gemmahub serve"),
        api_key or None,
        origins,
        pinned,
        Wish(ctx_size, parallel, cache_type),
        memory,
        ram,
        ServedWith(draft, drafter, adapters_of(adapters)),
        WantedCluster(gpus, nodes, address or ""),
    )
    library = Library(say=output.note, workers=workers)
    if client is None:
        serve(library, references, serving)
    else:
        output.data(settings_for(library, client, references, serving))

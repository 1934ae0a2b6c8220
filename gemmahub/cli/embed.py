"""``gemmahub embed``: vectors of texts, by which texts of like meaning are found."""

from __future__ import annotations

import sys

import click

from gemmahub.cli import output
from gemmahub.cli.piped_text import read_text
from gemmahub.engines.contract import Settings
from gemmahub.errors import UsageError


@click.command(name="embed")
@click.argument("reference")
@click.argument("text", required=False)
@click.option("-c", "--ctx-size", type=click.IntRange(min=1), help="Longest text, in tokens.")
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads [physical cores].")
@click.option("--gpu-layers", type=click.IntRange(min=0), help="Layers on the GPU [all].")
@click.option("--backend", help="The engine to use; otherwise the best one that embeds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def embed_command(
    reference: str,
    text: str | None,
    ctx_size: int | None,
    threads: int | None,
    gpu_layers: int | None,
    backend: str | None,
    as_json: bool,
) -> None:
    """Turn texts into vectors.

    TEXT is one text; "-" or a pipe reads standard input, one text per line. Each output line is
    one vector. Vectors have length 1, so the dot product of two is their cosine similarity.
    """
    from gemmahub.service import Library

    texts = _texts(text)
    library = Library(say=output.note)
    settings = Settings(context=ctx_size, threads=threads, gpu_layers=gpu_layers)
    running = library.load(
        reference,
        settings,
        backend=backend,
        on_progress=output.loading,
        alone=False,
        needs="embed",
    )
    output.progress("")
    with running.session as session:
        if as_json:
            vectors = session.embed(texts)
            output.json_data(
                {
                    "reference": running.variant.reference,
                    "name": running.variant.name,
                    "precision": running.variant.precision.as_json(),
                    "backend": running.backend,
                    "engine": session.info.engine,
                    "context": session.info.context,
                    "dimensions": len(vectors[0]),
                    "embeddings": [
                        {"text": each, "vector": vector}
                        for each, vector in zip(texts, vectors, strict=True)
                    ],
                }
            )
            return
        output.note(running.headline)
        for each in texts:
            (vector,) = session.embed([each])
            output.data(" ".join(map(repr, vector)))


def _texts(text: str | None) -> list[str]:
    """Raises: UsageError where there is none."""
    if text is None and sys.stdin.isatty():
        raise UsageError("there is no text", "give a text, or pipe texts in, one per line")
    piped = text is None or text == "-"
    text = read_text() if piped else str(text)
    found = text.split("\n") if text or not piped else []
    for number, each in enumerate(found, 1):
        if not each.strip():
            raise UsageError(f"text {number} is empty", "give one text per line")
    if not found:
        raise UsageError("there is no text", "pipe texts in, one per line")
    return found

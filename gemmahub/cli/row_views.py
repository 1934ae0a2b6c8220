"""The rows of ``--format csv`` and ``--format markdown``: stable columns, taken from the JSON.

The name of a column is the key that its value has in the JSON, or says what it is where the key
alone would not. Columns are added at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Row = dict[str, Any]


class RowView(NamedTuple):
    """The rows in an answer, their columns as ``name`` or ``name=path.in.the.row``, the column that
    ``--quiet`` prints, and the columns that a page has room for: those of Markdown, all if none."""

    rows: Callable[[Any], Iterable[Row]]
    columns: tuple[str, ...]
    quiet: str = ""
    brief: tuple[str, ...] = ()

    @property
    def main(self) -> RowView:
        """The same with the columns that a page has room for."""
        kept = [c for c in self.columns if not self.brief or c.partition("=")[0] in self.brief]
        return self._replace(columns=tuple(kept))

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.partition("=")[0] for column in self.columns]

    def cells(self, answer: Any) -> Iterator[list[Any]]:
        """The values of each row: texts, numbers, flags, None; several are one text."""
        paths = [column.partition("=")[2] or column for column in self.columns]
        for row in self.rows(answer):
            yield [_cell(row, path) for path in paths]

    def quiet_names(self, answer: Any) -> list[str]:
        """What ``--quiet`` prints, each once."""
        found = (_cell(row, self.quiet) for row in self.rows(answer))
        return list(dict.fromkeys(str(name) for name in found if name))


def _cell(row: Row, path: str) -> Any:
    found: Any = row
    for key in path.split("."):
        if isinstance(found, list):
            found = [each.get(key) for each in found]
        else:
            found = found.get(key) if isinstance(found, dict) else None
    if isinstance(found, dict):
        return "; ".join(f"{key}={value}" for key, value in found.items())
    if isinstance(found, list):
        return "; ".join(dict.fromkeys(str(each) for each in found if each not in (None, "")))
    return found


def _under(*keys: str) -> Callable[[Any], Iterable[Row]]:
    """The rows under the first of these keys that the answer has."""
    return lambda answer: next((answer[key] for key in keys if key in answer), ())


def _found_files(answer: Any) -> Iterator[Row]:
    for repository in answer["repositories"]:
        for file in repository["files"]:
            name = file["catalogued"] or file["reference"]
            yield {**file, "pull": name, "repository": repository}


def _figures(answer: Any) -> Iterator[Row]:
    """Each figure of a machine as a row: ``part`` and ``figure`` say of what."""
    parts = {"cpu": answer["cpu"], "memory": answer["memory"]}
    parts |= {device["id"]: device for device in answer["devices"]}
    parts |= {disk["path"]: disk for disk in answer["disks"]}
    for part, record in parts.items():
        for name, figure in record.items():
            if isinstance(figure, dict):
                yield {"part": part, "name": record.get("name"), "figure": name, **figure}


def _scores(answer: Any) -> Iterator[Row]:
    """Each metric of each task as a row."""
    for result in answer["tasks"]:
        for task, metrics in result["scores"].items():
            for metric, value in metrics.items():
                yield {"model": result["model"], "task": task, "metric": metric, "value": value}


_PRECISION: Final = (
    "precision=precision.summary",
    "label=precision.label",
    "bits_per_weight=precision.bits_per_weight",
    "training=precision.training",
)
_FIT: Final = (
    "fits=fit.fits",
    "largest_context=fit.largest_context",
    "short_bytes=fit.short_bytes",
)

ROW_VIEWS: Final = {
    "list": RowView(
        _under("models"),
        ("reference", "name", "format", "kind", *_PRECISION, "parameters", "size_bytes", *_FIT,
         "tokens_per_second=measured_speed.tokens_per_second", "installed", "stores=places.store"),
        "reference",
        ("reference", "precision", "size_bytes", "fits", "largest_context", "tokens_per_second"),
    ),
    "search": RowView(
        _found_files,
        ("reference=pull", "repository=repository.name", "path", "format", "kind", "label", "basis",
         "bits_per_weight", "qat", "size_bytes", *_FIT, "official=repository.official",
         "gated=repository.gated", "licence=repository.licence",
         "downloads=repository.downloads"),
        "pull",
        ("reference", "label", "bits_per_weight", "qat", "size_bytes", "fits", "licence"),
    ),
    "recommend": RowView(
        _under("recommendations"),
        ("rank", "reference", "name", *_PRECISION, "context=settings.context",
         "cache_type=settings.cache_type_k", "gpu_layers=settings.gpu_layers",
         "total_bytes=memory.total_bytes", "headroom_bytes", "largest_context",
         "tokens_per_second", "speed_basis", "quality", "quality_loss", "points", "installed",
         "command"),
        brief=("rank", "reference", "precision", "context", "total_bytes", "tokens_per_second",
               "command"),
    ),
    "compare": RowView(
        _under("variants"),
        ("reference", "name", "format", *_PRECISION, "parameters", "size_bytes", *_FIT,
         "tokens_per_second", "speed_basis", "quality", "quality_loss",
         "perplexity=measured.quality.perplexity.value",
         "divergence=measured.quality.divergence.mean.value", "installed"),
        brief=("reference", "precision", "size_bytes", "fits", "largest_context",
               "tokens_per_second", "quality_loss", "perplexity", "divergence"),
    ),
    "plan": RowView(_under("contexts"), ("context", "cache_type", "total_bytes", "fits")),
    "quality": RowView(
        _under("results"),
        ("reference=model.reference", "precision=model.precision",
         "bits_per_weight=model.bits_per_weight", "size_bytes=model.size_bytes", "text=text.name",
         "windows=text.chunks", "perplexity=perplexity.value", "perplexity_error=perplexity.error",
         "divergence=divergence.mean.value", "divergence_error=divergence.mean.error",
         "divergence_median=divergence.median", "divergence_99=divergence.percentile_99",
         "same_top=divergence.same_top.value", "rms_change=divergence.rms_change.value",
         "engine=conditions.build", "machine=conditions.machine"),
        brief=("reference", "precision", "text", "perplexity", "perplexity_error", "divergence",
               "divergence_error", "same_top"),
    ),
    "quality --prompts": RowView(
        _under("answers"),
        ("reference", "precision", "engine", "same", "common", "mean_tokens", "tokens_per_second"),
    ),
    "quality --tasks": RowView(
        _scores,
        ("reference=model.reference", "precision=model.precision", "task", "metric", "value"),
    ),
    "du": RowView(
        _under("models"), ("reference", "size_bytes", "disk_bytes", "stores=places.store"),
    ),
    "ps": RowView(
        _under("models"),
        ("name", "reference", "backend", "precision=precision.summary", "label", "memory_bytes",
         "device_bytes", "device", "context", "until", "place"),
        "name",
        ("name", "backend", "precision", "memory_bytes", "device", "context", "until"),
    ),
    "hardware": RowView(
        _figures, ("part", "name", "figure", "value", "unit", "source", "doubt")
    ),
    "plugins": RowView(
        _under("plugins"), ("name", "distribution", "version", "state", "offers", "remarks")
    ),
    "chats list": RowView(
        _under("conversations"),
        ("id", "title", "reference", "model", "precision", "turns", "created", "changed"),
        "id",
        ("id", "title", "model", "precision", "turns"),
    ),
    "config list": RowView(
        _under("settings"),
        ("name", "value", "origin", "default", "type", "env", "secret", "help", "problem"),
        brief=("name", "value", "origin", "help"),
    ),
    "doctor": RowView(_under("checks"), ("name", "status", "message", "hint")),
}  # fmt: skip
"""By command."""

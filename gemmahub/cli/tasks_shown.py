"""The part of ``gemmahub quality`` that has lm-eval ask a model the questions of its tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.cli import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.cli.forms import Form
    from gemmahub.service.scoring.tasks import TasksResult

_COLUMNS = ("Model", "Task", "Metric", "Value", "Error")
_ERROR = "_stderr,"


def show_tasks(
    references: Sequence[str], tasks: str, folder: str | None, limit: int | None, form: Form
) -> None:
    """Print what came of it. Raises: GemmahubError."""
    from gemmahub.service import Library
    from gemmahub.service.scoring import TasksOptions, run_tasks

    names = tuple(filter(None, (name.strip() for name in tasks.split(","))))
    found = run_tasks(Library(say=output.note), references, TasksOptions(names, folder, limit))
    form.answer(lambda: {"tasks": [each.as_json() for each in found]}, lambda: _show(found))


def _show(found: Sequence[TasksResult]) -> None:
    rows = []
    for each in found:
        for task, metrics in each.scores.items():
            for name, value in metrics.items():
                if _ERROR in name or "," not in name:
                    continue
                error = metrics.get(name.replace(",", _ERROR, 1))
                shown = "-" if error is None else f"{error:.4f}"
                rows.append((each.model.reference, task, name, f"{value:.4f}", shown))
    output.table(_COLUMNS, rows, right=_COLUMNS[3:])
    for each in found:
        output.note(f"{each.settings['program']}, kept in {each.kept}")

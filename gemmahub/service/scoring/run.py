"""Models that are scored in turn, each loaded once, and their results."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from gemmahub.engines.contract import Settings
from gemmahub.measurements.records import Divergence, MeasuredText, QualityResult
from gemmahub.measurements.scoring.reduction import (
    mean_of,
    percentile,
    perplexity,
    root_mean_square,
    share_of,
)
from gemmahub.measurements.scoring.sampling import method_for
from gemmahub.service.measuring import conditions_of, measured_model
from gemmahub.service.running import load
from gemmahub.service.scoring.choosing import (
    best_here,
    check_fit,
    check_words,
    doubts_of,
    is_good,
    scorable,
)
from gemmahub.service.scoring.records import QualityOptions, QualityReport
from gemmahub.service.scoring.texts import find_texts
from gemmahub.service.scoring.windows import Base, Scoring, TextOfModel
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmahub.engines.contract import OnProgress
    from gemmahub.hardware.records import Machine
    from gemmahub.measurements.records import Conditions, MeasuredModel
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation
    from gemmahub.service.running import Running
    from gemmahub.service.scoring.records import ScoringProgress
    from gemmahub.service.scoring.texts import ScoredSource
    from gemmahub.service.scoring.windows import Columns


def quality(
    here: Installation,
    references: Sequence[str],
    options: QualityOptions | None = None,
    *,
    on_progress: Callable[[ScoringProgress], None] | None = None,
    on_loading: OnProgress | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> QualityReport:
    """Score models, each loaded once; what is done is kept, and a second call goes on with it.

    The results are remembered. Raises: UsageError, NotFound, NotInstalled, DoesNotFit,
    BackendMissing where no engine here scores, BackendError, GemmahubError.
    """
    run = _Run(here, options or QualityOptions(), on_progress, on_loading, on_stage)
    return run.all_of(references)


class _Run:
    def __init__(
        self,
        here: Installation,
        options: QualityOptions,
        on_progress: Callable[[ScoringProgress], None] | None,
        on_loading: OnProgress | None,
        on_stage: Callable[[str], None] | None,
    ) -> None:
        self._here = here
        self._options = options
        self._on_progress = on_progress
        self._on_loading = on_loading
        self._tell = on_stage or (lambda _: None)
        self._texts = find_texts(options.texts)
        self._bases: dict[str, Base] = {}
        self._base_model: MeasuredModel | None = None
        self._base_build = ""
        self._words = 0
        self._notes: list[str] = []

    def all_of(self, references: Sequence[str]) -> QualityReport:
        """Raises: as :func:`quality`."""
        variants = [scorable(self._here, name) for name in references]
        variants = list({variant.reference: variant for variant in variants}.values())
        reference = self._reference(variants)
        if reference is not None:
            self._words = check_words(variants, reference)
        asked = [variant for variant in variants if not self._only_base(variant, reference)]
        for variant in [*asked, *([] if reference is None else [reference])]:
            check_fit(self._here, variant, self._options.window)
        for doubt in doubts_of(variants, reference):
            self._note(doubt)
        machine = self._here.as_used()
        results: list[QualityResult] = []
        if reference is not None:
            found = self._one(reference, machine, as_base=True)
            results += found if len(asked) < len(variants) else []
        for variant in asked:
            results += self._one(variant, machine)
        return QualityReport(tuple(results), tuple(dict.fromkeys(self._notes)))

    def _reference(self, variants: Sequence[Variant]) -> Variant | None:
        if self._options.reference is not None:
            return scorable(self._here, self._options.reference)
        found = best_here(self._here, variants)
        if found is None:
            self._note(
                "no better precision of the model is installed to compare with, so perplexity "
                "only; use --reference to choose one"
            )
        else:
            self._note(
                f"the reference is {one_line(found.reference)}, the best precision of the model "
                "that is here"
                + ("" if is_good(found) else "; its own loss is not part of the divergence")
            )
        return found

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self._here.say(text)

    def _only_base(self, variant: Variant, reference: Variant | None) -> bool:
        """Whether it is scored as the reference alone: nobody asked to hold it against itself."""
        return (
            self._options.reference is None
            and reference is not None
            and variant.reference == reference.reference
        )

    def _one(
        self, variant: Variant, machine: Machine, *, as_base: bool = False
    ) -> list[QualityResult]:
        """All texts with one model."""
        self._tell(f"reading {one_line(variant.reference)}")
        model = measured_model(self._here, variant)
        running = load(
            self._here,
            variant.reference,
            Settings(context=self._options.window),
            backend=self._options.backend,
            on_progress=self._on_loading,
            on_stage=self._tell,
            alone=False,
            draft=False,
            needs="score",
        )
        with running.session:
            found = [
                self._scored(running, model, text, machine, as_base=as_base) for text in self._texts
            ]
        self._here.results.add(found)
        if as_base:
            self._base_model, self._base_build = model, found[0].conditions.build
        return found

    def _scored(
        self,
        running: Running,
        model: MeasuredModel,
        text: ScoredSource,
        machine: Machine,
        *,
        as_base: bool,
    ) -> QualityResult:
        backend = self._here.plugins_manager.backend(running.backend).backend
        named = "score_at" in backend.capabilities
        if not named and (as_base or self._bases):
            self._note(f"{backend.name} reports only its own tokens' probabilities: no divergence")
        conditions = conditions_of(self._here, running, machine)
        subject = TextOfModel(
            one_line(model.name),
            model.content or model.reference,
            text,
            self._options.window,
            conditions,
        )
        scoring = Scoring(
            self._here.config.cache / "quality",
            subject,
            running.session,
            base=self._bases.get(text.sha256) if named and not as_base else None,
            as_base=self._words if as_base and named else None,
            named=named,
            limit=self._options.chunks,
            on_progress=self._on_progress,
        )
        windows = [_without_tables(columns) for columns in scoring.windows()]
        if as_base and named:
            self._bases[text.sha256] = Base(scoring.key, self._words, scoring.kept)
        if self._base_build not in ("", conditions.build):
            self._note(
                f"{one_line(conditions.build)} differs from the reference's build, "
                f"{one_line(self._base_build)}: the divergence includes the difference of the "
                "engines"
            )
        return self._result(model, conditions, text, windows)

    def _result(
        self,
        model: MeasuredModel,
        conditions: Conditions,
        text: ScoredSource,
        windows: Sequence[Columns],
    ) -> QualityResult:
        own = [log for columns in windows for log in columns["own"]]
        divergence = None
        if "divergences" in windows[0] and self._base_model is not None:
            parts = [column for columns in windows for column in columns["divergences"]]
            changes = [column for columns in windows for column in columns["changes"]]
            divergence = Divergence(
                reference=self._base_model,
                mean=mean_of(parts),
                median=percentile(parts, 0.5),
                percentile_99=percentile(parts, 0.99),
                same_top=share_of(chain.from_iterable(w["same_top"] for w in windows)),
                rms_change=root_mean_square(changes),
                method=method_for(self._words),
            )
        return QualityResult(
            model=model,
            conditions=conditions,
            text=MeasuredText(
                name=text.name,
                sha256=text.sha256,
                window=self._options.window,
                chunks=len(windows),
                tokens=len(own),
            ),
            perplexity=perplexity(own),
            divergence=divergence,
        )


def _without_tables(columns: Columns) -> Columns:
    """What a result is made of: the distributions of a reference stay on disk."""
    wanted = ("own", "divergences", "changes", "same_top")
    return {name: columns[name] for name in wanted if name in columns}

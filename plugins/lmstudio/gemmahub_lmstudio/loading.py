"""Loading a model of LM Studio with the context and the offload that are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Artifact
from gemmahub.errors import BackendError, LoadFailed
from gemmahub.text import nearest, one_line
from gemmahub_lmstudio import lms, matching
from gemmahub_openai import faults, lm_studio
from gemmahub_openai.client import Clock, ServerClient

if TYPE_CHECKING:
    from gemmahub.engines.contract import ServedModel, Settings
    from gemmahub_openai.lm_studio import Instance, StudioModel

DEFAULT_CONTEXT: Final = 8192
"""Tokens of context when nothing is said and LM Studio has the model not loaded."""

QUICK: Final = 10.0
"""Seconds for a list of the models."""

_OWN_NAME: Final = "gemmahub"


@dataclass(frozen=True, slots=True)
class LoadedInstance:
    """A model in memory, by the ``name`` of its variant. ``ours``: it was loaded for us, and goes
    when we close."""

    model: StudioModel
    name: str
    instance: Instance
    ours: bool


def find(client: ServerClient, wanted: Artifact | ServedModel) -> tuple[StudioModel, str]:
    """LM Studio's model, and the name to load it by.

    Raises: LoadFailed for one that it does not have; BackendError.
    """
    models = [m for m in lm_studio.studio_models(client, Clock(QUICK)) if m.type not in EMBEDS]
    if isinstance(wanted, Artifact):
        found, name = matching.model_of(wanted, models), wanted.reference or wanted.shown_name
    else:
        found, name = matching.named(wanted.name, models), wanted.name
    if found is None:
        keys = [model.key for model in models]
        near = ", ".join(map(one_line, nearest(name, keys) or keys[:5]))
        raise LoadFailed(
            f"LM Studio does not know {one_line(name)}",
            f"it has {near}; lms ls shows all"
            if near
            else "it has no models: download one with lms get",
        )
    return found


EMBEDS: Final = ("embedding", "embeddings")
MLX: Final = "mlx"


def _check_mlx(settings: Settings) -> None:
    """Raises: LoadFailed for what LM Studio's MLX engine would ignore: its documents name these as
    effective with its llama.cpp alone."""
    refused = {
        "--gpu-layers": settings.gpu_layers is not None,
        "--cache-in-memory": settings.cache_in_memory,
        "flash attention switched off": not settings.flash_attention,
    }
    if wrong := [name for name, is_set in refused.items() if is_set]:
        raise LoadFailed(f"{wrong[0]} has no effect on an MLX model in LM Studio", "leave it out")


def loaded(
    client: ServerClient, wanted: Artifact | ServedModel, settings: Settings, seconds: float
) -> LoadedInstance:
    """The model in memory as it is wanted: one that is there already, or loaded now.

    Raises: LoadFailed for what LM Studio refuses or cannot be told; BackendMissing, BackendError.
    """
    model, name = find(client, wanted)
    if model.format == MLX:
        _check_mlx(settings)
    context = settings.context
    placed = settings.gpu_layers is not None or settings.cache_in_memory
    # Of several variants of one key LM Studio states the chosen one, not which is in memory.
    chosen = matching.label_of(model, name).casefold() == model.quantization.casefold()
    if chosen and not placed:
        for instance in model.instances:
            if instance.context is not None and context in (None, instance.context):
                return LoadedInstance(model, name, instance, ours=False)
    context = context or min(model.max_context or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
    if settings.gpu_layers is not None:
        instance = _by_program(client, model, name, wanted, settings, context, seconds)
    else:
        instance = _by_rest(client, model, name, settings, context, seconds)
    return LoadedInstance(model, name, _with_context(client, instance), ours=True)


def _by_rest(
    client: ServerClient,
    model: StudioModel,
    name: str,
    settings: Settings,
    context: int,
    seconds: float,
) -> Instance:
    """Flash attention and the batch are for LM Studio's llama.cpp alone."""
    options: dict[str, Any] = {"context": context}
    if model.format != MLX:
        options |= {"flash_attention": settings.flash_attention, "batch": settings.ubatch}
    if settings.cache_in_memory:
        options["cache_on_gpu"] = False
    try:
        return lm_studio.load_model(client, name, Clock(seconds), **options)
    except faults.NotOffered:
        raise LoadFailed(
            "this LM Studio is older than 0.4, and its REST interface cannot set how to load "
            "a model",
            f"update it; or load the model there: lms load {one_line(name)} "
            f"--context-length {context}",
        ) from None


def _by_program(
    client: ServerClient,
    model: StudioModel,
    name: str,
    wanted: Artifact | ServedModel,
    settings: Settings,
    context: int,
    seconds: float,
) -> Instance:
    """With a share of the layers on the GPU, which only the program ``lms`` can say.

    Raises: LoadFailed also where it loaded another model.
    """
    if not client.server.local:
        raise LoadFailed(
            "a part of the layers on the GPU can only be chosen where LM Studio runs on this "
            "machine",
            "leave out --gpu-layers: LM Studio then chooses",
        )
    if settings.cache_in_memory:
        raise LoadFailed(
            "LM Studio cannot combine a cache in system memory with a number of layers",
            "leave out one of them",
        )
    share = lms.gpu_share(
        settings.gpu_layers or 0, wanted if isinstance(wanted, Artifact) else None
    )
    taken = {instance.id for instance in model.instances}
    own = next(n for i in range(1, 100) if (n := f"{_OWN_NAME}-{i}:{model.key}") not in taken)
    lms.load(name, own, share, context, seconds)
    for other in lm_studio.studio_models(client, Clock(QUICK)):
        for instance in other.instances:
            if instance.id == own and other.key == model.key:
                return instance
            if instance.id == own:
                lm_studio.unload_instance(client, own, Clock(QUICK))
                raise LoadFailed(
                    f"lms loaded {one_line(other.key)} in place of {one_line(model.key)}, and it "
                    "was unloaded",
                    "leave out --gpu-layers: LM Studio then chooses",
                )
    raise LoadFailed(
        "lms loaded the model, but the server at plugins.lmstudio.url does not have it",
        "check that it is the LM Studio of this machine",
    )


def _with_context(client: ServerClient, instance: Instance) -> Instance:
    """With the context that LM Studio gave it, where its answer to the load did not say it."""
    if instance.context is not None:
        return instance
    try:
        models = lm_studio.studio_models(client, Clock(QUICK))
    except BackendError:
        return instance
    return next((one for m in models for one in m.instances if one.id == instance.id), instance)

"""LM Studio's own REST interface: what it has, what is in memory, loading and unloading.

Source: lmstudio-ai/docs@35ec6d3d ``1_developer/2_rest/list.md`` and ``unload.md``, and
https://lmstudio.ai/docs/developer/rest/load as of LM Studio 0.4 (``/api/v1``); for releases before
0.4 https://lmstudio.ai/docs/api/rest-api (``/api/v0``). No LM Studio was at hand: tests answer with
the documents' own examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import BackendError, LoadFailed
from gemmahub.http.values import count_of, number_of, object_of, text_of, texts_of
from gemmahub_openai import faults
from gemmahub_openai.servers import StatedModel

if TYPE_CHECKING:
    from gemmahub_openai.client import Clock, ServerClient

MODELS: Final = "/api/v1/models"
OLD_MODELS: Final = "/api/v0/models"
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Instance:
    """A model of LM Studio in memory: the name by which it is unloaded, and its context."""

    id: str
    context: int | None = None


@dataclass(frozen=True, slots=True)
class StudioModel:
    """A model of LM Studio. ``key`` names it; ``format`` is ``gguf`` or ``mlx``.

    ``bits_per_weight`` is what LM Studio states, a whole number of its own: never a measurement.
    ``variants`` are the names of its files (``KEY@LABEL``); ``reasoning`` is what can be chosen of
    its thoughts (``off``, ``on``), with the default, nothing for a model that has none.
    """

    key: str
    type: str = "llm"
    publisher: str = ""
    title: str = ""
    architecture: str = ""
    quantization: str = ""
    bits_per_weight: float | None = None
    size_bytes: int | None = None
    format: str = ""
    max_context: int | None = None
    vision: bool | None = None
    tools: bool | None = None
    instances: tuple[Instance, ...] = ()
    variants: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    reasoning_default: str = ""

    @property
    def loaded(self) -> bool:
        """Whether it is in memory."""
        return bool(self.instances)

    def stated(self) -> StatedModel:
        """What any server states of a model."""
        contexts = [one.context for one in self.instances if one.context is not None]
        return StatedModel(
            self.key,
            label=self.quantization,
            architecture=self.architecture,
            context=max(contexts, default=None),
            context_trained=self.max_context,
            images=self.vision,
            tools=self.tools,
            loaded=self.loaded,
            instances=tuple(one.id for one in self.instances),
            embeds=self.type in ("embedding", "embeddings"),
        )


def studio_models(client: ServerClient, clock: Clock) -> list[StudioModel]:
    """All models that LM Studio has, loaded or not.

    Raises: NotOffered for a server that is no LM Studio; BackendMissing, BackendError.
    """
    try:
        entries = client.get(MODELS, clock).get("models")
    except faults.NotOffered:
        entries = client.get(OLD_MODELS, clock).get("data")
        return [found for each in _objects(entries) if (found := _old_model(each)) is not None]
    if not isinstance(entries, list):
        raise faults.NotOffered(f"{client.server.shown} is not LM Studio", "check the address")
    return [found for each in _objects(entries) if (found := _model(each)) is not None]


def load_model(
    client: ServerClient,
    key: str,
    clock: Clock,
    *,
    context: int | None = None,
    flash_attention: bool | None = None,
    batch: int | None = None,
    cache_on_gpu: bool | None = None,
) -> Instance:
    """Load a model; its instance, with the context that LM Studio really gave it.

    Raises: LoadFailed, BackendMissing, BackendCrashed; NotOffered before LM Studio 0.4.
    """
    wanted = {
        "model": key,
        "context_length": context,
        "flash_attention": flash_attention,
        "eval_batch_size": batch,
        "offload_kv_cache_to_gpu": cache_on_gpu,
        "echo_load_config": True,
    }
    body = {name: value for name, value in wanted.items() if value is not None}
    try:
        found = client.post(f"{MODELS}/load", body, clock)
    except faults.NotOffered:
        raise
    except BackendError as error:
        raise faults.as_kind(error, LoadFailed) from None
    name = text_of(found.get("instance_id")) or text_of(found.get("model_instance_id"))
    config = object_of(found.get("load_config")) or object_of(found.get("config"))
    if not name:
        raise LoadFailed(
            f"{client.server.shown} does not report what it loaded", "see LM Studio's log"
        )
    return Instance(name, count_of(config.get("context_length")))


def unload_instance(client: ServerClient, instance: str, clock: Clock) -> None:
    """Give back the memory of an instance. Raises: BackendError; NotOffered before 0.4."""
    client.post(f"{MODELS}/unload", {"instance_id": instance}, clock)


def _model(entry: dict[str, Any]) -> StudioModel | None:
    key = text_of(entry.get("key"), 500)
    if not key:
        return None
    quantization = object_of(entry.get("quantization"))
    can = object_of(entry.get("capabilities"))
    thoughts = object_of(can.get("reasoning"))
    return StudioModel(
        key,
        type=text_of(entry.get("type"), 40),
        publisher=text_of(entry.get("publisher"), 200),
        title=text_of(entry.get("display_name"), 200),
        architecture=text_of(entry.get("architecture"), 80),
        quantization=text_of(quantization.get("name"), 80),
        bits_per_weight=number_of(quantization.get("bits_per_weight")),
        size_bytes=count_of(entry.get("size_bytes")),
        format=text_of(entry.get("format"), 40),
        max_context=count_of(entry.get("max_context_length")),
        vision=_truth(can.get("vision")),
        tools=_truth(can.get("trained_for_tool_use")),
        instances=tuple(
            Instance(name, count_of(object_of(each.get("config")).get("context_length")))
            for each in _objects(entry.get("loaded_instances"))
            if (name := text_of(each.get("id"), 500))
        ),
        variants=texts_of(entry.get("variants")),
        reasoning=texts_of(thoughts.get("allowed_options")),
        reasoning_default=text_of(thoughts.get("default"), 40),
    )


def _old_model(entry: dict[str, Any]) -> StudioModel | None:
    """Of ``/api/v0/models``, where an instance has the name of its model."""
    key = text_of(entry.get("id"), 500)
    if not key:
        return None
    kind = text_of(entry.get("type"), 40)
    loaded = Instance(key, count_of(entry.get("loaded_context_length")))
    return StudioModel(
        key,
        type=kind,
        publisher=text_of(entry.get("publisher"), 200),
        architecture=text_of(entry.get("arch"), 80),
        quantization=text_of(entry.get("quantization"), 80),
        format=text_of(entry.get("compatibility_type"), 40),
        max_context=count_of(entry.get("max_context_length")),
        vision=(kind == "vlm") if kind else None,
        instances=(loaded,) if entry.get("state") == "loaded" else (),
    )


def _objects(value: object) -> list[dict[str, Any]]:
    listed = value[:_MOST] if isinstance(value, list) else []
    return [each for each in listed if isinstance(each, dict)]


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None

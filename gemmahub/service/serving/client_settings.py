"""What editors and coding agents need in their settings to ask a server of ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.service.serving.choosing import Offered, PlannedModels

KEY_VARIABLE: Final = "GEMMAHUB_API_KEY"
"""Where the lines look for the key; none of them holds it."""
_NAME: Final = "gemmahub"


def client_settings(client: str, served: PlannedModels, url: str) -> str:
    """The lines for one of ``CLIENTS``."""
    return CLIENTS[client](served, url)


def _continue(served: PlannedModels, url: str) -> str:
    """``~/.continue/config.yaml``. JSON texts are YAML, too."""
    lines = ["# ~/.continue/config.yaml", f"name: {_NAME}", "version: 1.0.0", "schema: v1"]
    lines.append("models:")
    for each in served.models:
        name = json.dumps(each.name)
        roles = "embed" if each.variant.embeds else "chat, edit, apply"
        abilities = [*["tool_use"] * each.has_tools, *["image_input"] * each.sees]
        lines += [
            f"  - name: {name}",
            "    provider: openai",
            f"    model: {name}",
            f"    apiBase: {json.dumps(f'{url}/v1')}",
            f"    apiKey: ${{{{ secrets.{KEY_VARIABLE} }}}}",
            f"    roles: [{roles}]",
            f"    capabilities: [{', '.join(abilities)}]",
            "    defaultCompletionOptions:",
            f"      contextLength: {_context(served, each)}",
        ]
    return "\n".join(lines)


def _opencode(served: PlannedModels, url: str) -> str:
    """``opencode.json``."""
    models = {
        each.name: {
            "name": _shown(each),
            "tool_call": each.has_tools,
            "attachment": each.sees,
            "limit": {"context": _context(served, each), "output": _context(served, each) // 2},
        }
        for each in _writers(served)
    }
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": _NAME,
        "options": {"baseURL": f"{url}/v1", "apiKey": f"{{env:{KEY_VARIABLE}}}"},
        "models": models,
    }
    return _json({"$schema": "https://opencode.ai/config.json", "provider": {_NAME: provider}})


def _zed(served: PlannedModels, url: str) -> str:
    """``~/.config/zed/settings.json``; Zed reads the key from the variable of that very name."""
    models = [
        {
            "name": each.name,
            "display_name": _shown(each),
            "max_tokens": _context(served, each),
            "capabilities": {
                "tools": each.has_tools,
                "images": each.sees,
                "parallel_tool_calls": False,
                "prompt_cache_key": False,
            },
        }
        for each in _writers(served)
    ]
    provider = {"api_url": f"{url}/v1", "available_models": models}
    return _json({"language_models": {"openai_compatible": {_NAME: provider}}})


CLIENTS: Final[dict[str, Callable[[PlannedModels, str], str]]] = {
    "continue": _continue,
    "opencode": _opencode,
    "zed": _zed,
}


def _writers(served: PlannedModels) -> list[Offered]:
    """The models that write: one can talk to no others."""
    return [each for each in served.models if not each.variant.embeds]


def _context(served: PlannedModels, model: Offered) -> int:
    settings = served.plans[model.name].settings
    return settings.context // settings.parallel


def _shown(model: Offered) -> str:
    return f"{model.variant.name} · {model.variant.precision.short}"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)

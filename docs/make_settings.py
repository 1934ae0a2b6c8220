"""``docs/reference/settings.md``: every setting, as the core, the plugins and the backends of this
repository declare it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemmahub.config.core import CORE
from gemmahub.config.kinds import KINDS, text_of_value
from gemmahub.engines.manager import load_plugins
from gemmahub.service.presets.fields import FIELDS as PRESET_FIELDS
from gemmahub.service.settings import KnownSetting, known_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.contract import Setting

HEAD = """# Settings

<!-- Written by docs/make_settings.py from the declarations: change them there. -->

Every setting of gemmahub, of the plugins of its repository, and of their backends. [Change
settings](../guides/settings.md) says how they are written and where the file is;
`gemmahub config list` shows those of your installation with their values in effect.

A variable goes before the settings file, the file before the default. What `--option NAME=VALUE`
says goes before `[backends.NAME]`.
"""


def document() -> str:
    """The whole page."""
    plugins = sorted(
        p.parent.name for p in Path(__file__).parents[1].glob("plugins/*/pyproject.toml")
    )
    manager = load_plugins(only=plugins)
    known = known_settings(manager)
    backends = [one for one in known if one.keys[0] == "backends"]
    parts = [HEAD, "## gemmahub\n", *_core()]
    parts += _presets()
    parts.append("## Plugins\n")
    parts.append("Each plugin has `enabled` (default: `true`): `false` leaves it out.\n")
    for plugin in plugins:
        rows = [one for one in known if one.plugin == plugin and one.keys[-1] != "enabled"]
        parts += _table("plugins", rows)
    parts.append("## Backends\n")
    parts.append("`--option NAME=VALUE` sets one of these for a single run.\n")
    for name in sorted({one.keys[1] for one in backends}):
        parts += _table("backends", [one for one in backends if one.keys[1] == name])
    return "\n".join(parts)


def _core() -> Iterator[str]:
    yield "| setting | kind | meaning | variable |\n|---|---|---|---|"
    for core in CORE.values():
        variable = f"`{core.env}`" if core.env else ""
        yield f"| `{core.name}` | {KINDS[core.kind]} | {_cell(core.help)} | {variable} |"
    yield "\n```toml"
    shown = ""
    for core in CORE.values():
        table = core.name.partition(".")[0]
        if table != shown:
            yield f"[{table}]" if not shown else f"\n[{table}]"
            shown = table
        yield core.example
    yield "```\n"


def _presets() -> Iterator[str]:
    yield "## presets\n"
    yield "[Presets](../guides/presets.md): in `[presets.NAME]`, for `gemmahub run @NAME`:\n"
    yield "| key | kind | default | meaning |\n|---|---|---|---|"
    for field in PRESET_FIELDS:
        yield _row(field.name, field)
    yield ""


def _table(room: str, rows: list[KnownSetting]) -> Iterator[str]:
    if not rows:
        return
    name = rows[0].keys[1]
    yield f"### {room}.{name}\n"
    yield f"In `[{room}.{_quoted(name)}]`:\n"
    yield "| key | kind | default | meaning |\n|---|---|---|---|"
    for one in rows:
        yield _row(one.keys[-1], one.setting)
        for field in one.setting.fields:
            yield _row(f"{one.keys[-1]}.NAME.{field.name}", field)
    yield ""


def _row(key: str, setting: Setting) -> str:
    kind = "tables, each with a name of yours" if setting.fields else _kind(setting)
    shown = "" if setting.secret else text_of_value(setting.default)
    default = f"`{shown}`" if shown else ""
    help_ = _cell(setting.help)
    if setting.env:
        help_ += f" (variable `{setting.env}`)"
    return f"| `{key}` | {kind} | {default} | {help_} |"


def _kind(setting: Setting) -> str:
    if setting.choices:
        return ", ".join(f"`{choice}`" for choice in setting.choices)
    kind: Any = setting.type
    return ("secret: " if setting.secret else "") + KINDS.get(kind, "a text")


def _quoted(name: str) -> str:
    return f'"{name}"' if "." in name else name


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")

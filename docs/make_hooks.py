"""``docs/reference/hooks.md``: the hooks, as their specifications have them."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import TYPE_CHECKING

from gemmahub.engines import hookspecs
from gemmahub.engines.contract import CONTRACT_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = f"""# Hooks

<!-- Written by docs/make_hooks.py from gemmahub/engines/hookspecs.py: change it there. -->

What a plugin can give to gemmahub, hook by hook, each with an example.

A plugin implements the hooks that it needs, as functions in the module that its entry point in
the group `gemmahub` names, each marked with `gemmahub.hookimpl`. A hook returns its records, as a
list or by `yield`; it may leave out arguments that it does not need. One that raises becomes a row
in `gemmahub plugins`, and the other plugins go on working. This is version {CONTRACT_VERSION} of
the contract; [plugins.md](plugins.md) describes the records, and
[tutorial.md](../guides/tutorial.md) builds a plugin.
"""


def hooks() -> dict[str, Callable[..., object]]:
    """The hooks by name, in the order in which they are specified."""
    found = vars(hookspecs).items()
    return {name: function for name, function in found if name.startswith("gemmahub_")}


def section(name: str, function: Callable[..., object]) -> str:
    """A hook: its signature, what it is for, what it returns, and its example."""
    signature = inspect.signature(function)
    arguments = ", ".join(signature.parameters)
    text, _, example = (inspect.getdoc(function) or "").partition("\n::\n")
    parts = [f"## {name}({arguments})", _markdown(text.strip())]
    types = {p.name: p.annotation for p in signature.parameters.values()}
    returned = str(signature.return_annotation)
    parts += [f"`{argument}`: `{kind}`." for argument, kind in types.items()]
    parts.append("Returns nothing." if returned == "None" else f"Returns: `{returned}`.")
    if example:
        parts.append(f"```python\n{textwrap.dedent(example).strip()}\n```")
    return "\n\n".join(parts) + "\n"


def _markdown(text: str) -> str:
    return re.sub(r"``([^`]+)``", r"`\1`", text)


def document() -> str:
    """The whole of ``docs/reference/hooks.md``."""
    return "\n".join([HEAD, *(section(name, function) for name, function in hooks().items())])

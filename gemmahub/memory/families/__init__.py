"""The families that are known, one module each; a module is all that a new one needs here.

A module is named as llama.cpp names the architecture (``_`` stands for its ``-``) and offers its
rules as ``FAMILY``. It is imported when a model of the family is met, not before.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gemmahub.memory.family import ConfigRules, FamilyRules


@cache
def names() -> tuple[str, ...]:
    """The architectures that have a module, in alphabetical order."""
    return tuple(sorted(module.name.replace("_", "-") for module in iter_modules(__path__)))


def find(name: str) -> FamilyRules | None:
    """The rules of an architecture, None where it has no module."""
    # A name can be a stranger's: only what was found in the folder is imported.
    return _load(name) if name in names() else None


def embeds(name: str) -> bool:
    """Whether models of an architecture make vectors of texts, and write none; of one without a
    module, its name tells."""
    family = find(name)
    return "embed" in name if family is None else family.embeds


def drafts_for(name: str) -> str:
    """The architecture of the models that this one is a draft head for; empty where it is none."""
    family = find(name)
    return "" if family is None else family.drafts_for


def every() -> dict[str, FamilyRules]:
    """The rules of all architectures by name."""
    return {name: _load(name) for name in names()}


def with_config() -> dict[str, tuple[str, FamilyRules, ConfigRules]]:
    """By ``model_type`` of a ``config.json`` (without ``_text``): architecture and rules."""
    return {
        model_type: (name, family, family.config)
        for name, family in every().items()
        if family.config
        for model_type in (name, *family.config.other_names)
    }


@cache
def _load(name: str) -> FamilyRules:
    found: FamilyRules = import_module(f"{__name__}.{name.replace('-', '_')}").FAMILY
    return found

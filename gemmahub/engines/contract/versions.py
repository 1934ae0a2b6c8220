"""The versions of the contract: ``docs/reference/plugins.md`` has what changed, and the policy."""

from __future__ import annotations

from typing import Final

CONTRACT_VERSION: Final = 2
"""Grows when there is more to say: a plugin that says it needs version 2 uses what 1 had not."""

CONTRACT_OLDEST: Final = 1
"""The oldest version whose plugins still work. It grows at the earliest one minor release after
the CHANGELOG announced it, and doctor warns in between."""

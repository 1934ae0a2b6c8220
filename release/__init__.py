"""Build, check and try the distributions of gemmahub; see ``release/README.md``.

``python -m release`` runs in a checkout, from the environment of ``uv sync --group dev``.
"""

from __future__ import annotations


class ReleaseError(Exception):
    """What keeps a release from being made, with what to do about it."""

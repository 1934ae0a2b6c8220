"""Speculative decoding: a small model, or a head, drafts tokens that the model checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import FormatError, IntegrityError, LoadFailed
from gemmahub.memory.drafter import check_drafter, is_head
from gemmahub.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.formats.reader import ModelFile


def draft_type(drafter: Path, model: ModelFile) -> str:
    """How llama-server calls what this file does for a model: ``--spec-type``.

    Raises: LoadFailed for a file that is no model, or one for another model.
    """
    from gemmahub.formats.detect import open_model

    if not drafter.is_file():
        raise LoadFailed(f"there is no drafter {one_line(str(drafter))}", "choose another file")
    try:
        found = open_model(drafter)
    except (FormatError, IntegrityError) as error:
        name = one_line(drafter.name, 80)
        raise LoadFailed(f"{name} cannot draft: {error.message}", error.hint) from None
    try:
        check_drafter(found, model)
    except FormatError as error:
        raise LoadFailed(error.message, error.hint) from None
    return "draft-mtp" if is_head(found) else "draft-simple"

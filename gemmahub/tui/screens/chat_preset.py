"""What a person keeps of a chat as a preset."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual import work

from gemmahub.errors import GemmahubError
from gemmahub.tui.screens.chat_thinking import ChatThinking
from gemmahub.tui.screens.dialogs import LineDialog

if TYPE_CHECKING:
    from gemmahub.service.presets import ModelPreset


class ChatPreset(ChatThinking):
    """Keeps model, settings, sampling and system prompt under a name."""

    @work
    async def action_keep_preset(self) -> None:
        """Ask for a name, and write the preset into the settings file."""
        from gemmahub.service.presets.fields import NAME

        def wrong(name: str) -> str:
            fits = NAME.fullmatch(name.strip().removeprefix("@"))
            return "" if fits else "Small letters, digits, _ and - make a name: coder, long-notes"

        title = "Save model, settings and system prompt as which preset?"
        name = await self.app.push_screen_wait(LineDialog(title, "", wrong))
        if name is None:
            return
        try:
            kept = await asyncio.to_thread(self._keep_preset, name.strip().removeprefix("@"))
        except GemmahubError as error:
            self.notify(error.in_full, severity="error", markup=False)
        else:
            self.notify(f"Kept: gemmahub run {kept.reference}", markup=False)

    def _keep_preset(self, name: str) -> ModelPreset:
        """Raises: GemmahubError, also where a preset has the name already."""
        from gemmahub.errors import UsageError
        from gemmahub.service.presets import is_kept
        from gemmahub.service.presets.kept import keep_as_preset

        if is_kept(name):
            raise UsageError(f"there is a preset {name} already", "choose another name")
        described, model = self.view.journal.saved().described, self.view.model
        running = model.running
        reference = running.variant.reference if running else model.reference
        tools = self.view.conversation.tools_file
        return keep_as_preset(
            name, reference, model.settings, described.sampling, described.system, tools=tools
        )

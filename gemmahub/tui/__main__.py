"""Opens the terminal UI: what ``gemmahub --web`` starts for each browser window."""

from gemmahub.streams import guarded
from gemmahub.tui.app import run

with guarded():
    run()

"""Opens the terminal UI: what ``gemmahub --web`` starts for each window of the browser.

Its argument is the folder that images come from and exports go to.
"""

import sys
from pathlib import Path

from gemmahub.text.streams import guarded
from gemmahub.tui.app import run

with guarded():
    run(*map(Path, sys.argv[1:2]))

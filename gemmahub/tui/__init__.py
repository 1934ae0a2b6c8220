"""The terminal UI. It calls ``gemmahub.service`` and nothing below it; see ``app``."""

import os

# A key is shown in two frames, the table and then the details: at Textual's 60 frames a second the
# second one waits longer than all the work takes. A screen that nothing changes draws none.
os.environ.setdefault("TEXTUAL_FPS", "250")

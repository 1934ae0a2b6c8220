"""``python -m gemmahub``."""

from gemmahub.cli.main import main

main()

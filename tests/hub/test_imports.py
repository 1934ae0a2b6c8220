"""The door costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

NETWORK = ("huggingface_hub", "httpx2", "http.client", "ssl", "sqlite3")


@pytest.mark.parametrize(
    "code",
    [
        "import gemmahub.hub",
        "from gemmahub.hub.records import HubFile, HubModel",
        "from gemmahub.hub.source import Hub\nfrom gemmahub.catalog.loader import load_catalog\n"
        "Hub(None, load_catalog())",
    ],
)
def test_no_network_library_is_imported(code: str) -> None:
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not set(NETWORK) & set(done.stdout.split())

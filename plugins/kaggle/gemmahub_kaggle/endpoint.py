"""Which server is asked: Kaggle's, or a mirror."""

from __future__ import annotations

from typing import Final

from gemmahub.engines.contract import Setting
from gemmahub.engines.plugin_settings import settings_of
from gemmahub.errors import UsageError
from gemmahub.http.addresses import host_of, is_web

VARIABLE: Final = "GEMMAHUB_KAGGLE_ENDPOINT"
PRODUCTION: Final = "https://api.kaggle.com"
"""Source: kagglesdk 0.1.38 ``kaggle_env.py``; the environments beside it are Kaggle's own."""
PAGES: Final = "https://www.kaggle.com"
"""Where people accept licences and make tokens."""

SETTINGS: Final = (
    Setting("endpoint", f"a mirror of {PRODUCTION}", default=PRODUCTION, env=VARIABLE),
)


def endpoint() -> str:
    """The address before ``/v1/``, without a slash at its end.

    Raises: UsageError for what is no web address.
    """
    found = str(settings_of("kaggle", SETTINGS)["endpoint"] or PRODUCTION).rstrip("/")
    if not is_web(found):
        raise UsageError(
            f"plugins.kaggle.endpoint ({VARIABLE}) is not a web address",
            f"for example: {VARIABLE}={PRODUCTION}",
        )
    return found


def server() -> str:
    """The server's name, for messages."""
    return host_of(endpoint())

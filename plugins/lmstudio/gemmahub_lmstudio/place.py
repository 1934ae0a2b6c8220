"""Where LM Studio's server is, and what is said where it is not.

Source: https://lmstudio.ai/docs/developer/core/server (port 1234, ``lms server start``) and
https://lmstudio.ai/docs/developer/core/authentication (a bearer token, ``LM_API_TOKEN`` in LM
Studio's own examples).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Setting
from gemmahub.engines.plugin_settings import settings_of
from gemmahub.errors import BackendError, BackendMissing, UsageError

if TYPE_CHECKING:
    from gemmahub_openai.servers import Server

NAME: Final = "lmstudio"
"""The backend's, the store's, and the scheme of models that only the server has."""

ADDRESS: Final = "http://127.0.0.1:1234"
SETTINGS: Final = (
    Setting("url", "address of LM Studio's server", default=ADDRESS),
    Setting("key", "API token of the server", secret=True, env="LM_API_TOKEN"),
)
_START: Final = (
    "start it: lms server start, or in LM Studio under Developer; gemmahub config set "
    "plugins.lmstudio.url sets another place"
)
_KEY: Final = (
    "make a token in LM Studio under Developer, Server Settings, and set LM_API_TOKEN, or "
    "gemmahub config set plugins.lmstudio.key"
)


def studio_server() -> Server:
    """The server of the settings.

    Raises: BackendError for an address that cannot be one, or a key that cannot be read.
    """
    from gemmahub_openai.servers import Server, server_url

    try:
        settings = settings_of(NAME, SETTINGS)
        url, key = settings["url"], settings["key"] or ""
    except UsageError as error:
        raise BackendError(error.message, error.hint) from None
    address = server_url(url)
    if not address:
        raise BackendError(
            "the setting plugins.lmstudio.url is not a server address",
            f"write it like {ADDRESS}",
        )
    return Server(NAME, address, key)


def listed_here() -> tuple[str, ...]:
    """The addresses that this plugin lists: gemmahub-openai does not look for servers there."""
    try:
        return (studio_server().url,)
    except BackendError:
        return ()


def is_listed() -> bool:
    """Whether this plugin lists what the server has: not where the user has given that very server
    a name in the settings of gemmahub-openai, which then lists it under that name.

    Raises: BackendError.
    """
    from gemmahub_openai.other_plugins import is_used
    from gemmahub_openai.places import all_places, same_place

    place = same_place(studio_server().url)
    try:
        servers = all_places().servers if is_used("openai") else ()
    except UsageError:  # that plugin says what is wrong with its settings
        return True
    return not any(not one.found and same_place(one.url) == place for one in servers)


def in_words(error: BackendError) -> BackendError:
    """An error of the server with what to do about LM Studio in its hint."""
    if isinstance(error, BackendMissing):
        return BackendMissing(error.message, _START)
    if "plugins.openai." in error.hint or "key (HTTP 40" in error.message:
        return type(error)(error.message, _KEY)
    return error

"""Web addresses: which one the hub has, which belong together, where an answer sends on to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import UsageError
from gemmahub.http.addresses import is_web, redirect_target
from gemmahub.hub import failures
from gemmahub.text import one_line

if TYPE_CHECKING:
    import httpx2


def endpoint_of(address: str | None) -> str:
    """The hub's address: the one given, else the client's own.

    Raises: UsageError where it is no web address.
    """
    if not address:
        from huggingface_hub import constants

        address = constants.ENDPOINT
    address = address.rstrip("/")
    if not is_web(address):
        shown = "set to something" if "@" in address else repr(one_line(address, 80))
        raise UsageError(
            f"HF_ENDPOINT is {shown}, which is not a web address",
            "for example: HF_ENDPOINT=https://huggingface.co, or unset it",
        )
    return address


def redirect_of(response: httpx2.Response, url: str) -> str | None:
    """Where an answer sends us on to, None if it does not."""
    target = redirect_target(response, url)
    if target == "":
        raise failures.odd_answer(url, "it redirects to something that is not a web address")
    return target

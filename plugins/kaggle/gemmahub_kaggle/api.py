"""Kaggle's API through kagglehub's own client (kagglesdk): what a model is, its files, where they
are. Answers are checked value by value."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urljoin

from gemmahub.errors import NetworkError, NotFound
from gemmahub.http.addresses import is_web
from gemmahub.http.client import WebClient
from gemmahub.http.limits import ConnectionLost, ExchangeStopped, NoAnswer
from gemmahub.http.values import count_of, object_of, text_of
from gemmahub.text import one_line
from gemmahub_kaggle.endpoint import endpoint
from gemmahub_kaggle.failures import Again, odd, refused, untrusted
from gemmahub_kaggle.file_names import clash_of, problem_of
from gemmahub_kaggle.handle import Handle, is_slug, spelled
from gemmahub_kaggle.login import Login, find_login

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gemmahub_kaggle.client import ModelsClient

_T = TypeVar("_T")
_TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})
_PAGE: Final = 200  # files that are asked for at once
_MOST_FILES: Final = 20_000
_MOST_VARIATIONS: Final = 1_000
_TRIES: Final = 3
_STEP: Final = 0.2  # seconds between two looks whether to stop
_LONGEST_WAIT: Final = 60.0  # seconds that we let a server tell us to wait
_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
# What kagglesdk raises for an answer that is not what its records expect.
_MISFITS: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError)


@dataclass(frozen=True, slots=True)
class Variation:
    """A variation of a model: ``handle`` with its newest version, ``size`` in bytes or None."""

    handle: Handle
    licence: str = ""
    size: int | None = None


@dataclass(frozen=True, slots=True)
class KaggleModelPage:
    """A model in a listing, with its variations."""

    handle: Handle
    title: str
    variations: tuple[Variation, ...]
    private: bool = False


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of a version as the API lists it, ``size`` in bytes. It tells no checksum."""

    name: str
    size: int


class KaggleApi:
    """Asks Kaggle. Nothing is imported or connected until it is used.

    ``wait`` sleeps for a number of seconds. Methods raise NotFound, Gated, NetworkError, UsageError
    for a login that cannot be used; IntegrityError for a listing that is not to be trusted.
    """

    def __init__(self, wait: Callable[[float], None] = time.sleep) -> None:
        self.web = WebClient()
        self.wait = wait
        self._models: ModelsClient | None = None
        self._made_for: tuple[str, Login] | None = None

    def close(self) -> None:
        """Give back connections; it can be used again."""
        self.web.close()

    def variation(self, handle: Handle) -> Variation:
        """A variation with its newest version."""
        found = self._ask(handle, lambda models: models.variation(handle))
        version = count_of(_get(found, "version_number"))
        if not version:
            raise odd(f"{handle.repository} has no version")
        return self._variation(handle, found, version)

    def page(self, handle: Handle) -> KaggleModelPage:
        """A model with all of its variations."""
        return self._page(self._ask(handle, lambda models: models.model(handle)), handle)

    def search(self, text: str, limit: int) -> list[KaggleModelPage]:
        """Models for some words, the best first."""
        anything = Handle("kaggle", "models")
        found = self._ask(anything, lambda models: models.search(text, limit))
        pages = []
        for model in _listed(_get(found, "models"), limit):
            owner, _, slug = text_of(_get(model, "ref"), 300).partition("/")
            if is_slug(owner) and is_slug(slug):
                pages.append(self._page(model, Handle(owner, slug)))
        return pages

    def files(self, handle: Handle) -> tuple[ListedFile, ...]:
        """The files of a version, with names that are safe below a folder."""
        found: list[ListedFile] = []
        token = ""
        seen: set[str] = set()
        while True:
            page = self._ask(handle, partial(_page_of_files, handle, token))
            for entry in _listed(_get(page, "files"), _MOST_FILES):
                found.append(_file(handle, entry))
            if len(found) > _MOST_FILES:
                raise untrusted(handle, f"more than {_MOST_FILES:,} files")
            token = text_of(_get(page, "next_page_token"), 4096)
            if not token:
                break
            if token in seen:
                raise untrusted(handle, "its pages go in a circle")
            seen.add(token)
        if clash := clash_of([file.name for file in found]):
            raise untrusted(handle, f"two files are called {clash!r}")
        return tuple(found)

    def address(self, handle: Handle, name: str, stopped: Callable[[], bool] | None = None) -> str:
        """Where the bytes of a file of a version are: an address that was signed for a while.

        Raises also: ExchangeStopped when ``stopped`` says so.
        """
        said = self._ask(handle, lambda models: models.address(handle, name), stopped)
        url = urljoin(endpoint(), said)
        if not is_web(url):
            raise odd("it sends a file's reader to something that is not a web address")
        return url

    def refusal(self, status: int, handle: Handle) -> NetworkError | NotFound:
        """The error for an answer of 4xx or 5xx of the storage."""
        return refused(status, "", handle, login=self._login.is_there)

    def pause(self, seconds: float, stopped: Callable[[], bool] | None = None) -> None:
        """Wait, unless it is stopped. Raises: ExchangeStopped."""
        while seconds > 0:
            if stopped is not None and stopped():
                raise ExchangeStopped
            self.wait(min(seconds, _STEP))
            seconds -= _STEP

    @property
    def _login(self) -> Login:
        return self._made_for[1] if self._made_for else Login()

    def _ask(
        self,
        handle: Handle,
        call: Callable[[ModelsClient], _T],
        stopped: Callable[[], bool] | None = None,
    ) -> _T:
        """One call, again where that may help."""
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
            raise NetworkError(
                "Kaggle was not contacted: HF_HUB_OFFLINE is set",
                "installed models still work: gemmahub list",
            )
        problem: NetworkError
        for number in range(_TRIES):
            try:
                return self._once(handle, call)
            except (NoAnswer, ConnectionLost) as error:
                problem, seconds = error, 0.5 * 2**number
            except Again as later:
                problem, seconds = later.error, later.seconds or 2.0**number
                if seconds > _LONGEST_WAIT:
                    raise problem from None
            if number + 1 < _TRIES:
                self.pause(seconds, stopped)
        raise problem

    def _once(self, handle: Handle, call: Callable[[ModelsClient], _T]) -> _T:
        models = self._client()
        import requests

        try:
            return call(models)
        except requests.HTTPError as error:
            raise self._refused(error, handle) from None
        except requests.TooManyRedirects:
            raise odd("it redirects to another address") from None
        except NetworkError:
            raise
        except requests.RequestException as error:
            raise odd(self._login.hidden_in(str(error))) from None
        except _MISFITS as error:
            text = self._login.hidden_in(f"{type(error).__name__}: {error}")
            raise odd(f"{text}; or kagglehub is too old") from None

    def _refused(self, error: Any, handle: Handle) -> Exception:
        response = error.response
        body = _body(response)
        status = response.status_code
        if status < 400:  # an error of the API inside an answer of HTTP 200
            status = count_of(body.get("code")) or 500
        said = self._login.hidden_in(text_of(body.get("message"), 500))
        found = refused(status, said, handle, login=self._login.is_there)
        if status in _AGAIN and isinstance(found, NetworkError):
            return Again(found, _seconds(response.headers.get("retry-after", "")))
        return found

    def _client(self) -> ModelsClient:
        """kagglesdk's client for the login and the server of now."""
        made_for = endpoint(), find_login()
        if self._models is None or self._made_for != made_for:
            from gemmahub_kaggle.client import ModelsClient

            self._models, self._made_for = ModelsClient(self.web, *made_for), made_for
        return self._models

    def _page(self, found: object, handle: Handle) -> KaggleModelPage:
        return KaggleModelPage(
            handle,
            one_line(text_of(_get(found, "title"), 200)),
            tuple(self._variations(found, handle)),
            private=_get(found, "is_private") is True,
        )

    def _variations(self, found: object, handle: Handle) -> Iterator[Variation]:
        for each in _listed(_get(found, "instances"), _MOST_VARIATIONS):
            slug, framework = text_of(_get(each, "slug"), 200), framework_of(each)
            if is_slug(slug) and is_slug(framework):
                named = Handle(handle.owner, handle.model, framework, slug)
                yield self._variation(named, each, count_of(_get(each, "version_number")) or 0)

    def _variation(self, handle: Handle, found: object, version: int) -> Variation:
        return Variation(
            replace(handle, version=version, file=""),
            one_line(text_of(_get(found, "license_name"), 100)),
            count_of(_get(found, "total_uncompressed_bytes")) or None,
        )


def framework_of(instance: object) -> str:
    """The framework of a variation as kagglehub spells it."""
    name = getattr(_get(instance, "framework"), "name", "")
    return spelled(str(name).removeprefix("MODEL_FRAMEWORK_"))


def _page_of_files(handle: Handle, token: str, models: ModelsClient) -> Any:
    return models.files(handle, token, _PAGE)


def _file(handle: Handle, entry: object) -> ListedFile:
    name, size = text_of(_get(entry, "name"), 5000), count_of(_get(entry, "size"))
    if problem := problem_of(name):
        raise untrusted(handle, f"the name of a file, {one_line(repr(name), 80)}: {problem}")
    if size is None:
        raise untrusted(handle, f"{one_line(name, 80)} has no size")
    return ListedFile(name, size)


def _get(record: object, name: str) -> object:
    """A value of a record of kagglesdk, None where it has none: it does not look at kinds."""
    return getattr(record, name, None)


def _listed(value: object, most: int) -> list[object]:
    return value[: most + 1] if isinstance(value, list) else []


def _body(response: Any) -> dict[str, Any]:
    from gemmahub.http.values import NotJson, parse_json

    try:
        return object_of(parse_json(response.content))
    except NotJson:
        return {}


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None

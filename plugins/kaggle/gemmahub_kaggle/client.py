"""kagglesdk's client of Kaggle's models, with a transport of ours; imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from kagglehub.enum import to_enum
from kagglesdk.kaggle_env import KaggleEnv
from kagglesdk.kaggle_http_client import KaggleHttpClient
from kagglesdk.models.services.model_api_service import ModelApiClient
from kagglesdk.models.types.model_api_service import (
    ApiDownloadModelInstanceVersionRequest,
    ApiGetModelInstanceRequest,
    ApiGetModelRequest,
    ApiListModelInstanceVersionFilesRequest,
    ApiListModelsRequest,
)
from kagglesdk.models.types.model_enums import ModelFramework

from gemmahub import __version__
from gemmahub.errors import UsageError
from gemmahub.text import one_line
from gemmahub_kaggle.failures import odd
from gemmahub_kaggle.handle import EXAMPLE, FRAMEWORKS
from gemmahub_kaggle.transport import LimitedAdapter

if TYPE_CHECKING:
    from gemmahub.http.client import WebClient
    from gemmahub_kaggle.handle import Handle
    from gemmahub_kaggle.login import Login


class _LimitedHttpClient(KaggleHttpClient):  # type: ignore[misc]  # kagglesdk has no types
    """kagglesdk's requests, carried by ``web`` to the server at ``base``.

    It never prints (kagglesdk does in its own test environment, headers with the login included),
    and no redirect is followed: what one is to means something to who asked.
    """

    def __init__(self, web: WebClient, base: str, login: Login) -> None:
        import kagglehub

        super().__init__(
            env=KaggleEnv.PROD,
            verbose=False,
            username=login.username or None,
            password=login.key or None,
            api_token=login.token or None,
            user_agent=f"gemmahub/{__version__} kagglehub/{kagglehub.__version__}",
        )
        self._endpoint = base
        self._web = web

    def _init_session(self) -> None:
        made = self._session is not None
        super()._init_session()
        if made:
            return
        session: requests.Session = self._session
        session.trust_env = False  # a .netrc is no login at Kaggle
        session.max_redirects = 0
        for scheme in ("https://", "http://"):
            session.mount(scheme, LimitedAdapter(self._web))


class ModelsClient:
    """The calls that are needed. Records are kagglesdk's; raises what it raises, NetworkError for
    what the transport refuses, UsageError for a framework that there is not."""

    def __init__(self, web: WebClient, base: str, login: Login) -> None:
        self._http = _LimitedHttpClient(web, base, login)
        self._api = ModelApiClient(self._http)

    def model(self, handle: Handle) -> Any:
        """A model, with its variations."""
        request = ApiGetModelRequest()
        request.owner_slug, request.model_slug = handle.owner, handle.model
        return self._api.get_model(request)

    def variation(self, handle: Handle) -> Any:
        """A variation."""
        return self._api.get_model_instance(_named(ApiGetModelInstanceRequest(), handle))

    def search(self, text: str, limit: int) -> Any:
        """Models for some words."""
        request = ApiListModelsRequest()
        request.search, request.page_size = text, limit
        return self._api.list_models(request)

    def files(self, handle: Handle, token: str, count: int) -> Any:
        """A page of the files of a version."""
        request = _named(ApiListModelInstanceVersionFilesRequest(), handle)
        request.version_number, request.page_size = handle.version, count
        if token:
            request.page_token = token
        return self._api.list_model_instance_version_files(request)

    def address(self, handle: Handle, name: str) -> str:
        """Where the API sends who wants a file of a version."""
        request = _named(ApiDownloadModelInstanceVersionRequest(), handle)
        request.version_number, request.path = handle.version, name
        try:
            self._api.download_model_instance_version(request)
        except requests.TooManyRedirects as sent_on:
            if sent_on.response is not None:
                return str(sent_on.response.headers.get("location", ""))
        raise odd("it sends something in place of a file's address")


def _named(request: Any, handle: Handle) -> Any:
    request.owner_slug, request.model_slug = handle.owner, handle.model
    request.instance_slug = handle.variation
    try:
        request.framework = to_enum(ModelFramework, handle.framework)
    except ValueError as error:
        raise UsageError(
            f"Kaggle has no framework {one_line(handle.framework, 40)}; it has "
            f"{', '.join(FRAMEWORKS)}",
            EXAMPLE,
        ) from error
    return request

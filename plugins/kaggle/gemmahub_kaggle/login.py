"""The login at Kaggle, found as kagglehub finds it: nothing here reads, keeps or shows it.

Source: kagglehub 1.0 ``config.py`` (``get_kaggle_credentials``) and kagglesdk 0.1.38
``kaggle_env.py``: ``KAGGLE_API_TOKEN``, ``~/.kaggle/access_token``, ``KAGGLE_USERNAME`` with
``KAGGLE_KEY``, ``kaggle.json`` in ``KAGGLE_CONFIG_DIR`` or ``~/.kaggle``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gemmahub.engines.contract import CheckResult
from gemmahub.errors import UsageError
from gemmahub_kaggle.endpoint import PAGES

HOW: Final = (
    f"make a token at {PAGES}/settings/api and set KAGGLE_API_TOKEN, or save it in ~/.kaggle"
)


@dataclass(frozen=True, slots=True)
class Login:
    """A token, or a name with its key; neither for none. Its text never shows it."""

    token: str = field(default="", repr=False)
    username: str = field(default="", repr=False)
    key: str = field(default="", repr=False)

    @property
    def is_there(self) -> bool:
        """Whether there is any."""
        return bool(self.token or (self.username and self.key))

    def hidden_in(self, text: str) -> str:
        """A text without the secrets in it."""
        for secret in (self.token, self.key):
            text = text.replace(secret, "***") if secret else text
        return text


def find_login() -> Login:
    """The login that kagglehub would use.

    Raises: UsageError for a file that cannot be read, or a login that no header can carry.
    """
    from kagglehub.config import get_kaggle_credentials

    try:
        found = get_kaggle_credentials()
    except (ValueError, OSError, TypeError, AttributeError) as error:
        # The text of such an error may hold a piece of the file: it is not shown.
        raise UsageError("Kaggle's login cannot be read: kaggle.json is damaged", HOW) from error
    login = Login() if found is None else _login(found.api_key, found.username, found.key)
    if not all(s.isascii() and s.isprintable() for s in (login.token, login.username, login.key)):
        raise UsageError("Kaggle's login has invalid characters", HOW)
    return login


def _login(*values: object) -> Login:
    token, username, key = (value if isinstance(value, str) else "" for value in values)
    return Login(token.strip(), username.strip(), key.strip())


def checks() -> list[CheckResult]:
    """Whether a login is there, by the names of variables and files alone."""
    folder = Path(os.environ.get("KAGGLE_CONFIG_DIR") or Path.home() / ".kaggle")
    if os.environ.get("KAGGLE_API_TOKEN"):
        where = "KAGGLE_API_TOKEN"
    elif os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        where = "KAGGLE_USERNAME and KAGGLE_KEY"
    else:
        home = Path.home() / ".kaggle"
        files = (home / "access_token", home / "access_token.txt", folder / "kaggle.json")
        where = next((str(path) for path in files if path.is_file()), "")
    if where:
        return [CheckResult("Kaggle", "ok", f"a login is in {where}")]
    return [CheckResult("Kaggle", "ok", "no login: models with a licence to accept need one", HOW)]

"""A server that is not Kaggle, or not well: one clear error each, and nothing is kept of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import (
    Gated,
    GemmahubError,
    IntegrityError,
    NetworkError,
    NotFound,
    RangesIgnored,
    UsageError,
)
from gemmahub.http.limits import Limits
from gemmahub_kaggle.endpoint import VARIABLE
from plugins.kaggle.tests.fake_kaggle import TOKEN
from plugins.kaggle.tests.models import GGUF
from plugins.kaggle.tests.test_pull import CONTENT, REFERENCE, found_in, tree

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub_kaggle.source import KaggleSource
    from plugins.kaggle.tests.fake_kaggle import RunningKaggle

SIZES = "ListModelInstanceVersionFiles"


@pytest.fixture(autouse=True)
def a_model(kaggle: RunningKaggle) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})


# --- the API -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("page", NetworkError, "invalid answer: it is not JSON"),
        ("loop", NetworkError, "redirects to another address"),
        ("429", NetworkError, "limits requests"),
        ("500", NetworkError, "HTTP 500"),
        ("403", Gated, "asks for a login"),
        ("401", Gated, "asks for a login"),
        ("inside", Gated, "has not consented to terms of use"),
        ("json [", NetworkError, "not JSON"),
        ("json " + "[" * 100_000, NetworkError, "not JSON that is taken"),
        ("json [1, 2]", NetworkError, "invalid answer"),
        ("json 5", NetworkError, "invalid answer"),
        ("json {}", NetworkError, "has no version"),
        ('json {"versionNumber": "x"}', NetworkError, "has no version"),
        ('json {"framework": "MODEL_FRAMEWORK_NEW"}', NetworkError, "invalid answer"),
        ('json {"code": 403}', NetworkError, "has no version"),
        ('json {"code": "x", "message": 5}', NetworkError, "invalid answer"),
    ],
)
def test_answers_that_no_variation_gives(
    kaggle: RunningKaggle,
    source: KaggleSource,
    fault: str,
    error: type[GemmahubError],
    said: str,
) -> None:
    kaggle.faults["/GetModelInstance"] = fault
    with pytest.raises(error) as caught:
        source.find(REFERENCE)
    assert said in caught.value.message, caught.value.message
    assert caught.value.hint
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ({"tiny.gguf": {"name": "../../../../.bashrc"}}, "leads out of its folder"),
        ({"tiny.gguf": {"name": "/etc/cron.d/x"}}, "absolute"),
        ({"tiny.gguf": {"name": "a\\..\\..\\x"}}, "leads out of its folder"),
        ({"tiny.gguf": {"name": "x\u001b[2J.gguf"}}, "control characters"),
        ({"tiny.gguf": {"name": ""}}, "empty"),
        ({"tiny.gguf": {"name": 5}}, "empty"),
        ({"tiny.gguf": {"name": "model.gguf.complete"}}, "ends in .complete"),
        ({"tiny.gguf": {"size": -1}}, "has no size"),
        ({"tiny.gguf": {"size": "many"}}, "has no size"),
        ({"tiny.gguf": {"size": 1e300}}, "has no size"),
        ({"*": {"nextPageToken": "0"}}, "go in a circle"),
    ],
)
def test_listings_that_are_refused(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path, listed: dict[str, object], said: str
) -> None:
    kaggle.listed = listed
    with pytest.raises(IntegrityError, match=said):
        source.find(REFERENCE)
    assert not cache.exists()


def test_two_files_with_one_name(kaggle: RunningKaggle, source: KaggleSource) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT, "TINY.gguf": CONTENT})
    with pytest.raises(IntegrityError, match="two files"):
        source.find(REFERENCE)


def test_what_passes_is_tried_again(kaggle: RunningKaggle, source: KaggleSource) -> None:
    waits: list[float] = []
    source.api.wait = waits.append
    kaggle.faults["/GetModelInstance"] = "once 429"
    kaggle.faults["/ListModelInstanceVersionFiles"] = "once 503"
    kaggle.faults["/gcs/"] = "once 503"
    assert source.pull(found_in(source)).moved_bytes == len(CONTENT)
    assert len(waits) >= 3
    assert max(waits) <= 0.2  # and it is asked each time whether to stop


def test_a_server_that_says_nothing(
    kaggle: RunningKaggle, source: KaggleSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gemmahub_kaggle.transport.LIMITS", Limits(silence=0.3, total=0.5))
    kaggle.faults["/GetModelInstance"] = "hang"
    with pytest.raises(NetworkError, match=r"does not answer|too slowly"):
        source.find(REFERENCE)


def test_nobody_is_there(source: KaggleSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:1")
    with pytest.raises(NetworkError, match="cannot be reached"):
        source.find(REFERENCE)


def test_offline_no_server_is_contacted(
    kaggle: RunningKaggle, source: KaggleSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NetworkError, match="HF_HUB_OFFLINE"):
        source.find(REFERENCE)
    assert kaggle.seen == []


@pytest.mark.parametrize("address", ["nonsense", "ftp://x", "http://"])
def test_a_mirror_that_is_not_an_address(
    source: KaggleSource, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv(VARIABLE, address)
    with pytest.raises(UsageError, match="not a web address"):
        source.find(REFERENCE)


# --- the storage ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "error", "said"),
    [
        ({"damage": "yes"}, IntegrityError, "another MD5"),
        ({"/gcs/": "page"}, NetworkError, "a web page in place of tiny.gguf"),
        ({"/gcs/": "loop"}, NetworkError, "redirects endlessly"),
        ({"/gcs/": "to file:///etc/passwd"}, NetworkError, "not a web address"),
        ({"/gcs/": "403"}, Gated, "asks for a login"),
        ({"/gcs/": "404"}, NotFound, "has no google/gemma-3"),
        ({"/gcs/": "500"}, NetworkError, "HTTP 500"),
        ({"/Download": "page"}, NetworkError, "invalid answer"),
        ({"/Download": "to ftp://x/y"}, NetworkError, "not a web address"),
        ({"/Download": "json {}"}, NetworkError, "in place of a file's address"),
        ({"/Download": "404"}, NotFound, "has no google/gemma-3"),
    ],
)
def test_a_storage_that_is_none(
    kaggle: RunningKaggle,
    source: KaggleSource,
    cache: Path,
    faults: dict[str, str],
    error: type[GemmahubError],
    said: str,
) -> None:
    found = found_in(source)
    kaggle.faults |= faults
    with pytest.raises(error) as caught:
        source.pull(found)
    assert said in caught.value.message
    variation = cache / "google/gemma-3/gguf/tiny-q8_0"
    assert not list(variation.rglob("*.complete"))
    assert not any(tree(variation / "1").values())


@pytest.mark.parametrize("more", [-10, 10])
def test_another_size_than_was_listed(
    kaggle: RunningKaggle, source: KaggleSource, more: int
) -> None:
    kaggle.listed["tiny.gguf"] = {"size": len(CONTENT) + more}
    found = found_in(source)
    with pytest.raises(IntegrityError, match="but its storage has"):
        source.pull(found)


def test_a_size_that_is_left_out(kaggle: RunningKaggle, source: KaggleSource, cache: Path) -> None:
    """kagglesdk makes 0 of it: nothing of 0 bytes is taken for the file."""
    kaggle.listed["tiny.gguf"] = {"size": 0}
    with pytest.raises(IntegrityError, match="0 B, but its storage has 1"):
        source.pull(found_in(source))
    assert not list(cache.rglob("*.complete"))


@pytest.mark.parametrize("faults", [{}, {"noranges": "yes"}])
def test_a_file_that_is_empty(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path, faults: dict[str, str]
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT, "empty.txt": b""}, version=2)
    kaggle.faults |= faults
    source.pull(found_in(source))
    folder = cache / "google/gemma-3/gguf/tiny-q8_0/2"
    assert tree(folder) == {"tiny.gguf": CONTENT, "empty.txt": b""}


def test_a_storage_without_ranges(kaggle: RunningKaggle, source: KaggleSource, cache: Path) -> None:
    """The whole can be fetched, a part of it not."""
    kaggle.faults["noranges"] = "yes"
    found = found_in(source)
    with source.open(found, found.weights[0]) as opened, pytest.raises(RangesIgnored):
        opened.read(0, 4)
    assert source.pull(found).moved_bytes == len(CONTENT)


def test_a_beginning_is_of_no_use_without_ranges(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path
) -> None:
    folder = cache / "google/gemma-3/gguf/tiny-q8_0/1"
    folder.mkdir(parents=True)
    (folder / "tiny.gguf").write_bytes(CONTENT[:1000])
    kaggle.faults["noranges"] = "yes"
    source.pull(found_in(source))
    assert tree(folder) == {"tiny.gguf": CONTENT}


def test_the_login_goes_to_the_api_alone(
    kaggle: RunningKaggle, source: KaggleSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    source.pull(found_in(source))
    assert {login for host, login in kaggle.logins if host == "127.0.0.1"} == {f"Bearer {TOKEN}"}
    assert {login for host, login in kaggle.logins if host == "localhost"} == {""}


# --- login and licence ---------------------------------------------------------------------------


def test_a_licence_to_accept(
    kaggle: RunningKaggle, source: KaggleSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaggle.gated, kaggle.accepted = True, False
    found = found_in(source)
    with pytest.raises(Gated, match="asks for a login") as caught:
        source.pull(found)
    assert "kaggle.com/settings/api" in caught.value.hint
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    with pytest.raises(Gated, match="accept its licence first") as caught:
        source.pull(found)
    assert "consented to terms of use" in caught.value.message
    assert "https://www.kaggle.com/models/google/gemma-3 " in caught.value.hint
    kaggle.accepted = True
    assert source.pull(found).moved_bytes == len(CONTENT)


@pytest.mark.parametrize("kind", ["token", "file", "key", "json"])
def test_a_wrong_login_is_never_shown(
    kaggle: RunningKaggle,
    source: KaggleSource,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    secret = "KGAT_ffffffffffffffffffffffffffffffff"
    folder = tmp_path / "home" / ".kaggle"
    folder.mkdir()
    if kind == "token":
        monkeypatch.setenv("KAGGLE_API_TOKEN", secret)
    elif kind == "file":
        (folder / "access_token").write_text(f"{secret}\n")
    elif kind == "key":
        monkeypatch.setenv("KAGGLE_USERNAME", "me")
        monkeypatch.setenv("KAGGLE_KEY", secret)
        kaggle.faults["/GetModelInstance"] = "401"
    else:
        (folder / "kaggle.json").write_text(f'{{"username": "me", "key": "{secret}"')
    with pytest.raises(GemmahubError) as caught:
        source.find(REFERENCE)
    assert isinstance(caught.value, UsageError if kind == "json" else Gated)
    shown = f"{caught.value.in_full} {caught.value!r} {vars(source.api)!r}"
    assert secret not in shown
    assert secret not in "".join(capfd.readouterr())
    assert "kaggle.com/settings/api" in caught.value.hint


def test_a_login_by_name_and_key(
    kaggle: RunningKaggle, source: KaggleSource, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / ".kaggle"
    folder.mkdir()
    (folder / "kaggle.json").write_text('{"username": "me", "key": "0123"}')
    found_in(source)
    assert {login for _, login in kaggle.logins} == {"Basic bWU6MDEyMw=="}


@pytest.mark.parametrize("token", ["a\nb: c", "ä", "\x1b[2J"])
def test_a_login_that_is_not_a_header(
    kaggle: RunningKaggle, source: KaggleSource, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", token)
    with pytest.raises(UsageError, match="invalid characters"):
        source.find(REFERENCE)
    assert kaggle.seen == []


def test_kaggles_own_test_environment_prints_nothing(
    kaggle: RunningKaggle,
    source: KaggleSource,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """kagglesdk prints headers there, the login among them."""
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "TEST")
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    source.pull(found_in(source))
    assert capfd.readouterr() == ("", "")
    assert os.environ["KAGGLE_API_ENVIRONMENT"] == "TEST"


def test_doctor_says_where_the_login_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from gemmahub_kaggle.login import checks

    (none,) = checks()
    assert "no login" in none.message
    assert "KAGGLE_API_TOKEN" in none.hint
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    (there,) = checks()
    assert (there.status, there.message) == ("ok", "a login is in KAGGLE_API_TOKEN")
    assert TOKEN not in repr(there)

"""Answers of a hub that is broken, or hostile: a record or an error, nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.errors import GemmahubError, IntegrityError, NetworkError, NotFound
from gemmahub.hub.choose import by_file, by_label, models_in
from gemmahub.hub.listing import repository_of
from gemmahub.hub.path_names import problem_of
from gemmahub.hub.records import Repository
from gemmahub.text import strip_controls

COMMIT = "c0ffee" + "0" * 34
ENDPOINT = "https://hub.example"

_scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("gemma.gguf")
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_names = st.sampled_from(
    ["m-Q4_0.gguf", "m-Q4_0-00001-of-00002.gguf", "mmproj.gguf", "config.json", "model.safetensors",
     "a/config.json", "a/model.safetensors", "UD-Q4_0.gguf", "-00000-of-00000.gguf", ".gguf"]
)  # fmt: skip
_files = st.lists(
    st.fixed_dictionaries(
        {"rfilename": _names | st.text(max_size=6) | _values},
        optional={"size": _values | st.integers(0, 9), "lfs": _values, "blobId": _values},
    )
    | _values,
    max_size=6,
)


@given(
    st.fixed_dictionaries(
        {"sha": st.just(COMMIT) | _values, "siblings": _files | _values},
        optional=dict.fromkeys(("id", "gated", "cardData", "tags", "downloads"), _values),
    )
    | _values
)
def test_any_answer_is_a_repository_or_an_error(data: Any) -> None:
    failure: GemmahubError | None = None
    try:
        repository = repository_of(data, "user/repo", "main", ENDPOINT)
        assert isinstance(repository, Repository)
        assert not any(problem_of("file", file.path) for file in repository.files)
        for model in models_in(repository):
            assert model.size_bytes >= 0
            by_file(repository, model.files[0].path)
        by_label(repository, "Q4_0")
    except GemmahubError as error:
        failure = error
    if failure is not None:
        assert failure.message == strip_controls(failure.message)
        assert failure.hint


@pytest.mark.parametrize("data", [None, [], {}, {"sha": "main"}, {"sha": 7}, "page"])
def test_an_answer_without_a_commit_is_not_a_repository(data: Any) -> None:
    with pytest.raises(NetworkError, match="invalid answer"):
        repository_of(data, "user/repo", "main", ENDPOINT)


def test_what_the_hub_says_about_a_repository() -> None:
    found = repository_of(
        {
            "id": "User/Repo", "sha": COMMIT, "gated": "auto", "private": True, "downloads": 5,
            "cardData": {"license": "other", "license_name": "g\x1b[1mx",
                         "license_link": "javascript:x"},
            "siblings": [
                {"rfilename": "a", "size": 1, "lfs": {"oid": "sha256:" + "A" * 64, "size": 9}}
            ],
        },
        "user/repo", "main", ENDPOINT,
    )  # fmt: skip
    assert (found.name, found.gated, found.private, found.downloads) == (
        "User/Repo",
        "auto",
        True,
        5,
    )
    assert (found.licence, found.licence_url) == ("gx", "https://hub.example/User/Repo")
    assert (found.files[0].size, found.files[0].sha256) == (9, "a" * 64)


@pytest.mark.parametrize(
    "name",
    ["../..", "..", "user/..", "../repo", "user/../..", "/etc/passwd", "user/re\x1b[2Jpo", "",
     "user", "user/" + "r" * 97, "a--b/repo", "user/a..b", "user\\repo", "user/repo\n", 5, [], True,
     {}],
)  # fmt: skip
def test_a_repository_that_calls_itself_what_none_is_called_is_refused(name: Any) -> None:
    with pytest.raises(IntegrityError, match="names a repository") as failure:
        repository_of({"id": name, "sha": COMMIT, "siblings": []}, "user/repo", "main", ENDPOINT)
    assert failure.value.message.isprintable()
    assert "HF_ENDPOINT" in failure.value.hint


@pytest.mark.parametrize("size", [-1, 10**400, (16 << 40) + 1, 1e9, "9", None, True, [9]])
@pytest.mark.parametrize("lfs", [True, False])
def test_a_file_of_an_impossible_size_is_left_out_and_said(size: Any, lfs: bool) -> None:
    bad = {"rfilename": "m-Q4_0.gguf", "size": size}
    if lfs and size is not None:
        bad |= {"size": 9, "lfs": {"sha256": "a" * 64, "size": size}}
    good = {"rfilename": "m-Q8_0.gguf", "size": 9}
    data = {"id": "user/repo", "sha": COMMIT, "siblings": [bad, good]}
    found = repository_of(data, "user/repo", "main", ENDPOINT)
    assert [file.path for file in found.files] == ["m-Q8_0.gguf"]
    with pytest.raises(NotFound, match=r"m-Q4_0\.gguf left out"):
        by_file(found, "m-Q4_0.gguf")
    alone = repository_of(data | {"siblings": [bad]}, "user/repo", "main", ENDPOINT)
    with pytest.raises(NotFound, match=r"m-Q4_0\.gguf left out"):
        by_label(alone, None)


@pytest.mark.parametrize("name", ["a/" * 501 + "m.gguf", "m" * 236 + ".gguf", "ü" * 121 + ".gguf"])
def test_a_name_that_no_file_system_stores_is_left_out(name: str) -> None:
    data = {"id": "user/repo", "sha": COMMIT, "siblings": [{"rfilename": name, "size": 9}]}
    found = repository_of(data, "user/repo", "main", ENDPOINT)
    assert not found.files
    assert len(found.skipped) == 1

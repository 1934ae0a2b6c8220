"""What servers and lines do: each fault is noticed, mended where it can be, and explained."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import Gated, GemmahubError, IntegrityError, NetworkError, NotFound, UsageError
from gemmahub.formats.detect import open_model
from gemmahub.hub.source import Hub
from gemmahub.testing.hub.content import Served
from gemmahub.testing.hub.models import mlx_folder, served, small_model, write_model
from tests.hub.ways import read

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.testing.hub.server import HubServer

TOKEN = "hf_" + "s3cr3t" * 6


@pytest.fixture
def big(server: HubServer, tmp_path: Path) -> Served:
    """A model of 1 GB with a header of some hundred KB, in user/repo."""
    file, _ = write_model(tmp_path / "big-Q4_0.gguf", words=20_000, layers=20)
    server.add("user/repo", {file.path: file})
    return file


def same(hub: Hub, file: Served, tmp_path: Path) -> None:
    """The remote model is read, and is what the file says."""
    assert read(hub, "user/repo").tensors == open_model(tmp_path / file.path).tensors


# --- lines that break -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value"),
    [("break", 0), ("break", 1), ("break", 40_000), ("truncate", 1), ("truncate", 40_000)],
)
def test_a_connection_that_breaks_is_taken_up_again(
    server: HubServer, hub: Hub, big: Served, tmp_path: Path, waits: list[float], said: list[str],
    kind: str, value: int,
) -> None:  # fmt: skip
    server.fault(kind, match="/blob/", value=value, times=3, skip=1)  # type: ignore[arg-type]
    same(hub, big, tmp_path)
    assert server.sent_twice(big.path) == 0
    assert waits
    assert all("trying again" in line for line in said)


def test_a_line_that_breaks_always_is_given_up(
    server: HubServer, hub: Hub, big: Served, waits: list[float]
) -> None:
    server.fault("break", match="/blob/", value=0, times=None)
    with pytest.raises(NetworkError, match="broke") as failure:
        read(hub, "user/repo")
    assert "try again" in failure.value.hint
    assert waits == [0.5, 1.0, 2.0]


def test_a_line_that_gives_little_each_time_still_gets_there(
    server: HubServer, hub: Hub, big: Served, tmp_path: Path
) -> None:
    server.fault("break", match="/blob/", value=60_000, times=10)
    same(hub, big, tmp_path)
    assert server.sent_twice(big.path) == 0


def test_a_server_that_stalls(
    server: HubServer, big: Served, tmp_path: Path, waits: list[float], hub: Hub
) -> None:
    server.fault("stall", match="/blob/", value=1000)
    patient = Hub(None, hub.catalog, wait=waits.append, timeout=0.5)
    same(patient, big, tmp_path)
    assert len(waits) == 1
    assert server.sent_twice(big.path) == 0


def test_a_server_that_stalls_always(server: HubServer, big: Served, hub: Hub) -> None:
    server.fault("stall", match="/blob/", value=0, times=None)
    with pytest.raises(NetworkError, match="stopped answering"):
        read(Hub(None, hub.catalog, wait=lambda seconds: None, timeout=0.2), "user/repo")


def test_nobody_listens(hub: Hub, waits: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    nowhere = Hub(None, hub.catalog, endpoint=f"http://127.0.0.1:{port}", wait=waits.append)
    with pytest.raises(NetworkError, match="cannot be reached") as failure:
        nowhere.resolve("user/repo")
    assert failure.value.exit_code == 6
    assert "HF_ENDPOINT" in failure.value.hint


# --- servers that answer otherwise ----------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
@pytest.mark.parametrize("match", ["/api/", "/resolve/", "/blob/"])
def test_a_server_in_trouble_is_asked_again(
    server: HubServer, hub: Hub, big: Served, tmp_path: Path, waits: list[float], status: int,
    match: str,
) -> None:  # fmt: skip
    server.fault("status", match=match, value=status, times=2)
    same(hub, big, tmp_path)
    assert waits == [0.5, 1.0]


def test_a_server_in_trouble_for_long(server: HubServer, hub: Hub, big: Served) -> None:
    server.fault("status", value=503, times=None, headers={"X-Error-Message": "down \x1b[31mnow"})
    with pytest.raises(NetworkError, match="a problem") as failure:
        hub.resolve("user/repo")
    assert failure.value.message.endswith("down now")


@pytest.mark.parametrize("match", ["/api/", "/resolve/", "/blob/"])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed";"api";q=500;w=300'}, 56.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)  # fmt: skip
def test_a_rate_limit_is_waited_for_as_told(
    server: HubServer, hub: Hub, big: Served, tmp_path: Path, waits: list[float], said: list[str],
    headers: dict[str, str], seconds: float, match: str,
) -> None:  # fmt: skip
    server.fault("status", match=match, value=429, times=2, headers=headers)
    same(hub, big, tmp_path)
    assert waits == [seconds, seconds]
    assert said == [f"127.0.0.1 limits requests: waiting {seconds:,.0f} s"] * 2


def test_a_rate_limit_without_a_time(
    server: HubServer, hub: Hub, big: Served, waits: list[float]
) -> None:
    server.fault("status", value=429, times=None)
    with pytest.raises(NetworkError, match="limits requests"):
        hub.resolve("user/repo")
    assert waits == [0.5, 1.0, 2.0]


def test_a_rate_limit_for_hours_is_not_waited_for(
    server: HubServer, hub: Hub, big: Served, waits: list[float]
) -> None:
    server.fault("status", value=429, times=None, headers={"Retry-After": "7200"})
    with pytest.raises(NetworkError, match="7,200 s"):
        hub.resolve("user/repo")
    assert not waits


def test_a_server_that_ignores_ranges_is_left_at_once(
    server: HubServer, hub: Hub, big: Served
) -> None:
    server.fault("ignore range", match="/blob/", times=None)
    with pytest.raises(NetworkError, match="ignores byte ranges") as failure:
        read(hub, "user/repo")
    assert "gemmahub pull" in failure.value.hint
    assert len(server.requests("/blob/")) == 1
    # What the kernel's buffers of a connection take, and no more.
    assert server.sent(big.path) < 20_000_000 < big.size


def test_a_small_file_may_come_whole(server: HubServer, hub: Hub) -> None:
    data = small_model()
    assert len(data) < 65536
    server.add("user/repo", {"m.gguf": data})
    server.fault("ignore range", match="/blob/", times=None)
    assert read(hub, "user/repo").size_bytes == len(data)


@pytest.mark.parametrize(
    ("kind", "match", "value"),
    [("etag", "/blob/", 0), ("size", "/blob/", 5), ("commit", "/resolve/", 0)],
)
def test_a_file_that_changes_meanwhile_is_noticed(
    server: HubServer, hub: Hub, big: Served, kind: str, match: str, value: int
) -> None:
    skip = 1 if match == "/blob/" else 0
    server.fault(kind, match=match, value=value, times=None, skip=skip)  # type: ignore[arg-type]
    with pytest.raises(NetworkError, match="changed while it was read") as failure:
        read(hub, "user/repo")
    assert "try again" in failure.value.hint


def test_a_file_replaced_behind_its_commit(
    server: HubServer, hub: Hub, big: Served, tmp_path: Path
) -> None:
    model = hub.find("user/repo")
    other, _ = write_model(tmp_path / "other.gguf", words=100)
    files = server.repos["user/repo"].commits[server.repos["user/repo"].head]
    files[big.path] = Served(big.path, other.data, other.sha256, other.blob, other.size, lfs=True)
    with pytest.raises(NetworkError, match="changed while it was read"):
        read(hub, model)
    assert server.sent(big.path) == 0


def test_a_file_of_the_same_size_behind_its_commit(
    server: HubServer, hub: Hub, big: Served
) -> None:
    model = hub.find("user/repo")
    files = server.repos["user/repo"].commits[server.repos["user/repo"].head]
    files[big.path] = Served(big.path, big.data, "f" * 64, big.blob, big.size, lfs=True)
    with pytest.raises(NetworkError, match="its sha256 has changed"):
        read(hub, model)


def test_an_expired_address_is_requested_again(
    server: HubServer, hub: Hub, big: Served, tmp_path: Path
) -> None:
    model = hub.find("user/repo")
    with hub.open(model, model.files[0]) as source:
        begin = source.read(0, 100)
        server.expire()
        assert source.read(0, 100_000)[:100] == begin
    assert server.sent_twice(big.path) == 0
    assert [seen.status for seen in server.requests("/blob/")] == [206, 403, 206]


def test_the_redirect_is_resolved_once(server: HubServer, hub: Hub, big: Served) -> None:
    read(hub, "user/repo")
    assert len(server.requests("/resolve/")) == 1
    assert len(server.requests("/blob/")) > 1


def test_a_mirror_that_sends_on(server: HubServer, hub: Hub, big: Served, tmp_path: Path) -> None:
    server.fault("redirect", match="/blob/", times=3)
    same(hub, big, tmp_path)
    assert server.sent_twice(big.path) == 0


def test_redirects_endlessly(server: HubServer, hub: Hub, big: Served) -> None:
    server.fault("redirect", match="/blob/", times=None)
    with pytest.raises(NetworkError, match="endlessly"):
        read(hub, "user/repo")


@pytest.mark.parametrize("way", ["header", "pull"])
def test_a_mirror_that_loses_the_commit_is_found_out_before_the_weights(
    server: HubServer, hub: Hub, big: Served, way: str
) -> None:
    server.fault("no commit", match=big.path, times=None)
    with pytest.raises(
        NetworkError, match=r"big-Q4_0\.gguf lacks the header X-Repo-Commit"
    ) as failure:
        read(hub, "user/repo") if way == "header" else hub.pull(hub.find("user/repo"))
    assert "HF_ENDPOINT" in failure.value.hint
    assert "again" not in failure.value.hint
    assert server.sent(big.path) == 0
    assert len(server.requests("/resolve/")) == 1


@pytest.mark.parametrize("match", ["/api/", "/blob/"])
def test_a_login_page_in_place_of_the_answer(
    server: HubServer, hub: Hub, big: Served, match: str
) -> None:
    server.fault("page", match=match, times=None)
    with pytest.raises(NetworkError, match=r"not JSON|ignores byte ranges"):
        read(hub, "user/repo")


def test_wrong_bytes_in_a_header(server: HubServer, hub: Hub, big: Served) -> None:
    server.fault("corrupt", match="/blob/", value=9)
    with pytest.raises(GemmahubError) as failure:
        read(hub, "user/repo")
    assert isinstance(failure.value, IntegrityError)


def test_a_truncated_index(server: HubServer, hub: Hub, tmp_path: Path) -> None:
    files = mlx_folder(tmp_path)
    files["model.safetensors.index.json"] = b'{"weight_map": {"a": "../../x"}}'
    server.add("user/mlx", served(files), tags=("mlx",))
    with pytest.raises(IntegrityError, match="not a file of its folder"):
        read(hub, "user/mlx")
    files["model.safetensors.index.json"] = b'{"weight_map'
    server.add("user/mlx", served(files))
    with pytest.raises(IntegrityError, match="damaged"):
        read(hub, "user/mlx")


# --- who may --------------------------------------------------------------------------------------


@pytest.fixture
def gated(server: HubServer, big: Served) -> str:
    server.repos["user/repo"].gated = "manual"
    return "user/repo"


def test_a_gated_repository_resolves_and_says_so(hub: Hub, gated: str) -> None:
    assert hub.resolve(gated).repository.gated == "manual"


def test_gated_without_a_login(server: HubServer, hub: Hub, gated: str) -> None:
    with pytest.raises(Gated, match="gated") as failure:
        read(hub, gated)
    assert f"{server.endpoint}/user/repo" in failure.value.hint
    assert "hf auth login" in failure.value.hint
    assert (failure.value.kind, failure.value.exit_code) == ("gated", 6)


def test_gated_with_a_login_that_has_not_accepted(server: HubServer, hub: Hub, gated: str) -> None:
    server.allow(TOKEN)
    with pytest.raises(Gated, match="not accepted") as failure:
        read(Hub(None, hub.catalog, token=TOKEN), gated)
    assert TOKEN not in failure.value.message + failure.value.hint


def test_the_login_goes_to_the_hub_and_nowhere_else(
    server: HubServer, hub: Hub, gated: str, big: Served, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    server.allow(TOKEN, gated)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.delenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")
    same(Hub(None, hub.catalog, token=True), big, tmp_path)
    assert any(seen.token == TOKEN for seen in server.requests("/resolve/"))
    assert not server.leaked()


def test_the_login_is_never_shown(server: HubServer, hub: Hub, big: Served) -> None:
    echo = {"X-Error-Message": f"bad token Bearer {TOKEN}"}
    server.fault("status", value=400, times=None, headers=echo)
    with pytest.raises(NetworkError) as failure:
        Hub(None, hub.catalog, token=TOKEN).resolve("user/repo")
    assert TOKEN not in f"{failure.value.message} {failure.value.hint} {failure.value!r}"
    assert "***" in failure.value.message


def test_a_login_that_is_not_valid_any_more(server: HubServer, hub: Hub, big: Served) -> None:
    message = {"X-Error-Message": "Invalid credentials in Authorization header"}
    server.fault("status", value=401, times=None, headers=message)
    with pytest.raises(NetworkError, match="rejected the login") as failure:
        Hub(None, hub.catalog, token=TOKEN).resolve("user/repo")
    assert "hf auth login" in failure.value.hint


def test_a_private_repository_and_none_at_all(server: HubServer, hub: Hub, big: Served) -> None:
    server.repos["user/repo"].private = True
    for name in ("user/repo", "user/none"):
        with pytest.raises(NotFound, match="no repository") as failure:
            hub.resolve(name)
        assert "hf auth login" in failure.value.hint
    server.allow(TOKEN, "user/repo")
    assert Hub(None, hub.catalog, token=TOKEN).resolve("user/repo").repository.private


# --- settings -------------------------------------------------------------------------------------


def test_offline_nothing_is_sent(
    server: HubServer, hub: Hub, big: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for ask in (lambda: hub.resolve("user/repo"), lambda: hub.search("gemma")):
        with pytest.raises(NetworkError, match="HF_HUB_OFFLINE"):
            ask()
    assert not server.seen


@pytest.mark.parametrize(
    "address", ["huggingface.co", "ftp://x", "http://[bad", "http://x:port", "user:secret@hub"]
)
def test_an_endpoint_that_is_not_an_address(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(UsageError, match="HF_ENDPOINT") as failure:
        hub.resolve("user/repo")
    assert "secret" not in failure.value.message


def test_a_login_in_the_endpoint_is_never_shown(
    server: HubServer, hub: Hub, monkeypatch: pytest.MonkeyPatch, big: Served
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint.replace("://", "://me:secret@"))
    server.repos["user/repo"].gated = "auto"
    door = Hub(None, hub.catalog)
    assert "secret" not in door.resolve("user/repo").repository.licence_url
    with pytest.raises(Gated) as failure:
        read(door, "user/repo")
    assert "secret" not in failure.value.message + failure.value.hint


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://[bad", "http://x:99999/"])
def test_a_redirect_to_nowhere(server: HubServer, hub: Hub, big: Served, location: str) -> None:
    server.fault("status", match="/resolve/", value=302, headers={"Location": location})
    with pytest.raises(NetworkError, match="not a web address"):
        read(hub, "user/repo")


def test_a_proxy_is_used(
    server: HubServer, hub: Hub, big: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host does not exist; our server answers for it, as a proxy does."""
    import huggingface_hub

    monkeypatch.setenv("HTTP_PROXY", server.endpoint)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    huggingface_hub.close_session()
    through = Hub(None, hub.catalog, endpoint="http://hub.invalid", wait=lambda seconds: None)
    assert through.resolve("user/repo").files[0].path == big.path
    assert server.seen[0].path.startswith("http://hub.invalid/api/models/user/repo")
    huggingface_hub.close_session()


def test_a_proxy_that_is_none(server: HubServer, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setenv("HTTP_PROXY", "nonsense://user:secret@x")
    huggingface_hub.close_session()
    with pytest.raises(UsageError, match="proxy") as failure:
        hub.resolve("user/repo")
    assert "secret" not in failure.value.message


def test_several_threads_may_use_one_door(server: HubServer, hub: Hub, big: Served) -> None:
    found: list[int] = []

    def look() -> None:
        found.append(len(read(hub, "user/repo").tensors))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1

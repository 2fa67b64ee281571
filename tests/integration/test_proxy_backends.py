"""The proxy between curl and servers that are not ours: methods, bodies, framing, upgrades; all of it as it came."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from tests.integration.backends import gunicorn, http_server, nginx, proxying, uvicorn
from tests.integration.server import ENVIRONMENT, Server, connected, curl

MIB = 1024 * 1024
# In `make test` 64 MiB; PROXY_BYTES=1073741824 is the whole gibibyte.
LARGE = int(os.environ.get("PROXY_BYTES", 64 * MIB))


@pytest.fixture(scope="module", params=["http.server", "gunicorn", "uvicorn"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("proxy")
    made = {"http.server": lambda _: http_server(), "gunicorn": gunicorn, "uvicorn": uvicorn}
    with made[request.param](folder) as port, proxying(folder, port) as server:
        server.kind = request.param  # type: ignore[attr-defined]
        yield server


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_every_method_and_its_body_arrive(served: Server, method: str) -> None:
    answer = curl("-X", method, "--data-binary", "a body", "-H", "X-Own: yes", served.url + "/a%2Fb/%7Ec?q=1&r=%20")
    said = answer.json
    assert answer.status == 200
    assert (said["method"], said["size"], said["headers"]["x-own"]) == (method, 6, "yes")
    assert said["headers"]["host"] == f"127.0.0.1:{served.port}"
    assert said["headers"]["x-forwarded-for"] == "127.0.0.1"


def test_head_has_no_body(served: Server) -> None:
    answer = curl("--head", served.url + "/x")
    assert (answer.status, answer.body) == (200, "")
    assert curl(served.url + "/x").status == 200


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 300_000, 4 * MIB])
def test_bodies_of_every_size_arrive_whole(served: Server, tmp_path: Path, size: int) -> None:
    body = os.urandom(size)
    (tmp_path / "body").write_bytes(body)
    said = curl("-X", "PUT", "--data-binary", f"@{tmp_path}/body", served.url + "/").json
    assert (said["size"], said["sha256"]) == (size, hashlib.sha256(body).hexdigest())


def test_a_chunked_body_arrives_whole(served: Server, tmp_path: Path) -> None:
    if served.kind == "http.server":  # type: ignore[attr-defined]
        pytest.skip("HTTP/1.0 knows no chunks")
    body = os.urandom(MIB)
    (tmp_path / "body").write_bytes(body)
    said = curl("-X", "POST", "-H", "Transfer-Encoding: chunked", "--data-binary", f"@{tmp_path}/body", served.url).json
    assert (said["size"], said["sha256"]) == (MIB, hashlib.sha256(body).hexdigest())


def test_who_waits_for_100_continue_is_told_to_go_on(served: Server, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"x" * 2 * MIB)
    said = curl("-X", "PUT", "-H", "Expect: 100-continue", "--data-binary", f"@{tmp_path}/body", served.url + "/").json
    assert said["size"] == 2 * MIB


def test_an_answer_that_comes_slowly_comes_as_it_is_made(served: Server) -> None:
    if served.kind == "http.server":  # type: ignore[attr-defined]
        pytest.skip("it does not")
    with connected(served) as wire:
        wire.send(b"GET /drip/20 HTTP/1.1\r\nHost: test\r\n\r\n")
        seen = b""
        while b"line" not in seen:
            seen += wire.sock.recv(65536)
        assert seen.count(b"line") < 20
        while not seen.endswith(b"0\r\n\r\n"):
            seen += wire.sock.recv(65536)
        assert seen.count(b"line") == 20


def through(server: Server, *arguments: str) -> str:
    """What curl says of a large transfer: its write-out."""
    ran = subprocess.run(
        ["curl", "--disable", "--silent", "--show-error", "--max-time", "100", *arguments],
        capture_output=True, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def resident(server: Server) -> int:
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_large_bodies_pass_in_little_memory(tmp_path: Path) -> None:
    with uvicorn(tmp_path) as port, proxying(tmp_path, port) as server:
        curl(server.url + "/x")
        before = resident(server)
        size = through(server, "-o", "/dev/null", "-w", "%{size_download}", f"{server.url}/bytes/{LARGE}")
        assert int(size) == LARGE
        with (tmp_path / "large").open("wb") as file:
            file.truncate(LARGE)  # a hole
        said = through(server, "-T", f"{tmp_path}/large", server.url + "/up")
        assert f'"size": {LARGE}' in said
        assert resident(server) - before < 16 * MIB


def test_a_client_that_reads_slowly_holds_the_server_back(tmp_path: Path) -> None:
    with uvicorn(tmp_path) as port, proxying(tmp_path, port) as server:
        curl(server.url + "/x")
        before = resident(server)
        size = through(server, "--limit-rate", "4M", "-o", "/dev/null", "-w", "%{size_download}",
                       f"{server.url}/bytes/{6 * MIB}")  # fmt: skip
        assert int(size) == 6 * MIB
        assert resident(server) - before < 4 * MIB


def test_files_of_nginx_with_ranges_conditions_and_uploads(tmp_path: Path) -> None:
    with nginx(tmp_path) as port, proxying(tmp_path, port) as server:
        (tmp_path / "files" / "page.txt").write_text("0123456789")
        whole = curl(server.url + "/page.txt")
        assert (whole.status, whole.body, whole.header("server")[:5]) == (200, "0123456789", "nginx")
        etag = whole.header("etag")
        same = curl("-H", f"If-None-Match: {etag}", server.url + "/page.txt")
        assert (same.status, same.body, same.header("etag")) == (304, "", etag)
        part = curl("-H", "Range: bytes=2-4", server.url + "/page.txt")
        assert (part.status, part.body, part.header("content-range")) == (206, "234", "bytes 2-4/10")
        head = curl("--head", server.url + "/page.txt")
        assert (head.status, head.header("content-length")) == (200, "10")
        assert curl(server.url + "/none").status == 204
        assert curl("-X", "PUT", "--data-binary", "new", server.url + "/dir/new.txt").status == 201
        assert (tmp_path / "files" / "dir" / "new.txt").read_text() == "new"
        assert curl("-X", "DELETE", server.url + "/dir/new.txt").status == 204
        assert curl(server.url + "/gone").status == 404


def test_a_pipeline_is_answered_in_order(tmp_path: Path) -> None:
    with uvicorn(tmp_path) as port, proxying(tmp_path, port) as server, connected(server) as wire:
        wire.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: test\r\n\r\n" % number for number in range(20)))
        assert [wire.read().json["path"] for _ in range(20)] == [f"/{number}" for number in range(20)]


def test_http_1_0_clients_get_what_ends_with_the_connection(tmp_path: Path) -> None:
    with uvicorn(tmp_path) as port, proxying(tmp_path, port) as server:
        answer = curl("--http1.0", server.url + "/drip/3")
        assert (answer.status, answer.body, answer.header("transfer-encoding")) == (200, "line\n" * 3, "")


def test_websockets_of_a_server_that_is_not_ours_pass(tmp_path: Path) -> None:
    with uvicorn(tmp_path) as port, proxying(tmp_path, port) as server:
        with connect(f"ws://127.0.0.1:{server.port}/ws", proxy=None) as socket:
            for message in ("text", b"bytes", "x" * 300_000):
                socket.send(message)
                assert socket.recv(10) == message
            socket.send("bye")
            with pytest.raises(ConnectionClosedError) as closed:
                socket.recv(10)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 4001
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://127.0.0.1:{server.port}/no", proxy=None)
        assert refused.value.response.status_code == 403

"""HTTPS from outside: a real server, curl and OpenSSL's own client, and clients that do not play by the rules."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from loopback import reset
from server import ENVIRONMENT, ROOT, Answer, Server, curl, parse_answer, refused, wait_until, write_config
from test_big_bodies import MOST_MEMORY, PLUGIN, peak_memory, read_head
from tls_client import Pair, TLSClient, client_context, make_pair

MIB = 1 << 20
HOST = "127.0.0.2"  # this machine too; two addresses can both have a port that the system chooses
GET = b"GET /whoami HTTP/1.1\r\nHost: localhost\r\n\r\n"
ECHO = """
def setup(plugin, options):
    class Echo:
        def connection_made(self, transport): self.transport = transport
        def data_received(self, data): self.transport.write(b"echo " + data)
        def eof_received(self): self.transport.close()
        def pause_writing(self): pass
        def resume_writing(self): pass
        def connection_lost(self, error): pass
    plugin.protocol(b"{", lambda address: Echo())
"""


class Secure:
    """A server with a TLS listener, its certificate, and connections to it."""

    def __init__(self, server: Server, pair: Pair) -> None:
        self.server = server
        match = re.search(r"https://127\.0\.0\.2:(\d+)/", server.wait_for("https://"))
        assert match is not None
        self.port = int(match.group(1))
        self.url = f"https://{HOST}:{self.port}"
        self.pair = pair

    def curl(self, *arguments: str | Path) -> Answer:
        return curl("--cacert", self.pair.cert, *arguments)

    def raw(self) -> socket.socket:
        return socket.create_connection((HOST, self.port), timeout=10)

    def connect(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        context = context or client_context(self.pair.cert)
        sock = self.raw()
        try:
            return context.wrap_socket(sock, server_hostname="localhost")
        except BaseException:
            sock.close()
            raise

    @property
    def shown(self) -> str:
        """The fingerprint of what a new client is shown."""
        with self.connect(ssl._create_unverified_context()) as sock:
            ran = subprocess.run(
                ["openssl", "x509", "-inform", "der", "-noout", "-fingerprint", "-sha256"],
                input=sock.getpeercert(True), capture_output=True, check=True,
            )  # fmt: skip
        return ran.stdout.decode().partition("=")[2].strip()


def config_with_tls(directory: Path, plugins: dict[str, str] | None = None, server: str = "") -> tuple[Path, Pair]:
    pair = make_pair(directory / "tls")
    text = f"listen_tls = 127.0.0.2:0\ntls_cert = tls/cert.pem\ntls_key = tls/key.pem\n{server}"
    return write_config(directory / "config.ini", plugins, server=text), pair


@contextmanager
def serving(directory: Path, plugins: dict[str, str] | None = None, server: str = "") -> Iterator[Secure]:
    config, pair = config_with_tls(directory, plugins, server)
    with Server(config) as running:
        yield Secure(running, pair)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    directory = tmp_path_factory.mktemp("tls")
    (directory / "big_bodies_plugin.py").write_text(PLUGIN)
    (directory / "echo_plugin.py").write_text(ECHO)
    with (directory / "sparse").open("wb") as sparse:
        sparse.truncate(64 * MIB)
    plugins = {"big": "use = big_bodies_plugin", "echo": "use = echo_plugin"}
    with serving(directory, plugins, "handshake_timeout = 2s\nverbose = yes\n") as secure:
        secure.server.allowed.append(" debug: no TLS with ")
        yield secure


# -- what is meant to work ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_logs_in_and_gets_a_secure_cookie(secure: Secure, version: str) -> None:
    versions = (f"--tlsv{version}", "--tls-max", version)
    answer = secure.curl(*versions, "-d", "username=admin&password=password", secure.url + "/login")
    assert answer.status == 200
    cookie = next(cookie for cookie in answer.all("set-cookie") if cookie.startswith("session="))
    session, *attributes = cookie.split("; ")
    assert "Secure" in attributes
    assert secure.curl("-b", session, secure.url + "/whoami").json["username"] == "admin"


def test_the_cookie_of_a_plain_listener_beside_it_is_not_secure(secure: Secure) -> None:
    answer = curl("-d", "username=admin&password=password", secure.server.url + "/login")
    assert answer.status == 200
    assert not any("Secure" in cookie for cookie in answer.all("set-cookie"))


@pytest.mark.parametrize(("scheme", "status"), [("https", 200), ("http", 403)])
def test_an_origin_has_to_be_https(secure: Secure, scheme: str, status: int) -> None:
    origin = f"Origin: {scheme}://{HOST}:{secure.port}"
    login = ("-d", "username=admin&password=password", secure.url + "/login")
    assert secure.curl("-H", origin, *login).status == status


def test_who_says_goodbye_after_the_question_gets_the_answer_and_a_goodbye(secure: Secure) -> None:
    with secure.raw() as sock:
        client = shake_hands(sock, secure)
        client.sendall(GET)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert not client.was_cut


def shake_hands(sock: socket.socket, secure: Secure) -> TLSClient:
    client = TLSClient(sock, client_context(secure.pair.cert))
    wait_until(client.step, 10.0)
    return client


def test_a_session_byte_by_byte_is_a_session(secure: Secure) -> None:
    """Slower than that nobody sends, and every cut is in the middle of a record."""

    class Trickle:
        def __init__(self, sock: socket.socket) -> None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.recv = sock.recv
            self._sock = sock

        def send(self, data: bytes) -> int:
            return self._sock.send(data[:1])

    with secure.raw() as sock:
        client = shake_hands(Trickle(sock), secure)  # type: ignore[arg-type]
        for _ in range(2):
            client.sendall(GET)
            assert parse_answer(client.recv(65536).decode()).status == 401


def test_pipelined_requests_in_one_record_are_all_answered(secure: Secure) -> None:
    with secure.connect() as sock:
        sock.sendall(GET * 100)
        data = b""
        while data.count(b"HTTP/1.1 401 ") < 100:
            data += sock.recv(65536)


def test_another_protocol_takes_over_by_its_first_byte(secure: Secure) -> None:
    with secure.connect() as sock:
        sock.sendall(b"{hello")
        assert sock.recv(100) == b"echo {hello"
        sock.sendall(b"again")
        assert sock.recv(100) == b"echo again"


# -- large bodies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/file", "/zeros"])
def test_64_mib_down_take_constant_memory(secure: Secure, target: str) -> None:
    with secure.connect() as sock:
        sock.sendall(f"GET {target}?size={64 * MIB} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        head, rest = read_head(sock)
        got, view = len(rest), memoryview(bytearray(MIB))
        while received := sock.recv_into(view):
            got += received
    framing = 64 * MIB // 65536 * len(b"10000\r\n\r\n") + len(b"0\r\n\r\n") if b"chunked" in head else 0
    assert got == 64 * MIB + framing
    assert peak_memory(secure.server) < MOST_MEMORY


def test_64_mib_up_take_constant_memory(secure: Secure) -> None:
    with secure.connect() as sock:
        sock.sendall(b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        for _ in range(64):
            sock.sendall(bytes(MIB))
        head, rest = read_head(sock)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert (rest or sock.recv(100)) == str(64 * MIB).encode()
    assert peak_memory(secure.server) < MOST_MEMORY


def test_a_file_is_sent_as_it_is(secure: Secure) -> None:
    answer = secure.curl(f"{secure.url}/assets/icon.svg")
    assert answer.body == (ROOT / "www/assets/icon.svg").read_text()


def test_who_does_not_read_holds_up_nobody(secure: Secure) -> None:
    with secure.connect() as silent:
        silent.sendall(f"GET /zeros?size={1 << 30} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        silent.sendall(GET)
        assert secure.curl(secure.url + "/whoami").status == 401
    assert peak_memory(secure.server) < MOST_MEMORY


def test_a_body_that_is_too_large_is_told_so_and_not_by_a_reset(secure: Secure) -> None:
    with secure.connect() as sock:
        sock.sendall(b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n" + bytes(100_000))
        head, _ = read_head(sock)
        assert head.startswith(b"HTTP/1.1 413 ")


# -- what is not -------------------------------------------------------------------------------------------------------


def read_to_end(sock: socket.socket) -> bytes:
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def test_who_speaks_plainly_is_told_so_plainly(secure: Secure) -> None:
    answer = curl(f"http://{HOST}:{secure.port}/")
    assert (answer.status, answer.header("connection")) == (400, "close")
    assert answer.body == "This port speaks HTTPS: write https:// before the address.\n"


@pytest.mark.parametrize("garbage", [b"\x00" * 100, b"\x16\x03\x01\x00\x05hello", b"\x16" * 70_000, b"\x80\x2e\x01"])
def test_garbage_is_no_handshake(secure: Secure, garbage: bytes) -> None:
    with secure.raw() as sock:
        sock.sendall(garbage)
        assert len(read_to_end(sock)) <= 7  # an alert, or nothing
    assert secure.curl(secure.url + "/whoami").status == 401


def test_who_stops_in_the_middle_of_the_handshake_is_dropped_in_time(secure: Secure) -> None:
    client = TLSClient(socket.socket(), client_context(secure.pair.cert))
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    hello = client._outgoing.read()
    client.close()
    with ExitStack() as stack:
        stopped = [stack.enter_context(secure.raw()) for _ in range(4)]
        for sock, said in zip(stopped, (0, 1, 5, 100), strict=True):
            sock.sendall(hello[:said])
        assert [read_to_end(sock) for sock in stopped] == [b""] * 4
    assert "debug: no TLS with" in secure.server.wait_for("it took too long")


def test_a_reset_in_the_middle_of_a_record_costs_nothing(secure: Secure) -> None:
    before = secure.server.descriptors
    for cut in (1, 5, 20):
        sock = secure.raw()
        client = shake_hands(sock, secure)
        client.tls.write(GET)
        sock.sendall(client._outgoing.read()[:cut])
        reset(sock)
    wait_until(lambda: secure.server.descriptors <= before, 5.0)
    assert secure.curl(secure.url + "/whoami").status == 401


def test_a_forged_record_ends_the_connection_and_is_never_answered(secure: Secure) -> None:
    with secure.raw() as sock:
        client = shake_hands(sock, secure)
        client.tls.write(GET)
        record = bytearray(client._outgoing.read())
        record[-1] ^= 1
        sock.sendall(record)
        with pytest.raises(ssl.SSLError, match="ALERT_BAD_RECORD_MAC"):
            client.recv(100)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the ssl module cannot ask for it, the openssl command can")
def test_renegotiation_is_not_offered(secure: Secure) -> None:
    ran = subprocess.run(
        ["openssl", "s_client", "-tls1_2", "-connect", f"{HOST}:{secure.port}"],
        input=b"R\n", capture_output=True, timeout=10, env=ENVIRONMENT,
    )  # fmt: skip
    assert b"no renegotiation" in ran.stdout + ran.stderr


def test_a_hundred_handshakes_that_fail_leave_nothing_behind(secure: Secure) -> None:
    before = secure.server.descriptors
    for number in range(100):
        with secure.raw() as sock:
            sock.sendall(b"\x16\x03\x01\x02\x00" if number % 2 else b"nothing like it")
    wait_until(lambda: secure.server.descriptors <= before, 5.0)
    assert secure.server.threads < 10


# -- certificates ------------------------------------------------------------------------------------------------------


def test_sighup_takes_a_new_certificate_and_cuts_nobody(tmp_path: Path) -> None:
    with serving(tmp_path) as secure, secure.connect() as old:
        old.sendall(GET)
        assert read_head(old)[0].startswith(b"HTTP/1.1 401 ")
        first = secure.shown
        assert first == secure.pair.fingerprint
        secure.pair.cert.unlink()
        secure.pair.key.unlink()
        secure.pair = make_pair(tmp_path / "tls")
        secure.server.reload()
        assert secure.shown == secure.pair.fingerprint != first
        assert secure.curl(secure.url + "/whoami").status == 401
        old.sendall(GET)
        assert b"401" in old.recv(65536)


def test_sighup_with_a_bad_certificate_says_why_and_keeps_the_old_one(tmp_path: Path) -> None:
    with serving(tmp_path) as secure:
        secure.server.allowed.append("not reloaded")
        secure.pair.key.write_bytes(make_pair(tmp_path / "other").key.read_bytes())
        secure.server.reload("not reloaded, the old configuration stays")
        assert f"[server] tls_key: {secure.pair.key} is not the key of {secure.pair.cert}" in secure.server.stderr
        assert secure.shown == secure.pair.fingerprint


def test_check_shows_the_certificate_and_the_listeners(tmp_path: Path) -> None:
    config, pair = config_with_tls(tmp_path, server="listen_redirect = 127.0.0.3")
    ran = refused(config, "--check")
    assert (ran.returncode, ran.stderr) == (0, "")
    leads = "http://127.0.0.3:80/  (only leads to HTTPS)"
    assert f"\n  http://127.0.0.1:0/\n  https://{HOST}:0/\n  {leads}\n" in ran.stdout
    assert f"  {pair.cert}: for localhost, 127.0.0.1, " in ran.stdout


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("tls_cert = tls/cert.pem\n", ""), ": [server] listen_tls: needs a certificate"),
        (("listen_tls = 127.0.0.2:0\n", ""), ": [server] tls_cert: nothing uses it"),
        (("tls_key = tls/key.pem", "tls_key = a, b"), ": [server] tls_key: 2 keys for 1 certificates"),
        (("tls_cert = tls/cert.pem", "tls_cert = none.pem"), ": [server] tls_cert: cannot read "),
        (("tls_key = tls/key.pem\n", ""), ": [server] tls_cert: "),
        (("listen_tls = 127.0.0.2:0", "listen_tls = here:x"), ": [server] listen_tls: 'here:x' is not HOST:PORT"),
        (("listen_tls = 127.0.0.2:0", "listen_tls = 127.0.0.2:0, 127.0.0.2:0"), ": [server] listen_tls: the same"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_in_a_line(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    config, _ = config_with_tls(tmp_path)
    config.write_text(config.read_text().replace(*change))
    for arguments in ((), ("--check",)):
        ran = refused(config, *arguments)
        assert ran.returncode == 2
        assert ran.stderr.startswith(f"error: {config}:") and says in ran.stderr
        assert len(ran.stderr.splitlines()) == 1


def test_a_reload_makes_a_plain_port_one_that_leads_to_https_and_back(tmp_path: Path) -> None:
    with serving(tmp_path) as secure:
        plain = f"127.0.0.1:{secure.server.port}"
        text = secure.server.config.read_text().replace("127.0.0.1:0", plain)

        def reload(text: str) -> None:
            secure.server.config.write_text(text)
            secure.server.reload()

        reload(text)
        reload(text.replace("listen =", "listen =\nlisten_redirect ="))
        answer = curl(f"http://{plain}/whoami?x=y")
        assert (answer.status, answer.header("location")) == (308, f"https://127.0.0.1:{secure.port}/whoami?x=y")
        there = ("--connect-to", f"127.0.0.1:{secure.port}:{HOST}:{secure.port}")
        login = secure.curl(*there, "-L", "-d", "username=admin&password=password", f"http://{plain}/login")
        assert "HTTP/1.1 200 OK" in login.body  # behind the 308
        reload(text)
        assert curl(f"http://{plain}/whoami").status == 401


def test_a_server_may_speak_tls_only(tmp_path: Path) -> None:
    config, pair = config_with_tls(tmp_path)
    config.write_text(config.read_text().replace("listen = 127.0.0.1:0\n", "listen =\n"))
    server = Server(config)
    try:
        secure = Secure(server, pair)
        assert secure.curl(secure.url + "/whoami").status == 401
        assert "http://" not in server.stdout
        server.stop()
    finally:
        server.kill()

"""The config file: what it says becomes typed options, and each mistake one line with file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from reactor.config import Config, coerce, load, with_connection_limit
from reactor.core.address import Address
from reactor.errors import ConfigError
from reactor.http.server import Settings


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str = "x"
    count: int = 1
    ratio: float = 0.5
    enabled: bool = False
    mode: Literal["fast", "slow"] = "fast"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 80
    names: list[str] = msgspec.field(default_factory=list)
    numbers: list[int] = msgspec.field(default_factory=list)
    limit: int | None = None


class Required(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    secret_file: str
    port: int = 1


def options_of(text: str, kind: Any = Options) -> Any:
    config = Config(text)
    return config.options(config.plugins[0], kind)


def test_an_empty_file_is_a_config_with_the_defaults() -> None:
    config = Config("")
    assert config.listen == [Address("127.0.0.1", 8000)]
    assert config.settings == Settings()
    assert config.plugins == []
    assert not config.listens_beyond_loopback


def test_a_config_says_where_its_state_is() -> None:
    assert Config("", directory=Path("/etc/x")).state_dir == Path("/etc/x/var")
    assert Config("[server]\nstate_dir = /srv/state", directory=Path("/etc/x")).state_dir == Path("/srv/state")


def test_options_become_what_their_annotations_ask_for() -> None:
    options = options_of(
        "[plugin:x]\nname = a = b; c  # a comment\nCOUNT = 64k\nratio = 1.5\nenabled = Yes\nmode = slow\nport = 8080\n"
        "names =\n    one, 1\n    two\n\nnumbers = 1, 2,3\nlimit = 7\n"
    )
    assert options == Options(
        name="a = b; c", count=65536, ratio=1.5, enabled=True, mode="slow", port=8080, names=["one, 1", "two"],
        numbers=[1, 2, 3], limit=7,
    )  # fmt: skip


def test_use_is_no_option_of_the_plugin_and_an_empty_optional_is_none() -> None:
    assert options_of("[plugin:x]\nuse = some.module\nlimit =\n") == Options()


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("yes", bool, True), ("ON", bool, True), ("True", bool, True), ("1", bool, True),
        ("no", bool, False), ("off", bool, False), ("FALSE", bool, False), ("0", bool, False),
        ("10", int, 10), ("-3", int, -3), ("1_000", int, 1000), ("2k", int, 2048), ("1 MiB", int, 2**20),
        ("3GB", int, 3 * 2**30), ("1", float, 1.0), ("0.5", float, 0.5), ("30s", float, 30.0), ("250ms", float, 0.25),
        ("10 m", float, 600.0), ("2h", float, 7200.0), ("7d", float, 604800.0), ("a,b", str, "a,b"),
        ("", list[str], []), ("a, b,,", list[str], ["a", "b"]), ("a, b\nc", list[str], ["a, b", "c"]),
    ],
)  # fmt: skip
def test_a_value_is_read_as_people_write_it(text: str, kind: Any, value: Any) -> None:
    assert coerce(text, kind) == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("maybe", bool), ("", bool), ("2", bool), ("", int), ("ten", int), ("1.5", int), ("1e3", int), ("0x10", int),
        ("_", int), ("1__0", int), ("5 apples", int), ("٣", int), ("9" * 5000, int), ("", float), ("soon", float),
        ("nan", float), ("inf", float), ("1 week", float), ("1,x", list[int]), ("--1", int),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_read_says_what_would_do(text: str, kind: Any) -> None:
    with pytest.raises(ValueError):
        coerce(text, kind)


WRONG = [
    # text, line, what stands in the message
    ("[server]\nlisten = 127.0.0.1:99999\n", 2, "[server] listen: port 99999 is above 65535"),
    ("[server]\nlisten = 8000\n", 2, "[server] listen: '8000' is not HOST:PORT"),
    ("[server]\nlisten = ::1:80\n", 2, "is not HOST:PORT"),
    ("[server]\nlisten = 300.1.1.1:80\n", 2, "[server] listen: '300.1.1.1' is no IP address"),
    ("[server]\nlisten_tls = [1:2]:80\n", 2, "[server] listen_tls: '1:2' is no IP address"),
    ("[server]\nstate_dir =\n", 2, "[server] state_dir: is empty: give a name, or leave the line out, which means var"),
    ("[server]\naccess_log =\n", 2, "[server] access_log: is empty"),
    ("[server]\nblock_warning = 100001d\n", 2, "[server] block_warning: is at most 100000d, not '100001d'"),
    ("[server]\nlisten =\n", 2, "[server] listen: has to name an address"),
    ("[server]\nlisten = a:1, a:1\n", 2, "the same address twice"),
    ("\n[server]\n\nmax_bdy = 1\n", 4, "[server] max_bdy: unknown option: did you mean max_body?"),
    ("[server]\nlisten_on = 1\n", 2, "did you mean listen?"),
    ("[server]\nbacklog = many\n", 2, "[server] backlog: is a whole number"),
    ("[server]\nbacklog = 0\n", 2, "[server] backlog: must be at least 1"),
    ("[server]\nredirect_port = 70000\n", 2, "[server] redirect_port: must be at most 65535"),
    ("[server]\naccess_log_format = xml\n", 2, "access_log_format: is combined or json, not 'xml'"),
    ("[server]\nbody_rate = -1\n", 2, "must be at least 0"),
    ("[server]\nhead_timeout = 0\n", 2, "head_timeout"),
    ("[server]\nbacklog = 1\nBacklog = 2\n", 3, "[server] backlog: is said twice"),
    ("[server]\n[plugin:a]\n[server]\n", 3, "[server]: this section is there twice"),
    ("[plugin:a]\n[plugin:b]\n[plugin:a]\n", 3, "[plugin:a]: this section is there twice"),
    ("listen = 1\n", 1, "a [section] has to come first"),
    ("[server]\nwhat is this\n", 2, "neither [section] nor key = value"),
    ("[server]\nlisten: 127.0.0.1:1\n", 2, "neither [section] nor key = value"),
    ("[server\nlisten = 1\n", 1, "a [section] has to come first"),
    ("[server]\n\n[plugins:a]\n", 3, "[plugins:a]: unknown section"),
    ("[plugin:]\n", 1, "unknown section"),
    ("[DEFAULT]\na = 1\n", 1, "unknown section"),
    ("[Server]\n", 1, "unknown section"),
]


@pytest.mark.parametrize(("text", "line", "words"), WRONG, ids=[words for _, _, words in WRONG])
def test_a_mistake_is_one_line_that_says_where(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(text, "my.ini")
    message = str(caught.value)
    assert message.startswith(f"my.ini:{line}: ")
    assert words in message
    assert "\n" not in message


WRONG_OPTIONS = [
    ("counts = 1", "[plugin:x] counts: unknown option: did you mean count?"),
    ("zzz = 1", "[plugin:x] zzz: unknown option"),
    ("count = many", "[plugin:x] count: is a whole number"),
    ("enabled = perhaps", "[plugin:x] enabled: is yes or no, not 'perhaps'"),
    ("mode = medium", "[plugin:x] mode: is fast or slow, not 'medium'"),
    ("port = 0", "[plugin:x] port: must be at least 1"),
    ("port = 70000", "[plugin:x] port: must be at most 65535"),
    ("numbers = 1, two", "[plugin:x] numbers: is a whole number"),
    ("ratio = half", "[plugin:x] ratio: is a number of seconds"),
]


@pytest.mark.parametrize(("line", "words"), WRONG_OPTIONS)
def test_a_mistake_in_an_option_names_plugin_key_and_line(line: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        options_of(f"[server]\n# {line}\n[plugin:x]\nname = y\n{line}\n")
    assert f"config.ini:5: {words}" in str(caught.value)


def test_an_option_that_has_to_be_given_points_at_its_section() -> None:
    with pytest.raises(ConfigError, match=r"config\.ini:2: \[plugin:x\] secret_file: has to be given"):
        options_of("\n[plugin:x]\nport = 1\n", Required)


def test_a_plugin_without_options_takes_none() -> None:
    assert options_of("[plugin:x]\n", None) is None
    with pytest.raises(ConfigError, match=r"config\.ini:2: \[plugin:x\] a: this plugin takes no options"):
        options_of("[plugin:x]\na = 1\n", None)


@pytest.mark.parametrize(
    ("listen", "beyond"),
    [("127.0.0.1:1", False), ("[::1]:1, localhost:2", False), ("127.1.2.3:1", False), ("0.0.0.0:1", True),
     ("[::]:1", True), ("192.168.1.2:1", True), ("127.0.0.1:1, 10.0.0.1:1", True), ("example.org:1", True),
     ("[::ffff:127.0.0.1]:1", False)],
)  # fmt: skip
def test_it_knows_whether_others_can_reach_it(listen: str, beyond: bool) -> None:
    assert Config(f"[server]\nlisten = {listen}\n").listens_beyond_loopback is beyond


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "config.ini"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text("[server]\nlisten = 127.0.0.1:81\n", encoding=encoding)
        assert load(path).listen == [Address("127.0.0.1", 81)]
    assert load(path).directory == tmp_path


@pytest.mark.parametrize("make", ["missing", "directory", "binary", "unreadable text", "empty"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, make: str) -> None:
    path = tmp_path / "config.ini"
    if make == "directory":
        path.mkdir()
    elif make == "binary":
        path.write_bytes(b"\xff\xfe\x00[server]")
    elif make == "unreadable text":
        path.write_text("\x00\n")
    elif make == "empty":  # half-written, perhaps: a reload must not take it for a server without plugins
        path.write_text("# nothing yet\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).count(str(path)) == 1
    assert "\n" not in str(caught.value)
    assert "Errno" not in str(caught.value)
    assert "codec" not in str(caught.value)


def test_the_number_of_connections_comes_from_the_system_unless_it_is_said() -> None:
    assert with_connection_limit(Settings(), 500).max_connections == 500
    assert with_connection_limit(Settings(max_connections=7), 500).max_connections == 7

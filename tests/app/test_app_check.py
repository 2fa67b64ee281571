"""`python -m reactor`: --check shows all and opens nothing; a mistake is one line and an exit status."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from plugin_files import Modules

from reactor.__main__ import main
from reactor.config import LISTENING, ServerOptions
from reactor.http.server import Settings

PLUGIN = '''
    """A plugin that says what it would do."""
    import msgspec
    from reactor import Response

    class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        size: int = 10
        loud: bool = False
        names: list[str] = msgspec.field(default_factory=list)

    def setup(plugin, options):
        def never():
            raise AssertionError("a start hook ran")
        plugin.on_start(never)
        plugin.guard("door", lambda request: None)
        plugin.route("GET", "/thing/{name}", lambda request: Response(""), guard="door")
        plugin.route("PUT POST", "/thing[/]", lambda request: Response(""))
'''


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "my.ini"
    path.write_text(text)
    return str(path)


def open_files() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def test_check_prints_listeners_plugins_options_and_routes(
    tmp_path: Path, modules: Modules, capsys: pytest.CaptureFixture[str]
) -> None:
    name = modules.write(PLUGIN)
    path = write(tmp_path, f"[server]\nlisten = 127.0.0.1:8000, [::1]:8000\n[plugin:thing]\nuse = {name}\nsize = 1k\n"
                           "names = a, b\n")  # fmt: skip
    assert main(["-c", path, "--check"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = iter(printed.out.splitlines())
    for line in (
        f"{path} is fine.", "listeners", "  http://127.0.0.1:8000/", "  http://[::1]:8000/", "plugins", "  thing",
        "    size = 1024", "    loud = no", "routes", "  methods   pattern        guard  plugin",
        "  GET       /thing/{name}  door   thing", "  PUT POST  /thing[/]      -      thing",
    ):  # fmt: skip
        assert line in lines  # in this order


def test_check_prints_every_option_of_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "[server]\ntrusted_proxies = 10.0.0.0/8\nhead_timeout = 5s\nsecurity_headers = no\n")
    assert main(["-c", path, "--check"]) == 0
    printed = capsys.readouterr().out
    for words in ("  trusted_proxies =\n      10.0.0.0/8\n", "  head_timeout = 5\n", "  security_headers = no\n"):
        assert words in printed
    for name in (*ServerOptions.__struct_fields__, *Settings.__dataclass_fields__):
        assert f"\n  {name} =" in printed or name in LISTENING


def test_check_opens_nothing(tmp_path: Path, modules: Modules, capsys: pytest.CaptureFixture[str]) -> None:
    name = modules.write(PLUGIN)
    path = write(tmp_path, f"[server]\naccess_log = access.log\n[plugin:thing]\nuse = {name}\n")
    before, threads = open_files(), threading.active_count()
    assert main(["-c", path, "--check"]) == 0
    assert (open_files(), threading.active_count()) == (before, threads)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["modules", "my.ini"]
    capsys.readouterr()


def test_check_of_the_built_in_plugins_prints_their_routes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", write(tmp_path, "[plugin:tracker]\n"), "--check"]) == 0
    assert "/get-list[/]" in capsys.readouterr().out


MISTAKES = [
    ("[server]\nlisten = here\nmax_body = much\n", "my.ini:3: [server] max_body: "),
    ("[plugin:none]\n", "my.ini:1: [plugin:none]: there is no module plugins.none: no such plugin"),
    ("[plugin:tracker]\nttl = soon\n", "my.ini:2: [plugin:tracker] ttl: "),
    ("[plugin:tracker]\nttl = 1\n", "my.ini:2: [plugin:tracker] ttl: "),
    ("[plugin:x]\nuse = reactor.errors\n", "[plugin:x]"),
    ("nonsense\n", "my.ini:1: a [section] has to come first"),
]


@pytest.mark.parametrize("check", [["--check"], []], ids=["check", "start"])
@pytest.mark.parametrize(("text", "words"), MISTAKES, ids=[words for _, words in MISTAKES])
def test_a_mistake_in_the_config_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str, check: list[str]
) -> None:
    assert main(["-c", write(tmp_path, text), *check]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert words in printed.err


def test_a_missing_file_is_one_line_that_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", str(tmp_path / "none.ini")]) == 2
    words = "there is no such file; say where yours is with -c FILE"
    assert capsys.readouterr().err == f"error: {tmp_path}/none.ini: {words}\n"


def test_wrong_arguments_are_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--nonsense"])
    assert caught.value.code == 2
    capsys.readouterr()

"""proxy.conf as people have it, and every mistake in it with file and line; the same in sections of config.ini."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.proxy.conf import parse
from reactor.errors import ConfigError
from reactor.testing import TestApp, check_plugin

ORIGINAL = """\
host "192.168.56.103:8080" {
    proxy_pass http://192.168.56.103:9000;
}
host "app2.local" {
    proxy_set_header Host $host;
    proxy_pass http://192.168.56.210:9002;
    proxy_pass http://192.168.56.220:9002;

    dist_policy round-robin
}
"""


def test_the_original_file_is_understood() -> None:
    first, second = parse(ORIGINAL, "proxy.conf")
    assert (first.part.host, first.part.to) == (["192.168.56.103:8080"], ["http://192.168.56.103:9000"])
    assert second.part.to == ["http://192.168.56.210:9002", "http://192.168.56.220:9002"]
    assert (second.part.policy, second.part.set_header, second.line) == ("round-robin", ["Host $host"], 4)


A = "http://a:1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('host "x" { proxy_pass http://a:1; }', [(["x"], [A], [])]),
        ('host "x" { proxy_pass http://a:1 }', [(["x"], [A], [])]),
        ('host "x"{proxy_pass http://a:1;}', [(["x"], [A], [])]),
        ("host x\n{\nproxy_pass http://a:1\n}\n", [(["x"], [A], [])]),
        ("host 'x' \"y\" {\nproxy_pass http://a:1\n}", [(["x", "y"], [A], [])]),
        ('\ufeffhost "x" {\r\n\tproxy_pass http://a:1;\r\n}\r\n', [(["x"], [A], [])]),
        ('host "x" { proxy_pass http://a:1; } host "y" { proxy_pass http://a:1; }',
         [(["x"], [A], []), (["y"], [A], [])]),
        ('host "x" { ; proxy_pass http://a:1;; }', [(["x"], [A], [])]),
        # comments
        ('# all\nhost "x" { # here\n proxy_pass http://a:1; # and there }\n # }\n}', [(["x"], [A], [])]),
        ('#host "y" {\n#  proxy_pass http://b:1;\n#}\nhost "x" { proxy_pass http://a:1; }', [(["x"], [A], [])]),
        ('# host "y" {\n  proxy_pass http://b:1\n}\nhost "x" { proxy_pass http://a:1; }', [(["x"], [A], [])]),
        ('# host "y" {\nhost "x" { proxy_pass http://a:1; }', [(["x"], [A], [])]),
        ('# } {\nhost "x" { proxy_pass http://a:1; }', [(["x"], [A], [])]),
        # values with what ends others
        ('host "x" {\n proxy_set_header H {{HOST}}\n proxy_pass http://a:1\n}', [(["x"], [A], ["H {{HOST}}"])]),
        ('host "x" { proxy_set_header H {{HOST}}; proxy_pass http://a:1; }', [(["x"], [A], ["H {{HOST}}"])]),
        ('host "x" { proxy_set_header H a}b; proxy_pass http://a:1; }', [(["x"], [A], ["H a}b"])]),
        ('host "x" { proxy_set_header H a } b; proxy_pass http://a:1; }', [(["x"], [A], ["H a } b"])]),
        ('host "x" { proxy_set_header H "};#"; proxy_pass http://a:1; }', [(["x"], [A], ["H };#"])]),
        ('host "x" { proxy_set_header H a#b; proxy_pass http://a:1; }', [(["x"], [A], ["H a#b"])]),
        (r'host "x" { proxy_set_header H "a \"b\""; proxy_pass http://a:1; }', [(["x"], [A], ['H a "b"'])]),
        ('host "x" { proxy_pass http://a:1 weight=3; }', [(["x"], [A + " weight=3"], [])]),
        ("", []),
        ("# nothing", []),
    ],
)
def test_every_way_to_write_a_block(text: str, expected: list[tuple[list[str], list[str], list[str]]]) -> None:
    assert [(block.part.host, block.part.to, block.part.set_header) for block in parse(text, "f")] == expected


def test_our_own_options_are_said_the_same_way() -> None:
    text = 'host "x" {\n proxy_pass http://a:1;\n response_timeout 2m;\n max_body 10M\n half_closed on\n}'
    [block] = parse(text, "f")
    assert (block.part.response_timeout, block.part.max_body, block.part.half_closed) == (120.0, 10 << 20, True)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("proxy_pass http://a:1;", 1, "outside of a block"),
        ("}", 1, "outside of a block"),
        ('\nhost "x" {\n proxy_pass http://a:1;\n', 2, "no }"),
        ('host "x" {\n}', 1, "no proxy_pass"),
        ("host {\n}", 1, "wants a name"),
        ('host "x"\n proxy_pass http://a:1', 3, "no {"),
        ('host "x {\n}', 1, 'no closing "'),
        ('host "x" {\n\n proxy_pas http://a:1\n}', 3, "did you mean proxy_pass?"),
        ('host "x" {\n proxy_pass\n}', 2, "wants a value"),
        ('host "x" {\n proxy_pass http://a:1\n dist_policy a\n dist_policy b\n}', 4, "said twice"),
        ('host "x" {\n proxy_pass http://a:1\n max_body much\n}', 3, "whole number"),
        ('host "x" {\n proxy_pass http://a:1\n max_connections 0\n}', 3, "max_connections"),
    ],
)
def test_a_mistake_names_file_and_line(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        list(parse(text, "proxy.conf"))
    assert str(caught.value).startswith(f"proxy.conf:{line}: ") or text.startswith('host "x"\n')
    assert words in str(caught.value)


def block(*lines: str) -> str:
    return "\n".join(['host "x" {', *lines, "}"])


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (block("proxy_pass https://a"), 2, "not of the form http://HOST:PORT"),
        (block("proxy_pass a:1"), 2, "not of the form"),
        (block("proxy_pass http://a:99999"), 2, "no address"),
        (block("proxy_pass http://a/path"), 2, "more than a server"),
        (block("proxy_pass http://a:1 backup"), 2, "weight=N"),
        (block("proxy_pass http://a:1 weight=0"), 2, "weight=N"),
        (block("proxy_pass http://a:1", "proxy_pass http://a:1"), 2, "twice"),
        (block("proxy_pass http://a:1", "dist_policy fastest"), 3, "round-robin"),
        (block("proxy_pass http://a:1", "dist_policy hash path"), 3, "hash header NAME"),
        (block("proxy_pass http://a:1", "proxy_set_header X $uri"), 3, "no variable $uri"),
        (block("proxy_pass http://a:1", "proxy_set_header X"), 3, "no value"),
        (block("proxy_pass http://a:1", "proxy_set_header X-A 1", "proxy_set_header x_a 2"), 3, "twice"),
        (block("proxy_pass http://a:1", "dist_policy sticky a@b"), 3, "names 'a@b'"),
        (block("proxy_pass http://a:1", "dist_policy hash cookie a="), 3, "names 'a='"),
        (block("proxy_pass http://a:1", "proxy_set_header Connection close"), 3, "belongs to the connection"),
        (block("proxy_pass http://a:1", "proxy_set_header X@ y"), 3, "not a header name"),
        (block("proxy_pass http://a:1", "check_path health"), 3, "such as /health"),
        (block("proxy_pass http://a:1", "check_status good"), 3, "200-299"),
        (block("proxy_pass http://a:1") + "\n" + block("proxy_pass http://a:1").replace('"x"', "y X"), 4, "twice"),
        (block("proxy_pass http://a:1").replace('"x"', "a/b"), 1, "is no host"),
        ("", 3, "names no host"),
    ],
)
def test_what_cannot_work_is_refused_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    (tmp_path / "p.conf").write_text(text)
    with pytest.raises(ConfigError) as caught:
        TestApp({"plugin:proxy": {"conf": "p.conf"}}, state_dir=tmp_path, directory=tmp_path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"p.conf:{line}: " if text else "config.ini:")


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), (b"\xff\xfe", "no text in UTF-8")])
def test_a_conf_that_cannot_be_read_is_named_once(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "p.conf").write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        TestApp({"plugin:proxy": {"conf": "p.conf"}}, state_dir=tmp_path, directory=tmp_path)
    assert str(caught.value).count("p.conf") == 1


def test_a_section_says_the_same_as_a_block(tmp_path: Path) -> None:
    sections = {
        "plugin:proxy": {"retries": "1"},
        "proxy:shop": {
            "host": "shop.test, www.shop.test", "to": "http://a:1 weight=2\nhttp://b:2", "policy": "least-conn"
        },
    }
    with TestApp(sections, state_dir=tmp_path) as app:
        assert [(one.address, one.hosts) for one in app.service("proxy").servers()] == [
            ("a:1", ("shop.test",)), ("b:2", ("shop.test",))
        ]  # fmt: skip
        assert set(app.app.generation.site.hosts.routes) == {"shop.test", "www.shop.test"}


@pytest.mark.parametrize(
    ("section", "values", "words"),
    [
        ("proxy:a", {"host": "a", "to": "ftp://x"}, "[proxy:a] to"),
        ("proxy:a", {"host": "a"}, "[proxy:a] to: has to be given"),
        ("proxy:a", {"host": "a b", "to": "http://x:1"}, "is no host"),
        ("proxi:a", {"host": "a", "to": "http://x:1"}, "unknown section"),
    ],
)
def test_a_mistake_in_a_section_names_it(tmp_path: Path, section: str, values: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TestApp({"plugin:proxy": {}, section: values}, state_dir=tmp_path)
    assert words in str(caught.value)


def test_it_keeps_the_contract_of_a_plugin(tmp_path: Path) -> None:
    (tmp_path / "p.conf").write_text(ORIGINAL)
    check_plugin("plugins.proxy", {"conf": str(tmp_path / "p.conf")}, state_dir=tmp_path)

"""The documents are held to the code: options and their defaults, routes, calls, links, and the examples, which run."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import pytest

import plugins
import reactor
import reactor.testing
from reactor.app import POOLS, App
from reactor.config import Config, ServerOptions, coerce, load
from reactor.errors import ConfigError
from reactor.http.message import Request, Response
from reactor.http.server import Settings
from reactor.log import Log
from reactor.plugin import Plugin
from reactor.testing import Answer, FakeReactor, TestApp, check_plugin

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
MARKDOWN = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
GUIDE = (DOCS / "plugins.md").read_text()


def document_of(plugin: str) -> str:
    return (DOCS / {"tracker": "tracker-api.md"}.get(plugin, f"{plugin}.md")).read_text()


class Block(NamedTuple):
    """A fenced block of a document."""

    where: str
    language: str
    text: str

    @property
    def file(self) -> str:
        """What the first line, `# plugins/notes.py`, calls it; "" for a fragment."""
        match = re.match(r"# (\S+\.py)\n", self.text)
        return match.group(1) if match else ""


def blocks(path: Path) -> list[Block]:
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
    return [Block(f"{path.name}-{number}", *match.groups()) for number, match in enumerate(found)]


ALL_BLOCKS = [block for path in MARKDOWN for block in blocks(path)]
PLUGINS = [block for block in ALL_BLOCKS if block.file.startswith("plugins/")]
TESTS = [block for block in ALL_BLOCKS if block.file.startswith("test_")]
PYTHON = [block for block in ALL_BLOCKS if block.language == "python"]


def named(block: Block) -> str:
    return block.file or block.where


# -- options and routes ----------------------------------------------------------------------------------------------


def documented_options(text: str) -> dict[str, str]:
    """The rows of every table whose first column is headed `option`: key -> default as it is written there."""
    options: dict[str, str] = {}
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == "option":
            inside = True
        elif inside and cells[0].startswith("`"):
            options[cells[0].strip("`")] = cells[1].strip("`")
    return options


def defaults(kind: Any) -> dict[str, Any]:
    if issubclass(kind, msgspec.Struct):
        return {
            field.name: field.default_factory() if field.default is msgspec.NODEFAULT else field.default
            for field in msgspec.structs.fields(kind)
        }
    return {field.name: None if field.default is MISSING else field.default for field in fields(kind)}


def check_options(text: str, *kinds: type) -> None:
    documented = documented_options(text)
    wanted = {name: value for kind in kinds for name, value in defaults(kind).items()}
    hints = {name: hint for kind in kinds for name, hint in typing.get_type_hints(kind, include_extras=True).items()}
    assert sorted(documented) == sorted(wanted)
    for name, written in documented.items():
        if written.startswith("none"):
            assert not wanted[name], name
        else:
            assert coerce(written, hints[name]) == wanted[name], name


def test_every_option_of_the_server_is_documented_with_its_default() -> None:
    check_options((DOCS / "configuration.md").read_text(), Settings, ServerOptions)


PLUGIN_NAMES = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py"))


@pytest.mark.parametrize("name", PLUGIN_NAMES)
def test_every_option_of_a_plugin_is_documented_with_its_default(name: str) -> None:
    check_options(document_of(name), importlib.import_module(f"plugins.{name}").Options)


@pytest.fixture(scope="module")
def default_app() -> App:
    return App(FakeReactor(), load(ROOT / "config.ini"), Log(lambda stream, line: None))


def test_every_route_of_the_default_config_is_documented(default_app: App) -> None:
    for route in default_app.generation.site.router.routes:
        owner = route.owner.removeprefix("plugin ")
        text = document_of(owner)
        path = route.pattern.replace("[/]", "").replace("{path...}", "").rstrip("/") or "/"
        wanted = [f"`{path}`"] if path == "/submit_info" else [f"{method} {path}" for method in route.methods]
        if owner == "static":  # its routes are what the config mounts
            wanted = [path.removesuffix("index.html")]
        for words in wanted:
            assert re.search(re.escape(words) + r"(?![\w-])", text), f"{words} is not in the document of {owner}"


# -- calls -----------------------------------------------------------------------------------------------------------


def public(names: typing.Iterable[str]) -> list[str]:
    return sorted(name for name in names if not name.startswith("_"))


def test_the_guide_names_all_that_a_plugin_sees(default_app: App) -> None:
    plugin = default_app.generation.plugins[0]
    for name in public([*vars(Plugin), *vars(plugin)]):
        assert re.search(rf"`plugin\.{name}\b", GUIDE), name


@pytest.mark.parametrize("name", [*reactor.__all__, *reactor.testing.__all__])
def test_the_guide_names_all_that_is_exported(name: str) -> None:
    assert re.search(rf"`(await |async with )?{name}\b", GUIDE)


@pytest.mark.parametrize("kind", [Request, Response])
def test_the_guide_names_all_of_a_request_and_a_response(kind: type) -> None:
    for name in public([*vars(kind), *kind.__slots__]):  # type: ignore[attr-defined]
        assert re.search(rf"`(await |response\.|Response\.)?{name}\b", GUIDE), name


def test_the_pools_are_as_the_guide_says() -> None:
    written = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \|", GUIDE, re.MULTILINE)
    assert {name: (int(threads), int(queue)) for name, threads, queue in written} == POOLS


# -- examples --------------------------------------------------------------------------------------------------------


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The plugins of all documents, where `plugins.NAME` finds them."""
    for block in PLUGINS:
        (tmp_path / Path(block.file).name).write_text(block.text)
    monkeypatch.setattr(plugins, "__path__", [*plugins.__path__, str(tmp_path)])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]
        if name.startswith("plugins."):
            monkeypatch.delattr(plugins, name.partition(".")[2], raising=False)


@pytest.mark.parametrize("block", PYTHON, ids=named)
def test_an_example_compiles(block: Block) -> None:
    compile(block.text, block.where, "exec")


@pytest.mark.parametrize("block", PLUGINS, ids=named)
def test_an_example_keeps_the_contract(block: Block, examples: Path) -> None:
    name = Path(block.file).stem
    module = importlib.import_module(f"plugins.{name}")
    has_guard = "guard" in defaults(getattr(module, "Options", msgspec.Struct))
    if name != "clock":  # one of its routes never ends
        check_plugin(f"plugins.{name}", {"guard": ""} if has_guard else {}, state_dir=examples / "var")


@pytest.mark.parametrize("block", TESTS, ids=named)
def test_an_example_of_a_test_passes(block: Block, examples: Path) -> None:
    space: dict[str, Any] = {}
    exec(compile(block.text, block.where, "exec"), space)
    tests = [value for name, value in space.items() if name.startswith("test_")]
    assert tests
    for number, test in enumerate(tests):
        test(tmp_path=examples / f"var{number}")


def test_the_clock_ticks_until_the_client_leaves(examples: Path) -> None:
    with TestApp({"plugin:clock": {}}, state_dir=examples / "var") as app:
        transport = app.connect()
        transport.feed(b"GET /clock HTTP/1.1\r\nHost: a\r\n\r\n")
        app.advance(2.5)
        assert transport.sent.count(b"event: tick\n") == 3
        transport.abort()
        assert app.put("/count", body=bytes(3_000_000)).json() == {"bytes": 3_000_000}


def test_middleware_is_seen_in_each_answer(examples: Path) -> None:
    with TestApp({"plugin:timing": {}, "plugin:hello": {}}, state_dir=examples / "var") as app:
        assert app.get("/hello/Ann").headers["server-timing"] == "handler;dur=0"


# -- the README's session --------------------------------------------------------------------------------------------


class Curl:
    """As much of curl as the README uses, asked of a TestApp."""

    def __init__(self, app: TestApp) -> None:
        self.app = app
        self.jar: dict[str, str] = {}

    def __call__(self, line: str) -> Answer:
        words = iter(shlex.split(line)[1:])
        options: dict[str, str] = {}
        url = ""
        for word in words:
            if word.startswith("-"):
                options[word] = next(words)
            else:
                url = word
        assert set(options) <= {"-b", "-c", "-d", "-X"}
        parts = urlsplit(url)
        assert parts.netloc == "127.0.0.1:8000"
        body = options.get("-d", "").encode()
        answer = self.app.request(
            options.get("-X", "POST" if body else "GET"), parts.path, body=body,
            content_type="application/x-www-form-urlencoded" if body else "", headers=self._cookies(options),
        )  # fmt: skip
        if "-c" in options:
            for cookie in answer.headers.all("set-cookie"):
                name, _, value = cookie.partition(";")[0].partition("=")
                self.jar[name] = value
        return answer

    def _cookies(self, options: Mapping[str, str]) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.jar.items())} if "-b" in options else {}


def steps(path: Path) -> list[tuple[str, str]]:
    """The `$ curl …` lines of a document, each with the output that is written under it."""
    text = "".join(block.text for block in blocks(path) if block.language == "console")
    return [
        (command, output.strip()) for command, output in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
    ]


def test_the_session_of_the_readme_goes_as_it_says(examples: Path) -> None:
    config = load(ROOT / "config.ini")
    sections = {section.name: section.values for section in config.plugins}
    with TestApp({**sections, "plugin:hello": {}}, state_dir=examples / "var", directory=ROOT) as app:
        curl = Curl(app)
        asked = [step for step in steps(ROOT / "README.md") if step[0].startswith("curl")]
        assert len(asked) == 5
        for command, output in asked:
            answer = curl(command)
            assert answer.status == 200, command
            pattern = ".*".join(map(re.escape, output.split("…")))
            assert re.fullmatch(pattern, answer.text.strip(), re.DOTALL), f"{command}\n{answer.text}"


def test_the_commands_of_the_readme_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    commands = [command for command, _ in steps(ROOT / "README.md") if command.startswith("make")]
    assert commands[:2] == ["make run", "make test"]
    text = "".join(path.read_text() for path in MARKDOWN)
    for target in {*commands, *re.findall(r"`(make [a-z]+)`", text)}:
        name = target.split()[1]  # variables may follow it
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), target


# -- the examples of the configuration -------------------------------------------------------------------------------

# Each with the line that it is answered with, if the next block is one.
INI = [
    (block, after.text.strip() if after.text.startswith("error: ") else "")
    for block, after in zip(ALL_BLOCKS, [*ALL_BLOCKS[1:], Block("", "", "")], strict=True)
    if block.language == "ini"
]


@pytest.mark.parametrize(("block", "error"), INI, ids=[block.where for block, _ in INI])
def test_a_config_is_taken_or_refused_as_it_says(block: Block, error: str) -> None:
    if not error:
        Config(block.text)
        return
    with pytest.raises(ConfigError) as caught:
        App(FakeReactor(), Config(block.text), Log(lambda stream, line: None))
    assert f"error: {caught.value}" == error


# -- threats, and the tests that show what they meet -----------------------------------------------------------------

REFERENCE = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def threats() -> Iterator[list[str]]:
    """The rows of all tables of security.md whose last column is headed `shown by`."""
    inside = False
    for line in (DOCS / "security.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("|"):
            inside = False
        elif cells[-1] == "shown by":
            inside = True
        elif inside and not line.startswith("|---"):
            yield cells


def test_every_threat_is_shown_to_be_met_by_tests_that_are_there() -> None:
    rows = list(threats())
    assert len(rows) > 90
    for row in rows:
        named = REFERENCE.findall(row[-1])
        assert named and not REFERENCE.sub("", row[-1]).strip(", "), f"write `tests/…/test_x.py::test_y` here: {row}"
        for path, name in named:
            assert f"\ndef {name}(" in (ROOT / path).read_text(), f"no such test: {path}::{name}"


# -- links, and what must not be in the repository -------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_no_file_names_a_registry_or_somebodys_machine() -> None:
    git = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True)
    if git.returncode:
        pytest.skip("this is no git repository")
    hosts = "|".join(["pypi", "pythonhosted", "npmjs"])
    bad = re.compile(rf"(?:{hosts})\.org|(?<![\w.}}])/(?:work|root)/".encode())
    for name in filter(None, git.stdout.decode().split("\0")):
        path = ROOT / name
        found = bad.search(path.read_bytes()) if path.is_file() else None
        assert found is None, f"{name}: {found and found.group()!r}"

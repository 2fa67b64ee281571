"""The files of the page, read and not run: nothing in them could turn a text into HTML or fetch from elsewhere, and
what they name is there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "plugins/chat/page"
ASSETS = ROOT / "www/assets"
SCRIPTS = sorted([*PAGE.glob("*.js"), *ASSETS.glob("*.js")])
STYLES = sorted([*PAGE.glob("*.css"), *ASSETS.glob("*.css")])
PICTURES = sorted([*PAGE.rglob("*.svg"), *ASSETS.glob("*.svg")])
HTML = [PAGE / "index.html", ROOT / "www/index.html", *sorted((ROOT / "plugins/auth").glob("*.html"))]

# Everything by which a script makes HTML, or code, of a text.
DANGEROUS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|setHTML"
    r"|\beval\b|new Function|javascript:|setAttribute\(\s*[\"']on|setTimeout\(\s*[\"'`]"
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_no_script_makes_html_or_code_of_a_text(path: Path) -> None:
    assert DANGEROUS.findall(path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_a_script_imports_what_is_there(path: Path) -> None:
    for wanted, module in re.findall(r"^import \{([^}]+)\} from \"([^\"]+)\";$", path.read_text("utf-8"), re.MULTILINE):
        exported = (path.parent / module).read_text("utf-8")
        for one in (one.strip() for one in wanted.split(",")):
            assert re.search(rf"^export (?:async )?(?:const|function|class) {one}\b", exported, re.MULTILINE), one


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_a_script_has_one_noun_and_opens_with_its_idea(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert lines[0].startswith("// ")
    assert len(lines) <= 400


@pytest.mark.parametrize("path", [*SCRIPTS, *STYLES, *PICTURES, *HTML], ids=name)
def test_nothing_comes_from_another_host(path: Path) -> None:
    text = path.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    text = re.sub(r"^\s*//.*$|.*id=\"example\".*", "", text, flags=re.MULTILINE)  # comments, and one to copy
    assert set(re.findall(r"(?:https?:)?//[a-z0-9][\w.-]*\.\w+", text)) <= {"http://127.0.0.1"}


@pytest.mark.parametrize("path", HTML, ids=name)
def test_no_page_has_script_or_style_inside(path: Path) -> None:
    """A Content-Security-Policy without `unsafe-inline` would refuse it."""
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]* src=)", path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", STYLES, ids=name)
def test_a_style_sheet_names_files_that_are_there(path: Path) -> None:
    for wanted in re.findall(r"(?:url\(|@import )\"([^\"]+)\"", path.read_text("utf-8")):
        assert (path.parent / wanted).is_file(), wanted


def test_every_icon_has_a_picture() -> None:
    style = (PAGE / "style.css").read_text("utf-8")
    named = re.compile(r"icon\(\"([a-z]+)\"\)|icon-([a-z]+)\"|sign: \"([a-z]+)\"")
    texts = [path.read_text("utf-8") for path in [*PAGE.glob("*.js"), PAGE / "index.html"]]
    names = {"".join(found) for text in texts for found in named.findall(text)}
    assert {"send", "clock", "all"} <= names
    for one in names:
        assert re.search(rf"\.icon-{one}[ ,{{]", style), one


def test_every_id_that_a_script_looks_for_is_in_the_page() -> None:
    made = {"title"}  # by the script that shows the heading
    there = set(re.findall(r'\bid="([\w-]+)"', (PAGE / "index.html").read_text("utf-8"))) | made
    for path in PAGE.glob("*.js"):
        assert set(re.findall(r"\bfind\(\"([\w-]+)\"\)", path.read_text("utf-8"))) <= there, path.name


def test_the_look_of_the_chat_is_that_of_the_other_pages() -> None:
    assert (PAGE / "base.css").read_bytes() == (ASSETS / "base.css").read_bytes()

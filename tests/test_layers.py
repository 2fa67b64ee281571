"""The layers of docs/design.md, held as data and checked against every import.

Imports go down only; `core` and `sansio` do not know each other; plugins see the public face and nothing else.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What a file may import of ours, by the longest prefix of its own name that is here. "reactor" alone is the public
# face; a name stands for itself and all below it.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    # floor 0
    "reactor.errors": (),
    # floor 1: two ground floors that do not know each other
    "reactor.core": ("reactor.errors", "reactor.core"),
    "reactor.sansio": ("reactor.errors", "reactor.sansio"),
    # floor 2 joins them
    "reactor.http": ("reactor.errors", "reactor.core", "reactor.sansio", "reactor.http"),
    # floor 3
    "reactor": ("reactor",),
    # floor 4; what a plugin may import of its own is added below
    "plugins": ("reactor", "reactor.testing"),
    "plugins.chat": ("reactor", "reactor.testing", "peer"),
    "peer": ("reactor", "reactor.core", "reactor.sansio", "reactor.http", "reactor.errors", "peer"),
    # floor 5: programs
    "reactor.__main__": ("reactor",),
    "peer.__main__": ("reactor", "peer", "plugins.chat"),
    "share": ("reactor", "plugins.auth", "share"),
}
# Here "reactor" means all of it and not the public face alone.
SEES_ALL = ("reactor", "reactor.__main__", "peer.__main__", "share")

STANDARD_LIBRARY_ONLY = ("reactor.errors", "reactor.core", "reactor.sansio", "reactor.http")
BUT_FOR = {name: {"websockets"} for name in ("reactor.http.frames", "reactor.http.upgrade")}

# Who may name what blocks, speaks to the system or has a clock of its own.
ONLY_CORE = {"socket", "ssl", "selectors", "select"}
NEVER = {"asyncio", "concurrent", "socketserver", "http", "urllib.request"}

# The parts of a peer, and what none of the files in them may know: people and programs at the outside, the node inside.
OUTSIDE = ("peer.terminal", "peer.web", "peer.program", "peer.chat")
PEER_MUST_NOT: dict[str, tuple[str, ...]] = {
    "peer.storage": ("peer.node", "peer.link", "peer.delivery", "peer.trackers", *OUTSIDE),
    "peer.delivery": ("peer.node", "peer.trackers", *OUTSIDE),
    "peer.trackers": ("peer.node", "peer.link", "peer.delivery", "peer.storage", *OUTSIDE),
    "peer.node": ("peer.trackers", *OUTSIDE),
    "peer.protocol": ("reactor.core", "peer.link", "peer.node", "peer.delivery", "peer.storage", *OUTSIDE),
    "peer.web": ("peer.terminal", "peer.node", "peer.program"),
    "peer.terminal": ("peer.web", "peer.trackers"),
}


class Import(NamedTuple):
    module: str
    names: tuple[str, ...]
    line: int
    at_runtime: bool


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def sources() -> list[Path]:
    return sorted(path for part in ("reactor", "plugins", "peer", "share") for path in (ROOT / part).rglob("*.py"))


def imports(path: Path) -> Iterator[Import]:
    """Every import statement, with relative ones resolved."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    only_typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        runtime = id(node) not in only_typing
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, (), node.lineno, runtime)
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            yield Import(resolve(path, node), names, node.lineno, runtime)


def resolve(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module_name(path).split(".")
    package = parts if path.name == "__init__.py" else parts[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def within(*prefixes: str) -> list[Path]:
    return [path for path in sources() if any(below(module_name(path), prefix) for prefix in prefixes)]


def layer_of(name: str) -> str:
    return max((prefix for prefix in MAY_IMPORT if below(name, prefix)), key=len)


def is_allowed(name: str, imported: str) -> bool:
    layer = layer_of(name)
    if below(name, "plugins") and below(imported, ".".join(name.split(".")[:2])):
        return True  # its own files
    for allowed in MAY_IMPORT[layer]:
        if allowed == "reactor" and layer not in SEES_ALL:
            if imported == "reactor":
                return True
        elif below(imported, allowed):
            return True
    return False


def is_ours(module: str) -> bool:
    return module.split(".")[0] in ("reactor", "plugins", "peer", "share", "bench")


def test_the_table_speaks_of_what_is_there() -> None:
    names = {module_name(path) for path in sources()}
    assert {"reactor.core.loop", "reactor.sansio.http1", "reactor.http.server", "reactor.app"} <= names
    assert len(names) > 40


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_imports_go_down_only(path: Path) -> None:
    name = module_name(path)
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name} imports {module}"
        for module, _, line, _ in imports(path)
        if is_ours(module) and not is_allowed(name, module)
    ]
    assert wrong == []


@pytest.mark.parametrize("part", PEER_MUST_NOT)
def test_the_parts_of_a_peer_know_only_what_is_further_inside(part: str) -> None:
    files = within(part)
    assert files
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {module}"
        for path in files
        for module, _, line, _ in imports(path)
        if any(below(module, other) for other in PEER_MUST_NOT[part])
    ]
    assert wrong == []


def test_the_rules_refuse_what_they_are_there_to_refuse() -> None:
    refused = [
        ("reactor.core.loop", "reactor.sansio.http1"), ("reactor.sansio.head", "reactor.core.loop"),
        ("reactor.core.loop", "reactor.http.server"), ("reactor.http.server", "reactor.app"),
        ("reactor.errors", "reactor.core.loop"), ("plugins.auth", "plugins.static"), ("plugins.auth", "reactor.app"),
        ("plugins.auth.store", "reactor.config"), ("plugins.auth.__main__", "reactor.config"),
        ("plugins.tracker", "peer.node"), ("reactor.app", "plugins.auth"),
        ("reactor.app", "peer"), ("peer.node", "reactor.app"), ("peer.node", "plugins.tracker"),
        ("reactor.app", "share"), ("plugins.auth", "share"), ("share.settings", "plugins.static"),
    ]  # fmt: skip
    assert [pair for pair in refused if is_allowed(*pair)] == []
    allowed = [
        ("reactor.http.server", "reactor.core.loop"), ("plugins.auth", "plugins.auth.store"),
        ("plugins.auth", "reactor"), ("plugins.auth.__main__", "reactor"), ("plugins.chat", "peer.node"),
        ("reactor.__main__", "reactor.app"), ("peer.node", "reactor.core.loop"),
        ("share.accounts", "plugins.auth.store"), ("share.__main__", "reactor.__main__"),
    ]  # fmt: skip
    assert [pair for pair in allowed if not is_allowed(*pair)] == []


@pytest.mark.parametrize("path", within("plugins"), ids=module_name)
def test_plugins_import_only_names_that_the_public_face_exports(path: Path) -> None:
    import reactor

    taken = [name for module, names, _, _ in imports(path) if module == "reactor" for name in names]
    assert [name for name in taken if name not in reactor.__all__] == []


def test_the_public_face_exports_what_it_imports_and_nothing_else() -> None:
    import reactor

    face = ROOT / "reactor" / "__init__.py"
    froms = [node for node in ast.parse(face.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    imported = [alias.asname or alias.name for node in froms for alias in node.names]
    assert sorted(imported) == sorted(reactor.__all__)
    assert all(hasattr(reactor, name) for name in reactor.__all__)


@pytest.mark.parametrize("path", within(*STANDARD_LIBRARY_ONLY), ids=module_name)
def test_the_lower_floors_need_the_standard_library_only(path: Path) -> None:
    name = module_name(path)
    extra = BUT_FOR.get(name, set())
    foreign = {
        module
        for module, *_ in imports(path)
        if module.split(".")[0] not in (*sys.stdlib_module_names, "reactor", *extra)
    }
    assert foreign == set()


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_only_core_names_sockets_and_nobody_names_another_event_loop(path: Path) -> None:
    name = module_name(path)
    runtime = {module for module, _, _, at_runtime in imports(path) if at_runtime}
    assert {module for module in runtime if any(below(module, never) for never in NEVER)} == set()
    if not below(name, "reactor.core"):
        assert runtime & ONLY_CORE == set()


def test_certificates_are_made_in_one_place() -> None:
    found = {module_name(path) for path in sources() for module, *_ in imports(path) if below(module, "cryptography")}
    assert found == {"reactor.certificate"}


def calls(path: Path) -> Iterator[tuple[str, str]]:
    """`receiver, method` of every call of an attribute, as far as they are plain names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield ast.unparse(node.func.value), node.func.attr


def test_only_the_loop_selects() -> None:
    found = {module_name(path) for path in sources() for _, method in calls(path) if method == "select"}
    assert found == {"reactor.core.loop"}


def test_nobody_but_helper_threads_log_and_watchdog_starts_a_thread() -> None:
    found = {
        module_name(path)
        for path in sources()
        for module, *_ in imports(path)
        if module == "threading" and below(module_name(path), "reactor")
    }
    assert found == {"reactor.core.offload", "reactor.core.task", "reactor.core.watchdog", "reactor.log"}


def test_nothing_sleeps_and_the_clock_is_the_reactors() -> None:
    """`time.monotonic()` elsewhere would go round the fake clock of the tests. Helper threads of plugins may wait."""
    found = {
        (module_name(path), method)
        for path in sources()
        if below(module_name(path), "reactor")
        for receiver, method in calls(path)
        if receiver == "time" and method in ("sleep", "monotonic", "perf_counter")
    }
    assert found == set()

"""The house as a whole: no class name twice, no file too long, no import that leads back to where it came from."""

import ast
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

PACKAGE = Path(str(files("procman")))
MODULES = {
    ".".join(("procman", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in PACKAGE.rglob("*.py")
}
TREES = {name.removesuffix(".__init__"): ast.parse(path.read_text()) for name, path in MODULES.items()}

LONGEST = 400
"""Lines of a file."""

LONG: set[str] = set()
"""Those that are longer today. It may only shrink."""

CIRCLES = [{"procman.cli", "procman.cli.group", "procman.cli.outcome"}]
"""Those that exist today. They may only shrink."""


TWICE = {"Down", "Formation", "Started", "Wait"}
"""Names that stand twice today. It may only shrink."""


def test_a_class_name_stands_once_in_the_package() -> None:
    """But for those that are a module's own."""
    classes = [node.name for tree in TREES.values() for node in tree.body if isinstance(node, ast.ClassDef)]
    names = [name for name in classes if not name.startswith("_")]
    assert {name for name, times in Counter(names).items() if times > 1} <= TWICE


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    long = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES.values()
        if len(path.read_text().splitlines()) > LONGEST
    }
    assert long - LONG == set()


def test_no_import_leads_back_also_none_for_types_or_within_a_function() -> None:
    found = [
        circle for circle in _circles({name: _imports(name) for name in TREES}) if not any(circle <= c for c in CIRCLES)
    ]
    assert found == []


def _imports(name: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= whole & set(TREES) or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return (found & set(TREES)) - {name}


def _circles(graph: dict[str, set[str]]) -> Iterator[set[str]]:
    """Modules that reach each other."""
    reached = {name: _reached(name, graph) for name in graph}
    seen: set[str] = set()
    for name in graph:
        circle = {other for other in reached[name] if name in reached[other]}
        if circle and name not in seen:
            seen |= circle
            yield circle


def _reached(name: str, graph: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    ahead = set(graph[name])
    while ahead:
        one = ahead.pop()
        if one not in reached:
            reached.add(one)
            ahead |= graph[one]
    return reached

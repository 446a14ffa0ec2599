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

Function = ast.FunctionDef | ast.AsyncFunctionDef

LONGEST = 400
"""Lines of a file."""

SHORTER = {"kernel/kernel.py": 250, "core/fleet.py": 250, "core/fallback.py": 99}
"""Lines of the files in which a god object grew before, and of what may share nothing with it."""

LONGEST_FUNCTION = 40
"""Lines, its docstring included."""

MOST_PARAMETERS = 5
"""Besides self and cls."""


def test_a_class_name_stands_once_in_the_package() -> None:
    """Also among those that are a module's own, and those within another class or a function."""
    names = [node.name for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert {name for name, times in Counter(names).items() if times > 1} == set()


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    lengths = {path.relative_to(PACKAGE).as_posix(): len(path.read_text().splitlines()) for path in MODULES.values()}
    assert {name: lines for name, lines in lengths.items() if lines > SHORTER.get(name, LONGEST)} == {}
    assert set(SHORTER) <= set(lengths)


def test_no_function_is_longer_than_can_be_read_at_once() -> None:
    long = {
        f"{name}.{node.name}": lines
        for name, node in _functions()
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    }
    assert long == {}


def test_no_function_has_more_parameters_than_can_be_kept_in_mind() -> None:
    assert {f"{name}.{node.name}" for name, node in _functions() if len(_parameters(node)) > MOST_PARAMETERS} == set()


def test_no_import_leads_back_also_none_for_types_or_within_a_function() -> None:
    assert list(_circles({name: _imports(name) for name in TREES})) == []


def _functions() -> Iterator[tuple[str, Function]]:
    """Every function and method, with the name of its module."""
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield name, node


def _parameters(node: Function) -> list[ast.arg]:
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    return [one for one in every if one.arg not in ("self", "cls")]


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

"""Every test that the documentation names is there: a promise without one is none."""

from __future__ import annotations

import ast
import re

import pytest
from written import ROOT, page

NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
PAGES = ("explanation/reliability.md", "explanation/security.md")


@pytest.mark.parametrize("name", PAGES)
def test_every_test_that_is_named_is_there(name: str) -> None:
    named = NAMED.findall(page(name))
    assert len(named) > 20
    missing = [f"{path}::{test}" for path, test in named if not _is_there(path, test)]
    assert missing == []


def _is_there(path: str, test: str) -> bool:
    file = ROOT / path
    if not file.exists():
        return False
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return not test or any(isinstance(node, ast.FunctionDef) and node.name == test for node in tree.body)


def test_every_scenario_has_a_row() -> None:
    rows = re.findall(r"^\| ([\d-]+) \|", page("explanation/reliability.md"), re.MULTILINE)
    told = {n for row in rows for n in range(int(row.split("-")[0]), int(row.split("-")[-1]) + 1)}
    assert told == set(range(1, 47))

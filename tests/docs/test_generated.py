"""The generated pages are those that the program would write now, and every link leads somewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import generate
import pytest
from generator import links, pages
from written import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_generated_pages_are_current():
    assert generate.stale() == []


def test_relative_links_lead_to_a_page_and_a_heading():
    assert links.broken(ROOT) == []


def test_every_generated_block_is_used_by_a_page():
    text = "".join(path.read_text(encoding="utf-8") for path in links.pages(ROOT))
    assert [name for name in generate.BLOCKS if f"<!-- generated: {name} -->" not in text] == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The documentation, to be spoiled."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("config/procman.schema.json", "known/programs.json"):
        made = tmp_path / "src" / "procman" / name
        made.parent.mkdir(parents=True)
        shutil.copy(ROOT / made.relative_to(tmp_path), made)
    return tmp_path


def check(root: Path, *args: str) -> subprocess.CompletedProcess[str]:
    script = root / "docs" / "generate.py"
    return subprocess.run([sys.executable, script, *args], capture_output=True, text=True, timeout=30)


def test_check_names_a_stale_page_and_writing_mends_it(copy: Path):
    page = copy / "docs" / "reference" / "cli.md"
    page.write_text(page.read_text(encoding="utf-8").replace("### procman ps", "### procman sp"), encoding="utf-8")
    checked = check(copy, "--check")
    assert checked.returncode == 1
    assert "docs/reference/cli.md" in checked.stderr
    assert check(copy).returncode == 0
    assert check(copy, "--check").returncode == 0


def test_check_names_a_link_that_leads_nowhere(copy: Path):
    page = copy / "docs" / "tutorial.md"
    page.write_text(
        "[a](no-such-page.md) [b](reference/cli.md#no-such-heading) [c](reference/cli.md)", encoding="utf-8"
    )
    checked = check(copy, "--check")
    assert checked.returncode == 1
    assert [line for line in checked.stderr.splitlines() if "docs/tutorial.md" in line] == [
        "docs/tutorial.md: the link no-such-page.md leads nowhere",
        "docs/tutorial.md: the link reference/cli.md#no-such-heading leads nowhere",
    ]


def test_a_block_that_nobody_makes_is_an_error():
    with pytest.raises(KeyError):
        pages.fill("<!-- generated: nothing -->\n<!-- end: nothing -->\n", {})


def test_headings_of_the_same_name_are_told_apart(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# A `b-c`, d\n\n## A b-c d\n\n```\n# no heading\n```\n", encoding="utf-8")
    assert links.anchors(page) == {"a-b-c-d", "a-b-c-d-1"}

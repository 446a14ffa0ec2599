"""Every command of the README, the tutorial and the how-to pages is typed, and what is printed there is what comes."""

from __future__ import annotations

import random
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import doc_steps
import pytest
from doc_compare import Comparison
from doc_walk import Reader
from harness import World
from written import DOCS, ROOT

FORMATIONS = Path(__file__).resolve().parent / "formations"
PAGES = [ROOT / "README.md", DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))]
NEEDS = {"load-balancing": ("haproxy", "curl")}
"""Programs that a page runs and that not every machine has."""
TYPES = 10
"""Process types that a page has at most."""

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]


def free_ports() -> int:
    """A port that is free like those of the types that follow it; below those that the system gives away by itself."""
    while True:
        base = random.randrange(10_000, 31_000, 10)
        try:
            for offset in range(0, TYPES * 100, 100):
                for number in range(3):
                    socket.create_server(("127.0.0.1", base + offset + number)).close()
        except OSError:
            continue
        return base


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_what_comes(page: Path, world: World) -> None:
    missing = [program for program in NEEDS.get(page.stem, ()) if shutil.which(program, path=world.env["PATH"]) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    shutil.copy(ROOT / "Procfile.example", world.folder)
    if (FORMATIONS / page.stem).is_dir():
        shutil.copytree(FORMATIONS / page.stem, world.folder, dirs_exist_ok=True)
    base = free_ports()
    reader = Reader(
        world, Comparison(base, str(world.folder), doc_steps.varying(page)), world.env | {"PORT": str(base)}
    )
    try:
        for step in doc_steps.steps(page):
            reader.take(step)
    finally:
        reader.close()

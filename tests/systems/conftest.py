"""Every test here runs an example of docs/examples with the real programs under the real procman.

They take seconds each and are no part of the default run: `pytest tests/systems`. Where a program is missing the test skips
and says what to install.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import World, open_world
from system import Example, built

LONGEST = 240
"""Seconds that a test may take: servers and clusters start, are loaded and stop in it, on a machine that is busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LONGEST))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A folder to run procman in. At its end nothing may be left of what ran there."""
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def example(world: World) -> Callable[[str], Example]:
    """A copy of an example's folder, to be started there with ports that are free."""
    return lambda name: Example(world, name)


@pytest.fixture(scope="session")
def jar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of docs/examples/akka, built once."""
    return built("akka", ["mvn", "-q", "-B", "package"], "target/node.jar", tmp_path_factory)


@pytest.fixture
def server(world: World) -> Example:
    """With the programs of this interpreter in PATH."""
    made = Example(world)
    world.env["PATH"] = f"{Path(sys.executable).parent}:{world.env['PATH']}"
    return made


@pytest.fixture
def server_for_all() -> Iterator[Example]:
    """In a folder that other users may enter."""
    with open_world() as world:
        yield Example(world)

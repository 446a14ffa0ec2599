"""Every test here starts the installed procman, in a folder of its own, and leaves no process behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from displays import Display, display
from harness import World


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.processes)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A folder to run procman in. At its end nothing may be left of what ran there."""
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def attach(world: World) -> Iterator[Callable[..., Display]]:
    """Attach to an instance, in a terminal of its own."""
    with ExitStack() as open_ones:

        def call(*args: str, **how: int) -> Display:
            return open_ones.enter_context(display(world, "attach", *args, **how))

        yield call

"""Every test here runs an example of docs/examples with the real programs under the real procman.

They take seconds each and are no part of the default run: `pytest tests/systems`. Where a program is missing the test skips
and says what to install.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import World
from system import Example


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

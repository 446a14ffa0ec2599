"""A task that ends inside the grace is done once, whatever ends its worker: some of what tasks_in_grace.py measures."""

from __future__ import annotations

import pytest
from harness import World
from system import needs
from tasks_in_grace import SYSTEMS, done_once

pytestmark = needs("redis-server", "redis-cli", modules=("celery", "rq", "redis"))

TENTHS = (1, 5, 8)

SOME = [
    ("Celery", "`stop`"),
    ("Celery", "`kill -9` of procman"),
    ("Celery, `acks_late`", "`restart`"),
    ("Celery behind a shell (`cd . && celery …`)", "`scale` down"),
    ("RQ", "`reload`"),
    ("RQ", "Ctrl-C"),
]


@pytest.mark.parametrize(("system", "way"), SOME)
def test_every_task_is_done_once(world: World, system: str, way: str) -> None:
    assert done_once(world, SYSTEMS[system], way, TENTHS, 6.0) == len(TENTHS)

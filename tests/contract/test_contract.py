"""The same stories, told by the pretended system and by the real kernel: so that the simulation cannot lie."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from stories import STORIES, Ask, Ends, Order, Saw, Step, Story, Up, text_of

from procman.core.events import KillAsked
from simulation import SimulatedOS

HERE = Path(__file__).parent
DEADLINE = 30
ROUNDS = 2000

both = pytest.mark.parametrize("name", STORIES)


@both
def test_the_pretended_system_tells_the_story(name: str) -> None:
    story = STORIES[name]
    system = SimulatedOS(story.plan("serve a", "/app", {}))
    system.usual["a"] = story.nature
    system.start()
    for step in story.steps:
        take(system, step)
    go_on(system, lambda: bool(system.finished))
    assert story.counted(told(system)) == story.events
    assert system.finished == [story.code]


@both
@pytest.mark.processes
def test_the_real_kernel_tells_the_story(name: str, tmp_path: Path) -> None:
    story: Story = STORIES[name]
    env = {**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent}"}
    done = subprocess.run(
        [sys.executable, str(HERE / "real.py"), name, str(tmp_path)], env=env, capture_output=True, timeout=DEADLINE
    )
    assert done.returncode == 0, done.stderr.decode()
    answer = json.loads(done.stdout)
    assert story.counted(answer["events"]) == story.events
    assert answer["code"] == story.code


def told(system: SimulatedOS) -> list[str]:
    return [text for event in system.fired if (text := text_of(event)) is not None]


def take(system: SimulatedOS, step: Step) -> None:
    match step:
        case Saw(text):
            go_on(system, lambda: text in told(system))
        case Up(generation):
            go_on(system, lambda: f"Spawned {generation}" in told(system))
        case Order(command):
            system.command(command)
        case Ends():
            system.exit("a.1", 137)
        case Ask(KillAsked()):
            system.kill()
        case Ask():
            system.shut_down()


def go_on(system: SimulatedOS, reached: object) -> None:
    assert callable(reached)
    for _ in range(ROUNDS):
        if reached():
            return
        system.run(0.02)
    raise AssertionError(f"it never comes; told so far: {told(system)}")

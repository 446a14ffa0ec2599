"""`procman top`: what the screen shows and what its keys ask for, on a scripted procman."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from scripted import NOW, fleet, instance

pytest.importorskip("textual")
from textual.widgets import Log, Static

from procman.cli.live.app import Top, attach_command
from procman.cli.live.instances import Instances
from procman.control.codec import Error, ErrorData
from procman.control.messages import Accepted, Output
from procman.observe.feed import LINES, lines_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scripted import Script
    from textual.pilot import Pilot

DEADLINE = 20.0


class Shown:
    """The screen while a test looks at it."""

    def __init__(self, pilot: Pilot[None]) -> None:
        self.pilot = pilot
        self.app = pilot.app

    async def until(self, reached: Callable[[], object], what: str) -> None:
        end = time.monotonic() + DEADLINE
        while not reached():
            assert time.monotonic() < end, f"{what}: still not so; {self.rows()} {self.head()}"
            await self.pilot.pause(0.01)

    def table(self) -> Instances:
        return self.app.screen_stack[0].query_one(Instances)

    def rows(self) -> list[list[str]]:
        table = self.table()
        return [[str(cell) for cell in table.get_row_at(n)] for n in range(table.row_count)]

    def names(self) -> list[str]:
        return [row[0] for row in self.rows()]

    def head(self) -> str:
        return str(self.app.screen_stack[0].query_one("#head", Static).content)

    def chosen(self) -> str | None:
        row = self.table().chosen
        return row.name if row is not None else None

    def output(self) -> list[str]:
        return [line for line in self.app.screen_stack[0].query_one(Log).lines if line]


def on_screen(script: Script, story: Callable[[Shown], Awaitable[None]]) -> int | None:
    """Run the story while the screen shows this procman; returns the exit code."""

    async def run() -> int | None:
        app = Top(script.path)
        async with app.run_test(size=(110, 30), notifications=True) as pilot:
            shown = Shown(pilot)
            await shown.until(shown.head, "the first look")
            await story(shown)
        return app.return_code

    return asyncio.run(run())


def asked(script: Script, method: str) -> list[dict[str, object]]:
    return [params for name, params in script.asked if name == method]


@pytest.fixture
def two(script: Script) -> Script:
    """Two of web and one worker."""
    script.fleets = [fleet(instance("web.1", pid=os.getpid(), uptime=5.0), instance("web.2"), instance("worker.1"))]
    for method in ("scale", "restart", "stop"):
        script.answers[method] = Accepted((), {})
    return script


# ---- what it shows


def test_every_instance_has_a_row_and_the_formation_a_line(two):
    async def story(shown):
        assert shown.names() == ["web.1", "web.2", "worker.1"]
        assert shown.head().startswith("app: CPU ")
        assert shown.head().endswith("; web 2, worker 1")

    on_screen(two, story)


def test_rows_change_in_place(two):
    async def story(shown):
        two.fleets = [fleet(instance("web.1", "failed", reason="exit\x1b[2J 1"), *two.fleets[0].instances[1:])]
        await shown.until(lambda: shown.rows()[0][1] == "failed", "the new phase")
        assert shown.rows()[0][-1] == "exit 1"

    on_screen(two, story)


def test_the_chosen_instance_stays_chosen_while_others_come_and_go(two):
    async def story(shown):
        await shown.pilot.press("j", "down")
        assert shown.chosen() == "worker.1"
        two.fleets = [fleet(instance("api.1"), *two.fleets[0].instances)]
        await shown.until(lambda: len(shown.names()) == 4, "four rows")
        assert shown.chosen() == "worker.1"
        two.fleets = [fleet(instance("api.1"))]
        await shown.until(lambda: len(shown.names()) == 1, "one row")
        assert shown.chosen() == "api.1"

    on_screen(two, story)


def test_the_last_lines_are_those_of_the_chosen_instance(two):
    two.stream = [Output(1, "x", NOW, text="one\n\x1b[2Jtwo\x07\r\n")]

    async def story(shown):
        await shown.until(lambda: shown.output() == ["one", "two"], "its lines")
        await shown.pilot.press("j")
        await shown.until(lambda: len(asked(two, "logs")) == 2, "the second one's")
        assert [params["names"] for params in asked(two, "logs")] == [["web.1"], ["web.2"]]
        assert asked(two, "logs")[0]["follow"]

    on_screen(two, story)


def test_only_the_last_lines_of_a_flood_are_kept():
    lines = lines_of(Output(1, "x", NOW, text="".join(f"{n}\n" for n in range(10 * LINES)), missed=3))
    assert (lines[0], lines[1], len(lines)) == ("[missed 3 bytes]", str(9 * LINES), LINES + 1)


def test_names_can_be_filtered(two):
    async def story(shown):
        await shown.pilot.press("slash", "r", "k", "enter")
        await shown.until(lambda: shown.names() == ["worker.1"], "the worker alone")
        await shown.pilot.press("escape")
        await shown.until(lambda: len(shown.names()) == 3, "all")

    on_screen(two, story)


# ---- what keys ask for


@pytest.mark.parametrize(
    ("keys", "method", "params"),
    [
        (["plus"], "scale", {"by": {"web": 1}}),
        (["minus"], "scale", {"by": {"web": -1}}),
        (["j", "r"], "restart", {"names": ["web.2"]}),
        (["s", "y"], "stop", {"names": ["web.1"]}),
    ],
)
def test_a_key_asks_procman(two, keys, method, params):
    async def story(shown):
        await shown.pilot.press(*keys)
        await shown.until(lambda: asked(two, method), method)
        assert asked(two, method) == [params]

    on_screen(two, story)


@pytest.mark.parametrize("keys", [["q"], ["ctrl+c"], ["slash", "w", "ctrl+c"], ["question_mark", "escape", "ctrl+c"]])
def test_it_is_left_by_a_key(two, keys):
    async def story(shown):
        await shown.pilot.press(*keys)

    assert on_screen(two, story) == 0


def test_a_stop_that_is_thought_better_of_asks_nothing(two):
    async def story(shown):
        await shown.pilot.press("s", "n", "r")
        await shown.until(lambda: asked(two, "restart"), "what came after it")
        assert not asked(two, "stop")

    on_screen(two, story)


def test_a_refusal_is_told(two):
    two.answers["scale"] = Error(1, "cannot run 2 of web: its 'max' is [1]", ErrorData("a hint"))

    async def story(shown):
        await shown.pilot.press("plus")
        await shown.until(lambda: list(shown.app._notifications), "a notice")
        (notice,) = shown.app._notifications
        assert notice.message == "cannot run 2 of web: its 'max' is [1]; a hint"

    on_screen(two, story)


def test_every_key_is_explained(two):
    async def story(shown):
        await shown.pilot.press("question_mark")
        await shown.until(lambda: len(shown.app.screen_stack) == 2, "the keys")
        told = " ".join(str(widget.content) for widget in shown.app.screen.query(Static))
        for binding in Top.BINDINGS:
            assert (binding.key_display or binding.key) in told or binding.key == "escape"

    on_screen(two, story)


def test_attach_is_this_very_procman_on_this_very_socket():
    done = subprocess.run([*attach_command("web.1", "/s")[:4], "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("procman ")
    assert attach_command("web.1", "/s")[-4:] == ["attach", "web.1", "--socket", "/s"]


# ---- procman comes and goes


def test_it_goes_on_when_procman_is_replaced(two):
    async def story(shown):
        await shown.until(lambda: asked(two, "logs"), "the lines are followed")
        two.fleets = [fleet(instance("web.1"))]
        two.drop()
        await shown.until(lambda: shown.names() == ["web.1"], "the new procman's")
        await shown.until(lambda: len(asked(two, "logs")) >= 2, "the lines are followed again")
        await shown.pilot.press("q")

    assert on_screen(two, story) == 0


def test_it_says_that_procman_has_ended_and_then_leaves_with_three(two):
    async def story(shown):
        two.close()
        await shown.until(lambda: "trying again" in shown.head(), "it is told")
        assert shown.names() == ["web.1", "web.2", "worker.1"]
        await shown.pilot.press("q")

    assert on_screen(two, story) == 3


# ---- the verb


def test_without_a_terminal_it_is_refused(procman, script):
    done = procman("top")
    assert done.code == 1
    assert done.err.startswith("procman: cannot show a live screen: this is not a terminal\n")


def test_without_textual_the_way_to_it_is_told(script):
    code = (
        "import os, sys; sys.modules['textual'] = None; from procman.cli.outcome import run;"
        "slave = os.openpty()[1]; os.dup2(slave, 0); os.dup2(slave, 1);"
        "sys.stdin = sys.stdout = open(slave, 'w'); os._exit(run(['top']))"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=-1, text=True)
    assert done.returncode == 1
    assert f"`{sys.executable} -m pip install 'textual>=8'` installs it" in done.stderr


def test_nobody_running_ends_with_three(procman, nobody):
    assert procman("top").code == 3

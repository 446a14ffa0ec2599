"""Plays a story with the real kernel, in a process of its own: it reaps all of its children, whoever started them.

`python real.py STORY FOLDER` prints the events that reached the core and the exit code, as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import assert_never

from stories import STORIES, Ask, Ends, Order, Saw, Step, Story, Up, text_of

from pretended import Nature
from procman.core.actions import Action
from procman.core.events import Event, KillAsked
from procman.core.fleet import Fleet
from procman.core.spec import Plan
from procman.kernel import signals
from procman.kernel.kernel import Kernel
from procman.kernel.loop.reactor import Reactor
from procman.kernel.output.formatting import Format
from procman.kernel.output.history import History
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.output.sinks import Sink
from procman.kernel.process.launcher import SpawnContext
from procman.kernel.wiring import KernelSettings

PYTHON = f"{sys.executable} -I -S -u"
COMMANDS = {
    Nature.OBEYS: "print('up'); signal.pause()",
    Nature.IGNORES: "ignore(); print('up'); wait()",
    Nature.TREE: "chain(2); wait()",
    Nature.STUBBORN_TREE: "chain(1, ignore); wait()",
    Nature.DAEMON: "daemon(); print('up'); wait()",
}
PRELUDE = """
import os, signal
told, done = os.pipe()
def ignore():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
def wait():
    while True:
        signal.pause()
def chain(levels, prepare=lambda: None):
    if os.fork():
        if levels > 0 and os.getpid() == os.getsid(0):
            os.read(told, 1)
            print('up')
        return
    prepare()
    if levels > 1:
        chain(levels - 1)
    else:
        os.write(done, b'.')
    wait()
def daemon():
    if os.fork():
        os.wait()
        os.read(told, 1)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    os.write(done, b'.')
    wait()
"""
PAUSE = 0.005


class Recording(Fleet):
    """A fleet that keeps what it was told."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.told: list[str] = []

    def handle(self, event: Event, now: float) -> list[Action]:
        text = text_of(event)
        if text is not None:
            self.told.append(text)
        return super().handle(event, now)


class Player:
    """Takes the steps of a story, each as soon as the one before is done."""

    def __init__(self, story: Story, plan: Plan) -> None:
        self.reactor = Reactor()
        self.history = History()
        out = Multiplexer(self.reactor, Sink(self.reactor, os.open(os.devnull, os.O_WRONLY)), self.history, Format())
        self.fleet = Recording(plan)
        self.kernel = Kernel(
            self.reactor,
            self.fleet,
            out,
            self.history,
            KernelSettings(lambda old: old, SpawnContext(), os.path.join(plan.root, "trace")),
        )
        self.steps = list(story.steps)

    def run(self) -> int:
        signals.install(self.reactor, self.kernel)
        self.go_on()
        return self.kernel.run()

    def go_on(self) -> None:
        while self.steps and self.take(self.steps[0]):
            del self.steps[0]
        if self.steps:
            self.reactor.call_at(time.monotonic() + PAUSE, self.go_on)

    def take(self, step: Step) -> bool:
        """Whether the step is done."""
        match step:
            case Saw(text):
                return text in self.fleet.told
            case Up(generation):
                return sum(entry.data.count(b"up\n") for entry in self.history.tail(["a.1"], None)[0]) >= generation
            case Order(command):
                self.kernel.command(command, lambda _answer: None)
            case Ends():
                pid = self.fleet.instances()[0].pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
            case Ask(KillAsked()):
                if not self.fleet.stopping:  # only a second interrupt kills
                    return False
                os.kill(os.getpid(), signal.SIGINT)
            case Ask():
                os.kill(os.getpid(), signal.SIGTERM)
            case _:
                assert_never(step)
        return True


def command_of(nature: Nature, folder: str) -> str:
    if nature is Nature.ABSENT:
        return "no-such-command-xyz"
    if nature is Nature.DIES:
        return "exit 1"
    path = os.path.join(folder, "nature.py")
    with open(path, "w") as script:
        script.write(PRELUDE + COMMANDS[nature] + "\n")
    return f"{PYTHON} {path}"


def main(name: str, folder: str) -> None:
    story = STORIES[name]
    player = Player(story, story.plan(command_of(story.nature, folder), folder, dict(os.environ)))
    os.chdir(folder)
    code = player.run()
    print(json.dumps({"events": player.fleet.told, "code": code}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Upgrades that come to nothing: the program that runs goes on, and says why."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable

import pytest
from harness import Done, Supervisor, World, all_children_of, children_of, eventually
from scripts import STUBBORN
from upgrades import Installed, upgrade, upgraded, upgrades_of

SLEEPER = "sleep 1000"

BROKEN = {
    "another version of the state": (
        "import procman.kernel.survive.handover as h; h.VERSION = 1000; import procman; procman.__version__ = '9.9.9'",
        r"the state of procman \S+ is of version \d+, and procman \S+ reads version 1000",
    ),
    "a field that it does not find": (
        "from procman.app import resume as t\nclass SavedState(t.SavedState, frozen=True, kw_only=True):\n    unheard_of: int\nt.SavedState = SavedState",
        "unheard_of",
    ),
    "a mistake in it": ("import nosuchmodule", "exit 1: ModuleNotFoundError: No module named 'nosuchmodule'"),
    "a crash": ("import os; os.abort()", "SIGABRT"),
    "one that says nothing and ends with 0": ("raise SystemExit(0)", "exit 0: it printed nothing"),
    "an older one without upgrades": (
        "import sys; print('procman: cannot understand the option --upgrade-check', file=sys.stderr); sys.exit(2)",
        "exit 2: cannot understand the option --upgrade-check",
    ),
}


@pytest.fixture
def installed(world: World) -> Installed:
    made = Installed(world)
    world.procfile(a=SLEEPER)
    return made


@pytest.fixture
def supervisor(world: World, installed: Installed) -> Supervisor:
    """One that runs, so that its program can be replaced."""
    made = world.start("-t", "2")
    made.phase(a_1="ready")
    eventually(lambda: len(all_children_of(made.pid)) == 2, "it has a guardian")
    return made


def goes_on_after(supervisor: Supervisor, ask: Callable[[], Done]) -> Done:
    """The answer; nothing has changed by it, and the next upgrade is not in its way."""
    before, descriptors = supervisor.pids(), supervisor.descriptors()
    done = ask()
    assert supervisor.pids() == before
    assert upgrades_of(supervisor) == 0
    eventually(lambda: supervisor.descriptors() == descriptors, "descriptors as before")
    assert len(children_of(supervisor.pid)) == 1
    return done


@pytest.mark.parametrize(("first", "why"), BROKEN.values(), ids=BROKEN)
def test_a_program_that_cannot_take_over_is_refused_with_its_reason(
    supervisor: Supervisor, installed: Installed, first: str, why: str
) -> None:
    installed.put(first)
    done = goes_on_after(supervisor, installed.upgrade)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("procman: cannot upgrade: the installed program cannot take over (")
    supervisor.expect(f"cannot upgrade: .*{why}")
    installed.put()
    upgrade(supervisor)


def test_a_program_that_is_gone_is_refused(supervisor: Supervisor, installed: Installed) -> None:
    installed.path.unlink()
    done = goes_on_after(supervisor, installed.upgrade)
    assert done.code == 1
    assert "No such file" in done.err
    installed.put()
    upgrade(supervisor)


def test_a_program_that_goes_after_its_check_is_refused(supervisor: Supervisor, installed: Installed) -> None:
    """At the very last moment: the clients have been told, and find that nothing has changed."""
    installed.put("import os, sys\nif 'upgrade-check' in sys.argv[2]: os.unlink(sys.argv[0])")
    done = goes_on_after(supervisor, installed.upgrade)
    assert done.code == 1
    assert done.err.startswith("procman: cannot upgrade: the new program could not be executed")
    supervisor.expect("cannot upgrade: the installed program cannot be executed")
    supervisor.signal(signal.SIGUSR1)
    supervisor.expect("SIGUSR1")  # signals are let in again
    installed.put()
    upgrade(supervisor)


@pytest.mark.parametrize("compiled", [False, True], ids=["all loaded", "bytecode held"])
def test_the_state_is_written_by_the_version_that_runs_whatever_has_been_installed_since(
    world: World, installed: Installed, *, compiled: bool
) -> None:
    """The program that runs loads nothing of the next one, which would call an old state a new one."""
    package = installed.copy(compiled=compiled)
    supervisor = world.start()
    supervisor.phase(a_1="ready")
    eventually(lambda: len(all_children_of(supervisor.pid)) == 2, "it has a guardian")
    (package / "__init__.py").write_text("__version__ = '9.9.9'\n")
    handover = package / "kernel" / "survive" / "handover.py"
    handover.write_text(handover.read_text() + "\nVERSION = 1000\n")
    done = goes_on_after(supervisor, installed.upgrade)
    assert done.code == 1
    assert re.search(r"of procman (?!9)\S+ is of version \d+, and procman 9\.9\.9 reads version 1000", done.err)


def test_usr2_is_refused_in_the_output(supervisor: Supervisor, installed: Installed) -> None:
    installed.put("import nosuchmodule")
    supervisor.signal(signal.SIGUSR2)
    supervisor.expect("cannot upgrade: .*nosuchmodule")
    installed.put()
    supervisor.signal(signal.SIGUSR2)
    upgraded(supervisor, 1)


def test_a_stop_meanwhile_ends_the_check(supervisor: Supervisor, installed: Installed) -> None:
    installed.put("import signal; signal.pause()")
    supervisor.signal(signal.SIGUSR2)
    eventually(lambda: len(children_of(supervisor.pid)) == 2, "it checks")
    assert supervisor.ps()["a.1"]["adopted"] == []
    assert supervisor.stop() == 0
    assert supervisor.world.left() == []


def test_while_it_stops_there_is_none(world: World) -> None:
    world.procfile(a=world.script("stubborn.py", STUBBORN))
    supervisor = world.start("-t", "20")
    supervisor.expect("up")
    supervisor.signal(signal.SIGTERM)
    supervisor.expect("stopping")
    done = world.run("upgrade")
    assert done.code == 1
    assert "procman is stopping" in done.err
    supervisor.signal(signal.SIGINT)
    assert supervisor.wait() == 130


def test_a_procman_that_is_killed_while_it_checks_leaves_nothing(supervisor: Supervisor, installed: Installed) -> None:
    installed.put("import signal; signal.pause()")
    supervisor.signal(signal.SIGUSR2)
    eventually(lambda: len(children_of(supervisor.pid)) == 2, "it checks")
    supervisor.signal(signal.SIGKILL)
    supervisor.wait()
    eventually(lambda: supervisor.world.left() == [], "all is ended")


def test_without_a_procman_there_is_nothing_to_upgrade(world: World) -> None:
    world.procfile(a=SLEEPER)
    assert world.run("upgrade").code == 3


@pytest.mark.parametrize("option", ["--take-over", "--upgrade-check"])
def test_a_descriptor_that_is_no_state_is_refused(world: World, option: str) -> None:
    world.procfile(a=SLEEPER)
    with (world.folder / "file").open("w+") as file:
        for fd in (file.fileno(), 1, 999):
            done = world.run("start", f"{option}={fd}", pass_fds=[file.fileno()])
            assert (done.code, done.err) == (
                1,
                f"procman: cannot take over: descriptor {fd} is not the state of a procman\n",
            )

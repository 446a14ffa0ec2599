"""What each signal to procman does, with and without a terminal."""

from __future__ import annotations

import os
import re
import signal
import time

import pexpect
import pytest
from harness import BIN, DEADLINE, PYTHON, World, alive, eventually, state_of
from scripts import POLITE, STUBBORN

SLEEPER = "sleep 1000"


def test_term_stops_everything_and_exits_0_whatever_the_children_returned(world: World) -> None:
    world.procfile(a="trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done", b=SLEEPER)
    supervisor = world.start()
    supervisor.expect("up$")
    assert supervisor.stop() == 0
    assert "a.1 exit 7" in supervisor.seen


def test_a_second_term_changes_nothing(world: World) -> None:
    counts = world.script(
        "counts.py",
        "import os, signal, select\n"
        "def end(*_):\n"
        "    os.write(1, b'TERM\\n')\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "select.select([], [], [], 2.1)\n"
        "os.write(1, b'no longer young\\n')\n"
        "while True: signal.pause()\n",
    )
    world.procfile(a=counts)
    supervisor = world.start("-t", "20")
    supervisor.expect("no longer young$")  # in its first two seconds it would get the signal once more
    supervisor.signal(signal.SIGTERM)
    supervisor.expect("TERM$")
    supervisor.signal(signal.SIGTERM)
    supervisor.expect("waiting for")
    assert supervisor.lines("a.1").count("TERM") == 1
    supervisor.signal(signal.SIGINT)
    supervisor.wait()


def test_int_stops_everything_and_exits_0(world: World) -> None:
    world.procfile(a=world.script("polite.py", POLITE))
    supervisor = world.start()
    supervisor.expect("up")
    supervisor.signal(signal.SIGINT)
    assert supervisor.wait() == 0
    assert "asked to end" in supervisor.seen


def test_a_second_int_kills_at_once_and_exits_130(world: World) -> None:
    world.procfile(a=world.script("stubborn.py", STUBBORN), b=world.script("polite.py", POLITE))
    supervisor = world.start("-t", "1000")
    supervisor.expect("up")
    supervisor.expect("up")
    supervisor.signal(signal.SIGINT)
    supervisor.expect("stopping 2 instances")
    supervisor.signal(signal.SIGINT)
    assert supervisor.wait() == 130
    assert "a.1 SIGKILL" in supervisor.seen
    assert world.left() == []


def test_an_int_during_a_stop_that_term_began_kills_too(world: World) -> None:
    world.procfile(a=world.script("stubborn.py", STUBBORN))
    supervisor = world.start("-t", "1000")
    supervisor.expect("up")
    supervisor.signal(signal.SIGTERM)
    supervisor.expect("stopping 1 instance")
    supervisor.signal(signal.SIGINT)
    assert supervisor.wait() == 130


def test_hup_reloads(world: World) -> None:
    """One type changed, one removed, one added, one as it was; counts set at run time stay."""
    world.procfile(same=SLEEPER, changes=SLEEPER, goes=SLEEPER)
    supervisor = world.start()
    supervisor.up("same.1", "changes.1", "goes.1")
    supervisor.ask("scale", to={"same": 2})
    before = supervisor.up("same.2")
    world.procfile(changes="sleep 2000", new=SLEEPER, same=SLEEPER)
    supervisor.signal(signal.SIGHUP)
    supervisor.expect("reloaded: added new; removed goes; changed changes")
    after = supervisor.until(
        lambda now: (
            set(now) == {"same.1", "same.2", "changes.1", "new.1"}
            and all(row["phase"] == "ready" for row in now.values())
        ),
        "the new formation",
    )
    assert [after[n]["pid"] for n in ("same.1", "same.2")] == [before[n]["pid"] for n in ("same.1", "same.2")]
    assert after["changes.1"]["pid"] != before["changes.1"]["pid"]
    assert after["same.1"]["port"] == before["same.1"]["port"], "a type keeps its ports where its line has moved"
    assert not alive(before["goes.1"]["pid"])


def test_a_reload_with_an_error_keeps_the_formation(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start()
    before = supervisor.up("a.1")
    world.file("Procfile", "a: sleep 2000\nno colon here\n")
    supervisor.signal(signal.SIGHUP)
    assert "Procfile:2" in supervisor.expect("reload refused: (.*)")[1]
    assert supervisor.ps()["a.1"]["pid"] == before["a.1"]["pid"]


def test_under_nohup_hup_stays_ignored(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start(before=("sh", "-c", "trap '' HUP; exec \"$@\"", "-"))
    supervisor.up("a.1")
    supervisor.signal(signal.SIGHUP)
    supervisor.signal(signal.SIGQUIT)
    supervisor.expect("state: a=1")
    assert "reload" not in supervisor.seen


def test_usr1_and_usr2_are_answered_and_end_nothing(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start()
    pids = supervisor.up("a.1")["a.1"]["pid"]
    supervisor.signal(signal.SIGUSR1)
    supervisor.expect("SIGUSR1: no log files")
    supervisor.signal(signal.SIGUSR2)
    supervisor.expect("upgraded")
    assert supervisor.ps()["a.1"]["pid"] == pids


def test_quit_dumps_the_state_and_goes_on(world: World) -> None:
    world.procfile(a=SLEEPER, b="exit 3")
    supervisor = world.start()
    supervisor.expect(r"b\.1 ended: exit 3")
    pid = supervisor.up("a.1")["a.1"]["pid"]
    supervisor.signal(signal.SIGQUIT)
    supervisor.expect("state: a=1 b=1")
    supervisor.expect(rf"state: a\.1, (starting|ready), pid {pid}, restarts 0")
    supervisor.expect(r"state: b\.1, (backoff|starting|stopping).*")
    assert supervisor.ps()["a.1"]["pid"] == pid


def test_workers_get_none_of_the_signals_that_are_procmans(world: World) -> None:
    tells = world.script(
        "tells.py",
        "import os, signal\n"
        "for n in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGINT, signal.SIGTTIN):\n"
        "    signal.signal(n, lambda n, _: os.write(1, b'got %d\\n' % n))\n"
        "os.write(1, b'up\\n')\n"
        "while True: signal.pause()\n",
    )
    world.procfile(web=tells)
    supervisor = world.start()
    supervisor.expect("up$")
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT):
        supervisor.signal(number)
    supervisor.expect("reloaded")
    supervisor.signal(signal.SIGINT)
    assert supervisor.wait() == 0
    assert not [line for line in supervisor.lines("web.1") if "got" in line]


def test_ttin_and_ttou_scale_where_there_is_no_terminal(world: World) -> None:
    world.procfile(web=SLEEPER, worker=SLEEPER)
    supervisor = world.start()
    supervisor.up("web.1")
    supervisor.signal(signal.SIGTTIN)
    supervisor.up("web.2")
    supervisor.signal(signal.SIGTTOU)
    supervisor.until(lambda now: "web.2" not in now, "one fewer")
    assert "worker.2" not in supervisor.ps()


def test_ttin_scales_the_only_type_whatever_its_name(world: World) -> None:
    world.procfile(only=SLEEPER)
    supervisor = world.start()
    supervisor.up("only.1")
    supervisor.signal(signal.SIGTTIN)
    supervisor.up("only.2")


def test_ttin_without_web_among_several_says_that_it_cannot(world: World) -> None:
    world.procfile(a=SLEEPER, b=SLEEPER)
    supervisor = world.start()
    supervisor.up("a.1")
    supervisor.signal(signal.SIGTTIN)
    supervisor.expect("cannot scale by signal")


def test_twenty_ttin_at_once_add_one_to_twenty_and_ps_agrees(world: World) -> None:
    world.procfile(web="echo up; exec sleep 1000")
    supervisor = world.start()
    supervisor.up("web.1")
    for _ in range(20):
        supervisor.signal(signal.SIGTTIN)
    now = supervisor.until(lambda now: len(now) > 1 and all(r["pid"] for r in now.values()), "more")
    assert 2 <= len(now) <= 21
    assert len([pid for pid in supervisor.pids().values() if alive(pid)]) == len(now)


def test_int_and_quit_ignored_by_a_shell_in_the_background_are_handled_all_the_same(world: World) -> None:
    """A shell without job control starts `procman start &` with INT and QUIT ignored."""
    world.procfile(a=world.script("polite.py", POLITE))
    supervisor = world.start(before=("sh", "-c", "trap '' INT QUIT; exec \"$@\"", "-"))
    supervisor.expect("up")
    supervisor.signal(signal.SIGINT)
    assert supervisor.wait() == 0


def test_tstp_suspends_procman_alone_and_nothing_bursts_after_cont(world: World) -> None:
    ticks = world.script(
        "ticks.py",
        "import os, select\nfor n in range(10**6):\n    os.write(1, b'tick %d\\n' % n)\n    select.select([], [], [], 0.05)\n",
    )
    world.procfile(a=ticks, b=SLEEPER)
    # in a session of its own its group would be orphaned, and TSTP without effect (POSIX: setpgid)
    supervisor = world.start(start_new_session=False, process_group=0)
    supervisor.expect("tick 3$")
    pids = supervisor.pids()
    supervisor.signal(signal.SIGTSTP)
    eventually(lambda: state_of(supervisor.pid) == "T", "suspended")
    assert all(map(alive, pids.values()))
    assert all(state_of(pid) != "T" for pid in pids.values())
    os.kill(pids["b.1"], signal.SIGKILL)
    supervisor.signal(signal.SIGCONT)
    supervisor.expect(r"b\.1 ended: SIGKILL")
    assert supervisor.pids("a") == {"a.1": pids["a.1"]}
    supervisor.up("b.1")
    assert supervisor.ps()["b.1"]["restarts"] == 1


# ---- with a terminal


@pytest.fixture
def terminal(world: World) -> pexpect.spawn:
    """`procman start` in the foreground of a terminal."""
    world.procfile(web="echo up; exec sleep 1000")
    child = pexpect.spawn(BIN, ["start"], cwd=str(world.folder), env=world.env, timeout=DEADLINE, encoding="utf-8")
    child.expect("up")
    yield child
    if not child.closed:
        child.close(force=True)


def test_with_a_terminal_ttin_and_ttou_are_ignored(terminal: pexpect.spawn) -> None:
    terminal.kill(signal.SIGTTIN)
    terminal.kill(signal.SIGTTOU)
    terminal.kill(signal.SIGQUIT)
    terminal.expect("state: web=1")
    terminal.sendintr()
    terminal.expect("stopped: web.1")
    terminal.expect(pexpect.EOF)


def test_ctrl_c_at_a_terminal_stops_everything_and_exits_0(terminal: pexpect.spawn) -> None:
    terminal.sendintr()
    terminal.expect("Ctrl-C again kills them")
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert terminal.exitstatus == 0


def test_a_terminal_that_goes_away_stops_everything(world: World, terminal: pexpect.spawn) -> None:
    pid = terminal.pid
    terminal.ptyproc.fileobj.close()  # as when a terminal window is closed: the kernel sends HUP
    terminal.closed = terminal.ptyproc.closed = True
    eventually(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, "procman has ended")
    assert world.left() == []


def test_background_output_under_tostop_neither_stops_procman_nor_scales(world: World) -> None:
    """A job in the background that writes to a terminal with `stty tostop` gets TTOU for every write."""
    world.procfile(web=f"{PYTHON} -c 'import time; [(print(\"tick\", n), time.sleep(0.05)) for n in range(99999)]'")
    shell = pexpect.spawn(
        "/bin/sh", ["-i"], cwd=str(world.folder), env={**world.env, "PS1": "$ "}, timeout=DEADLINE, encoding="utf-8"
    )
    try:
        shell.sendline(f"stty tostop; {BIN} start & echo pid=$!")
        pid = int(_after(shell, r"pid=(\d+)"))
        shell.expect("tick 20")
        shell.sendline(f"{BIN} ps --json")
        assert re.search(r'"web":1\b', _after(shell, r'("formation":\S+)'))
        shell.sendline(f"kill {pid}; wait {pid}; echo code=$?")
        assert _after(shell, r"code=(\d+)") == "0"
    finally:
        shell.close(force=True)


def _after(child: pexpect.spawn, pattern: str) -> str:
    child.expect(pattern)
    return str(child.match[1])


def test_a_stop_takes_no_time_where_the_children_are_quick(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start("-m", "a=10")
    supervisor.until(lambda now: len([1 for row in now.values() if row["pid"]]) == 10, "ten")
    began = time.monotonic()
    assert supervisor.stop() == 0
    assert time.monotonic() - began < 3

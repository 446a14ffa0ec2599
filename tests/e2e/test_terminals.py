"""`procman start` on a real terminal, seen through an emulator of one: what a developer sees, and what programs find."""

from __future__ import annotations

import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator

import pexpect
import pyte
import pytest
from harness import BIN, DEADLINE, PYTHON, World, alive, children_of, eventually, state_of, status_of


class Screen:
    """procman in the foreground of a terminal of 100 columns and 40 lines; what stands on its screen."""

    def __init__(self, world: World, *args: str, columns: int = 100, **env: str) -> None:
        self.world = world
        self.columns = columns
        self.screen = pyte.HistoryScreen(columns, 40, history=2000)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.child = pexpect.spawn(
            BIN,
            ["start", "--no-timestamps", *args],
            cwd=str(world.folder),
            env={**world.env, "TERM": "xterm-256color"} | env,
            dimensions=(40, columns),
            timeout=DEADLINE,
        )

    def read(self) -> bool:
        """Read once; whether there may be more."""
        try:
            data = self.child.read_nonblocking(65536, timeout=0.05)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += data
        self.stream.feed(data)
        return True

    def lines(self) -> list[str]:
        """All that has been shown, what has scrolled away included; not a line that has only half come."""
        gone = ["".join(line[x].data for x in range(self.columns)).rstrip() for line in self.screen.history.top]
        cursor = self.screen.cursor
        whole = [line.rstrip() for y, line in enumerate(self.screen.display) if y != cursor.y or not cursor.x]
        return [*gone, *whole]

    def of(self, name: str) -> list[str]:
        """The lines of an instance."""
        found = (re.fullmatch(rf"{re.escape(name)} +\| ?(.*)", line) for line in self.lines())
        return [match[1] for match in found if match]

    def until(self, reached: Callable[[], object], what: str) -> None:
        end = time.monotonic() + DEADLINE
        while not reached():
            assert time.monotonic() < end, f"{what}: still not so:\n" + "\n".join(self.lines())
            if not self.read():
                assert reached(), f"{what}: procman has ended:\n" + "\n".join(self.lines())

    def shows(self, name: str, line: str) -> None:
        self.until(lambda: line in self.of(name), f"{name} shows {line!r}")

    def resize(self, lines: int, columns: int) -> None:
        self.child.setwinsize(lines, columns)

    def stop(self) -> None:
        """Ctrl-C, and all that comes until the end."""
        self.child.sendintr()
        while self.read():
            continue
        self.child.wait()


@pytest.fixture
def screen_of(world: World) -> Iterator[Callable[..., Screen]]:
    made: list[Screen] = []

    def make(*args: str, **more: object) -> Screen:
        made.append(Screen(world, *args, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for screen in made:
        if screen.child.isalive():
            screen.child.kill(signal.SIGCONT)
            screen.stop()
        screen.child.close(force=True)


ScreenOf = Callable[..., Screen]


def test_where_a_person_looks_each_instance_has_a_terminal(world: World, screen_of: ScreenOf) -> None:
    world.procfile(a="tty; echo $TERM ${PYTHONUNBUFFERED-buffered}; stty size; exec sleep 1000")
    screen = screen_of("-m", "a=2")
    screen.until(lambda: all(len(screen.of(name)) == 3 for name in ("a.1", "a.2")), "three lines of each")
    first, second = screen.of("a.1"), screen.of("a.2")
    assert first[0].startswith("/dev/pts/")
    assert first[0] != second[0]
    assert first[1:] == ["xterm-256color buffered", f"40 {100 - len('system | ')}"]
    screen.stop()
    assert screen.child.exitstatus == 0


def test_where_nobody_looks_nobody_has_a_terminal_unless_asked_for(world: World) -> None:
    world.procfile(a="tty; echo ${TERM-none} $PYTHONUNBUFFERED", b="tty; echo ${TERM-none} $PYTHONUNBUFFERED")
    world.file("procman.yml", "processes: {b: {tty: true}}")
    supervisor = world.start()
    assert supervisor.wait() == 0
    assert supervisor.lines("a.1") == ["not a tty", "none 1"]
    assert supervisor.lines("b.1")[0].startswith("/dev/pts/")
    assert supervisor.lines("b.1")[1] == "xterm"


def test_the_command_line_takes_terminals_away(world: World, screen_of: ScreenOf) -> None:
    world.procfile(a="tty; exec sleep 1000")
    world.file("procman.yml", "processes: {a: {tty: true}}")
    screen_of("--no-tty").shows("a.1", "not a tty")


@pytest.mark.parametrize(
    ("command", "prompt"),
    [
        (f"{PYTHON} -m pdb script.py", "(Pdb)"),
        (f"{PYTHON} -i -q", ">>>"),
        (f"{PYTHON} -c 'import getpass; getpass.getpass(\"pass word: \")'", "pass word:"),
        ("printf 'go on? '; read answer", "go on?"),
        ("PS1='sh> ' exec sh -i", "sh>"),
    ],
)
def test_a_prompt_is_shown(world: World, screen_of: ScreenOf, command: str, prompt: str) -> None:
    world.file("script.py", "print('never')\n")
    world.procfile(a=command)
    screen_of("--timeout", "0.5").shows("a.1", prompt)


def test_a_sibling_goes_on_below_a_prompt(world: World, screen_of: ScreenOf) -> None:
    world.procfile(
        ask="printf 'name? '; exec sleep 1000", work="n=0; while :; do n=$((n+1)); echo line $n; sleep 0.05; done"
    )
    screen = screen_of()
    screen.shows("ask.1", "name?")
    before = len(screen.of("work.1"))
    screen.until(lambda: len(screen.of("work.1")) > before + 5, "five lines more")
    assert screen.of("ask.1") == ["name?"]
    assert screen.of("work.1") == [f"line {n + 1}" for n in range(len(screen.of("work.1")))]


FULL_SCREEN = """
import sys, time
out = sys.stdout
out.write("\\x1b]0;a title\\x07\\x1b[?1049h\\x1b[2J\\x1b[H\\x1b[6n\\x1b[c\\x1b[?2004h\\x1b(0")
out.write("\\n" * 30 + "\\x1b[1;1H\\x1b[0J\\x1b[5;10Hfull screen\\x1b[10A\\x1b[1m\\x1b[41m\\r\\n")
out.write("\\x1bc\\x1b[8;10;10t\\x1b[5 q\\x07\\x0e\\x9b31mready\\r\\n")
out.flush()
time.sleep(1000)
"""


def test_a_program_that_takes_the_screen_disturbs_nobody(world: World, screen_of: ScreenOf) -> None:
    world.procfile(a=world.script("full.py", FULL_SCREEN), b="sleep 0.5; echo quiet; exec sleep 1000")
    screen = screen_of(columns=200)
    screen.shows("b.1", "quiet")
    screen.until(lambda: any(line.endswith("ready") for line in screen.of("a.1")), "ready")
    assert all(re.match(r"(system|[ab]\.1) +\|", line) for line in screen.lines() if line), screen.lines()
    assert screen.screen.title == ""
    sequences = set(re.findall(rb"\x1b(?:\[[0-9;:]*m|.)", screen.raw))
    assert all(sequence.endswith(b"m") for sequence in sequences), sequences
    row = next(y for y, line in enumerate(screen.screen.display) if "quiet" in line)
    assert {screen.screen.buffer[row][x].bg for x in range(20)} == {"default"}  # no style has leaked


def test_less_shows_its_page_and_its_prompt(world: World, screen_of: ScreenOf) -> None:
    world.procfile(a="seq 1000 2000 | less")
    screen = screen_of("--timeout", "1", PAGER="less", LESS="")
    screen.until(lambda: ":" in screen.of("a.1"), "the prompt of less")
    assert screen.of("a.1")[:3] == ["1000", "1001", "1002"]


def test_twelve_types_stand_side_by_side_each_in_a_colour_of_its_own(world: World, screen_of: ScreenOf) -> None:
    names = [f"type{n:02}" for n in range(12)]
    world.procfile(**dict.fromkeys(names, "printf '\\033[32mgreen'; echo; echo plain; exec sleep 1000"))
    screen = screen_of()
    screen.until(lambda: all(screen.of(f"{name}.1") == ["green", "plain"] for name in names), "two lines of each")
    colors = set()
    for y, line in enumerate(screen.screen.display):
        if line.startswith("type"):
            colors.add(screen.screen.buffer[y][0].fg)
            said = screen.screen.buffer[y][line.index("|") + 2].fg
            assert said == ("green" if "green" in line else "default"), line
    assert len(colors) == 12


def test_a_resize_reaches_every_program(world: World, screen_of: ScreenOf) -> None:
    world.procfile(a="trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done")
    screen = screen_of("-m", "a=2", "--timeout", "1")
    prefix = len("system | ")
    screen.until(lambda: all(screen.of(name) for name in ("a.1", "a.2")), "their first size")
    screen.resize(50, 90)
    for name in ("a.1", "a.2"):
        screen.shows(name, f"50 {90 - prefix}")


def test_a_crash_loop_leaves_no_terminal_behind(world: World) -> None:
    world.procfile(a="printf 'last words'; exit 3", b="exec sleep 1000")
    world.file("procman.yml", "processes: {a: {restart: {delay: 0, max_restarts: 30}}}")
    supervisor = world.start("--tty")
    supervisor.phase(a_1="failed")
    supervisor.expect("gave up|failed")
    assert supervisor.lines("a.1") == ["last words"] * 31

    def open_ones() -> list[str]:
        return [link for link in supervisor.links() if link.startswith(("/dev/pts/", "/dev/ptmx"))]

    eventually(lambda: len(open_ones()) == 1, "b's alone is left")


def test_scaling_opens_and_closes_terminals(world: World) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    supervisor = world.start("--tty")
    supervisor.up("a.1")
    before = supervisor.descriptors()
    for _ in range(3):
        supervisor.ask("scale", to={"a": 5})
        supervisor.up("a.5")
        assert supervisor.descriptors() == before + 4
        supervisor.ask("scale", to={"a": 1})
        supervisor.until(lambda now: list(now) == ["a.1"], "one")
    assert supervisor.descriptors() == before


def test_what_ignores_term_is_killed_at_the_grace(world: World) -> None:
    world.procfile(a="trap '' TERM; echo up; while :; do sleep 0.05; done")
    supervisor = world.start("--tty", "--timeout", "0.5")
    supervisor.expect("up")
    assert supervisor.stop() == 0
    assert "did not stop in 0.5 s: killed" in supervisor.seen


POLITE_BEHIND_A_SHELL = """
import os, signal, sys, time
def end(*_):
    while os.getppid() != int(sys.argv[1]):
        time.sleep(0.01)  # until the shell has gone, and procman is the parent
    os.write(1, b"ended in order\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
os.write(1, b"up\\n")
while True: signal.pause()
"""


def test_a_program_behind_a_shell_ends_in_order(world: World) -> None:
    """Where a session has a terminal, the system sends HUP to the group when its leader ends: here the shell."""
    script = world.script("polite.py", POLITE_BEHIND_A_SHELL)
    world.procfile(a=f"{script} $(ps -o ppid= $$); true")
    supervisor = world.start("--tty")
    supervisor.expect("up")
    assert supervisor.stop() == 0
    assert supervisor.lines("a.1") == ["up", "ended in order"]


def test_a_grandchild_that_holds_the_terminal_delays_nothing(world: World) -> None:
    world.procfile(a="setsid sleep 1000 & sleep 0.1; exit 3")
    supervisor = world.start("--tty")
    supervisor.expect("a.1 ended: exit 3")
    supervisor.expect("a.1 ended: exit 3")


def test_ctrl_c_reaches_procman_only(world: World, screen_of: ScreenOf) -> None:
    world.procfile(a="trap 'echo got INT' INT; trap 'echo got TERM; exit' TERM; echo up; while :; do sleep 0.05; done")
    screen = screen_of()
    screen.shows("a.1", "up")
    screen.stop()
    assert screen.of("a.1") == ["up", "got TERM"]


def test_nothing_is_lost_while_procman_is_suspended(world: World, screen_of: ScreenOf) -> None:
    world.procfile(a="n=0; while [ $n -lt 4000 ]; do n=$((n+1)); echo line $n; done; printf 'done? '; exec sleep 1000")
    screen = screen_of()
    screen.until(lambda: screen.of("a.1"), "a first line")
    os.kill(screen.child.pid, signal.SIGSTOP)
    (child,) = [pid for pid in children_of(screen.child.pid) if alive(pid)]
    eventually(lambda: state_of(child) == "S", "it waits for its reader")
    os.kill(screen.child.pid, signal.SIGCONT)
    screen.shows("a.1", "done?")
    shown = re.findall(rb"line (\d+)\r\n", screen.raw)
    assert [int(number) for number in shown] == list(range(1, 4001))


def test_logs_show_what_the_shared_view_does(world: World) -> None:
    world.procfile(a=r"printf '\033[2J\033[31mred\033[0m\r\n 1%%\r100%%\n\033]0;t\007'; exec sleep 1000")
    supervisor = world.start("--tty")
    supervisor.expect("100%")
    logged = world.run("logs", "a.1")
    assert re.sub(r"^\S+ ", "", logged.out, flags=re.MULTILINE) == "a.1    | red\na.1    | 100%\n"
    (output,) = [entry for entry in _raw(world) if "red" in entry.get("text", "")]
    assert output["terminal"] is True
    assert output["text"].startswith("\x1b[2J\x1b[31mred\x1b[0m\r\r\n")


def _raw(world: World) -> list[dict[str, object]]:
    """The notifications of a logs stream."""
    with world.started[-1].connected() as line:
        line.ask("logs", names=["a.1"])
        return [line.next()["params"]]


def test_a_line_of_50_megabytes_and_random_bytes_leave_the_others_alone(world: World) -> None:
    world.procfile(
        big="head -c 50000000 /dev/zero | tr '\\0' x; echo; exec sleep 1000",
        noise="head -c 5000000 /dev/urandom; exec sleep 1000",
        calm="n=0; while [ $n -lt 50 ]; do n=$((n+1)); echo calm $n; sleep 0.01; done; exec sleep 1000",
    )
    supervisor = world.start("--tty", "-q", "noise")
    supervisor.expect("calm 50")
    assert supervisor.lines("calm.1") == [f"calm {n}" for n in range(1, 51)]
    assert int(status_of(supervisor.pid)["VmHWM"].split()[0]) < 60_000  # kB
    assert world.run("ps").code == 0


def test_while_nobody_reads_the_screen_everything_else_goes_on(world: World) -> None:
    world.procfile(a="yes", b="exec sleep 1000")
    supervisor = world.start("--tty")
    supervisor.expect("y\n")
    supervisor.up("a.1", "b.1")  # and not read from here on
    select.select([], [], [], 0)
    assert world.run("restart", "b", "--wait").code == 0
    assert world.run("scale", "a=2", "--wait").code == 0
    assert supervisor.stop() == 0

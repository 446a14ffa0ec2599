"""Counts that do not depend on how busy the machine is guard what is measured in seconds elsewhere.

Each bound is what was counted and some room, and says what would break it: the count that a fault of that kind makes.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import proctable
import pytest
from programs import procman
from rows_output import LENGTH
from rows_start import IMPORTS, WITHOUT_CLICK
from stage import PATIENCE, Stage, Wire, prepare, ready_trial
from trial import DONE, READY, Trial

pytestmark = pytest.mark.processes

PROCMAN = os.environ.get("PROCMAN_TEST_BIN") or str(Path(sys.executable).with_name("procman"))

TELL_MODULES = """
import atexit, sys
atexit.register(lambda: open(sys.argv[1], "w").write(" ".join(sys.modules)))
"""
RUN = "from procman.cli import main\nmain(sys.argv[2:])"
UP_TO_THE_END = (
    "import procman.serve.lazyserver as server, procman.kernel.survive.lazyupgrade as upgrade\n"
    "server.QUIET_AFTER = upgrade.QUIET_AFTER = 3600.0\n"
) + RUN
"""A start without what is loaded 50 ms after it: on a busy machine the one instance has not ended by then."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return prepare(tmp_path_factory.mktemp("rods"), [PROCMAN], (), rod=False, idle_seconds=0)


# ---- start-up


def modules(told: Path, code: str, *args: str, **how: object) -> set[str]:
    subprocess.run([sys.executable, "-c", TELL_MODULES + code, told, *args], capture_output=True, timeout=60, **how)
    return set(told.read_text().split())


def beyond(told: Path, imports: str, *args: str, **how: object) -> tuple[set[str], set[str]]:
    """The modules of a verb beside those of the libraries: the standard library's, and procman's."""
    more = modules(told, UP_TO_THE_END if args[0] == "start" else RUN, *args, **how) - modules(told, imports)
    return {name for name in more if not name.startswith("procman")}, {n for n in more if n.startswith("procman")}


def alone(folder: Path) -> dict[str, object]:
    """A `start` of one child in this folder that nobody's environment has a say in."""
    (folder / "Procfile").write_text("a: true\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PROCMAN_START")}
    return {"cwd": folder, "env": env | {"XDG_RUNTIME_DIR": str(folder)}}


def test_start_loads_few_modules_and_not_click(tmp_path: Path) -> None:
    """Counted: 10 and 111, those for the end among them (each room is one: 0.05 ms, as it comes straight from its bytecode). A
    package more (asyncio 60, logging 8, yaml 18, subprocess 6) goes over it; click is 13 ms. What an upgrade needs, six modules,
    is not loaded yet where the one instance ends at once."""
    library, own = beyond(tmp_path / "told", WITHOUT_CLICK, "start", "--no-restart", **alone(tmp_path))
    assert "procman.kernel.kernel" in own
    assert "click" not in library
    assert "procman.kernel.survive.upgrading" not in own
    assert len(library) <= 18, sorted(library)
    assert not {f"procman.core.{name}" for name in ("commands", "reload", "select", "interrupts", "fallback")} & own
    assert len(own) <= 115, sorted(own)


def test_start_does_without_what_msgspec_only_needs_for_a_json_schema(tmp_path: Path) -> None:
    """They compile six patterns: 8 and 5 million instructions of 240. The schema itself and TOML are 0.06 MB."""
    loaded = modules(tmp_path / "told", RUN, "start", "--no-restart", **alone(tmp_path))
    assert "msgspec" in loaded
    assert not {"platform", "textwrap", "msgspec.inspect", "msgspec._json_schema", "msgspec.toml"} & loaded


def test_start_and_scale_do_without_the_half_of_socket_that_is_in_python(stage: Stage, tmp_path: Path) -> None:
    """Its enumerations are 0.15 MB and 1 ms."""
    loaded = modules(tmp_path / "told", RUN, "start", "--no-restart", **alone(tmp_path))
    with ready_trial(stage.procman, stage.ready(1)) as trial:
        also = modules(tmp_path / "told", RUN, "scale", cwd=trial.folder, env=trial.env)
    assert "_socket" in loaded & also
    assert "socket" not in loaded | also


def test_a_dotenv_file_loads_only_the_parser(tmp_path: Path) -> None:
    """Counted: 2 more. The whole package brings logging, pathlib, tempfile and 20 others: 11 ms."""
    how = alone(tmp_path)
    without = modules(tmp_path / "told", UP_TO_THE_END, "start", "--no-restart", **how)
    (tmp_path / ".env").write_text("A=${B:-1}\n")
    more = modules(tmp_path / "told", UP_TO_THE_END, "start", "--no-restart", **how) - without
    assert "dotenv.parser" in more
    assert len(more) <= 6, sorted(more)


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_what_needs_no_verb_loads_no_library_but_click(tmp_path: Path, word: str) -> None:
    loaded = modules(tmp_path / "told", RUN, word)
    assert "click" in loaded
    assert not {"msgspec", "procman.app.options", "procman.core"} & loaded


def test_scale_loads_few_modules_and_nothing_of_the_kernel(stage: Stage, tmp_path: Path) -> None:
    """Counted: 8 and 34. The protocol is four of them, as is where its socket is found: a module is 0.05 ms."""
    with ready_trial(stage.procman, stage.ready(1)) as trial:
        library, own = beyond(tmp_path / "told", IMPORTS, "scale", "p1=2", cwd=trial.folder, env=trial.env)
    assert "procman.control.client" in own
    assert len(library) <= 10, sorted(library)
    assert len(own) <= 37, sorted(own)
    assert not [name for name in own if name.startswith("procman.kernel")]


def test_neither_loads_openssl(stage: Stage, tmp_path: Path) -> None:
    """It is 3.8 MB of resident memory and 2 ms."""
    with ready_trial(stage.procman, stage.ready(1)) as trial:
        assert "_hashlib" not in modules(tmp_path / "told", RUN, "scale", cwd=trial.folder, env=trial.env)
        assert "libcrypto" not in Path(f"/proc/{trial.pid}/maps").read_text()


def instructions(*words: str, cwd: Path) -> int:
    """Exactly the same each time, as long as the hashes of strings are."""
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable]
    env = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"}
    subprocess.run([sys.executable, *words], capture_output=True, cwd=cwd, env=env)  # its bytecode is on the disk now
    done = subprocess.run([*valgrind, *words], capture_output=True, text=True, cwd=cwd, env=env, timeout=120)
    return next(int(line.split()[-1]) for line in done.stderr.splitlines() if "Collected" in line)


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="counts with valgrind")
@pytest.mark.timeout(300)
def test_verbs_cost_hardly_more_instructions_than_the_imports_of_their_libraries(tmp_path: Path) -> None:
    """Counted: 0.95 of them for check, 1.02 for scale, 0.06 for logging alone.

    They may be under 1: the collector rests while procman loads, and some of what the libraries import is put off.
    """
    (tmp_path / "Procfile").write_text("a: true\n")
    libraries = instructions("-c", IMPORTS, cwd=tmp_path)
    assert instructions(PROCMAN, "check", cwd=tmp_path) / libraries < 1.05
    assert instructions(PROCMAN, "scale", cwd=tmp_path) / libraries < 1.07


# ---- system calls


def traced(stage: Stage, tmp_path: Path) -> Stage:
    """procman under strace, which counts its calls and not its children's (no -f)."""
    if shutil.which("strace") is None:
        pytest.skip("counts with strace")
    plain = stage.procman

    def command(executable: str, *given: object) -> list[str]:
        return ["strace", "-c", "-o", str(tmp_path / "calls"), *plain.command(executable, *given)]  # type: ignore[arg-type]

    return stage._replace(versions=(plain._replace(command=command),))


def counted(tmp_path: Path) -> int:
    """All calls, once strace has written its table."""
    return int((tmp_path / "calls").read_text().splitlines()[-1].split()[3])


def end(trial: Trial) -> None:
    (supervisor,) = [each.pid for each in trial.look() if each.parent == trial.pid]
    os.kill(supervisor, signal.SIGTERM)
    trial.process.wait(PATIENCE)


def test_a_run_takes_few_system_calls(stage: Stage, tmp_path: Path) -> None:
    """Counted from start to end: 40, and up to 47 on a busy machine, where deaths and lines come one by one. It
    includes the look-up of its program, its pipe and its output, and one look at its children before its stop. A poll, a look
    at the whole process table or a retry for each would add tens more."""
    strace = traced(stage, tmp_path)
    calls = []
    for count in (10, 60):
        with Trial(strace.procman, stage.ready(count)) as trial:
            trial.until(READY, count, PATIENCE)
            end(trial)
        calls.append(counted(tmp_path))
    assert (calls[1] - calls[0]) / 50 < 55


def test_a_line_takes_a_hundredth_of_a_system_call(stage: Stage, tmp_path: Path) -> None:
    """Counted: 0.004, a read and a write for 64 KiB. One for each line would be 1; reads of 4 KiB, as a terminal's are, 0.06."""
    strace = traced(stage, tmp_path)
    calls = []
    for lines in (1000, 201_000):
        with Trial(
            strace.procman, [stage.ready(1)[0]._replace(command=f"{stage.worker} flood {lines} {LENGTH}")]
        ) as trial:
            trial.until(DONE, 1, PATIENCE)
            end(trial)
        calls.append(counted(tmp_path))
    assert (calls[1] - calls[0]) / 200_000 < 0.02


# ---- at rest, and at work


def test_idle_procman_never_wakes(stage: Stage) -> None:
    """Counted: 0. The two seconds are what is looked at; the shortest timer that anyone would add ticks in them."""
    with ready_trial(stage.procman, stage.ready(20)) as trial, Wire(trial) as changes, Wire(trial) as wire:
        changes.ask("events")
        while any(row["phase"] != "ready" for row in wire.ask("ps")["fleet"]["instances"]):
            changes.arrived()
        select.select([], [], [], 0.2)  # after its readiness there is one look at who has become a child
        wire.ask("ps")  # answered: what came of the last event is done
        pids = [each.pid for each in trial.own()]
        rest(pids)
        before = [proctable.switches(pid) for pid in pids]
        select.select([], [], [], 2.0)
        assert [proctable.switches(pid) for pid in pids] == before


def rest(pids: list[int]) -> None:
    """Wait until all of them sleep: the last answer is written before its writer does."""
    while any(proctable.process(pid).state != "S" for pid in pids):
        select.select([], [], [], 0.001)


@pytest.mark.parametrize("options", [(), ("--log-format", "json", "--history", "0")], ids=["text", "json"])
def test_output_hardly_faults(stage: Stage, options: tuple[str, ...]) -> None:
    """Counted: 0 and 0.13 page faults a MB. Where the heap's top is given back after each chunk, json takes 1.2."""
    program = procman(PROCMAN, options=options)
    jobs = [job._replace(command=f"{stage.worker} flood 250000 {LENGTH}") for job in stage.ready(4)]
    with Trial(program, jobs) as trial:
        while trial.tap.bytes < 20e6:
            assert trial.tap.read(PATIENCE)
        before, seen = proctable.minor_faults(trial.pid), trial.tap.bytes
        trial.until(DONE, 4, PATIENCE)
        faults = proctable.minor_faults(trial.pid) - before
    assert faults / ((trial.tap.bytes - seen) / 1e6) < 0.6

"""Where procman is run: pipes, files, odd folders, no folder for its socket, outputs that are full or gone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from harness import PYTHON, World, alive, eventually

TICKS = "import os, select\nfor n in range(10**6):\n    os.write(1, b'tick %d\\n' % n)\n    select.select([], [], [], 0.02)\n"


def test_output_to_a_pipe_has_a_time_and_a_name_and_no_colour(world: World) -> None:
    world.procfile(web="echo hello", longer_name="echo hi")
    supervisor = world.start()
    assert supervisor.wait() == 0
    assert re.search(r"^\d\d:\d\d:\d\d web\.1         \| hello$", supervisor.seen, re.MULTILINE)
    assert re.search(r"^\d\d:\d\d:\d\d longer_name\.1 \| hi$", supervisor.seen, re.MULTILINE)
    assert "\x1b" not in supervisor.seen


def test_output_to_a_file_is_complete(world: World) -> None:
    world.procfile(a="seq 20000")
    with (world.folder / "log").open("wb") as log:
        assert world.start(stdout=log).wait() == 0
    numbers = re.findall(r"a\.1 +\| (\d+)$", (world.folder / "log").read_text(), re.MULTILINE)
    assert numbers == [str(n) for n in range(1, 20001)]


def test_lines_as_json_name_instance_and_stream(world: World) -> None:
    import json

    world.procfile(a="echo out; echo err >&2")
    supervisor = world.start("--log-format", "json", "--split-streams")
    assert supervisor.wait() == 0
    told = [json.loads(line) for line in supervisor.seen.splitlines()]
    assert {(t["message"], t["stream"]) for t in told if t["instance"] == "a.1"} == {
        ("out", "stdout"),
        ("err", "stderr"),
    }


def test_quiet_types_are_not_shown_but_kept(world: World) -> None:
    world.procfile(a="echo loud; exec sleep 1000", b="echo silent; exec sleep 1000")
    supervisor = world.start("-q", "b")
    supervisor.expect("loud$")
    eventually(lambda: "silent" in world.run("logs", "b").out, "kept")
    supervisor.stop()
    assert "silent" not in supervisor.seen


def test_the_order_of_a_childs_two_outputs_is_its_own(world: World) -> None:
    world.procfile(a="for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done")
    supervisor = world.start()
    supervisor.wait()
    assert supervisor.lines("a.1") == [f"{what} {n}" for n in range(1, 10) for what in ("out", "err")]


def test_a_last_line_without_newline_comes_before_the_line_of_the_end(world: World) -> None:
    world.procfile(a="printf 'last words'; exit 3")
    supervisor = world.start()
    supervisor.expect(r"a\.1 +\| last words\n.*system +\| a\.1 ended: exit 3")


def test_control_characters_of_a_child_reach_no_table(world: World) -> None:
    world.procfile(a=r"printf '\033[2J\033]0;title\007\r\0bad\377\n'; exec sleep 1000")
    supervisor = world.start()
    supervisor.expect("bad")
    assert "\x1b" not in world.run("ps").out


def test_a_line_longer_than_64_kib_is_cut_into_marked_pieces(world: World) -> None:
    world.procfile(a=f"{PYTHON} -c 'print(\"x\" * 200000)'", b="echo whole")
    supervisor = world.start()
    assert supervisor.wait() == 0
    pieces = supervisor.lines("a.1")
    assert len(pieces) == 4
    assert sum(piece.count("x") for piece in pieces) == 200000
    assert supervisor.lines("b.1") == ["whole"]


def test_procman_in_the_background_of_a_shell_runs_on_when_the_shell_has_ended(world: World) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    done = subprocess.run(
        ["sh", "-c", "procman start > log 2>&1 & echo $!"], cwd=world.folder, env=world.env, capture_output=True
    )
    pid = int(done.stdout)
    try:
        eventually(lambda: "up" in (world.folder / "log").read_text(), "its output")
        assert world.run("ps").code == 0
    finally:
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: not alive(pid), "its end")


def test_a_folder_with_spaces_and_more(tmp_path: Path) -> None:
    folder = tmp_path / "a folder; with $ things 'and' \"ümlauts\""
    folder.mkdir()
    world = World(folder)
    try:
        world.procfile(a="pwd; echo $PROCMAN_SOCKET; exec sleep 1000")
        supervisor = world.start()
        supervisor.expect(re.escape(str(folder)) + "$")
        assert world.run("ps").code == 0
    finally:
        world.close()


def test_a_path_of_two_hundred_characters(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    world = World(folder)
    world.env["XDG_RUNTIME_DIR"] = str(folder)  # the socket's path is then longer than a socket's address can be
    try:
        world.procfile(a="echo up; exec sleep 1000")
        supervisor = world.start()
        supervisor.expect("up$")
        assert world.run("ps").code == 0
        assert list(folder.glob("procman/*.sock"))
    finally:
        world.close()


def test_without_a_folder_for_the_socket_it_is_reached_by_a_name(world: World) -> None:
    """Root may write anywhere, so the folders are files here."""
    nowhere = world.file("nowhere", "")
    world.env |= {"XDG_RUNTIME_DIR": str(nowhere), "TMPDIR": str(nowhere)}
    if Path(f"/run/user/{os.getuid()}").is_dir():
        pytest.skip("/run/user/UID is there and can be written")
    world.procfile(a="echo up; exec sleep 1000")
    supervisor = world.start()
    supervisor.expect("up$")
    assert "a.1" in world.run("ps").out
    assert world.run("shutdown").code == 0
    assert supervisor.wait() == 0


def test_a_socket_that_was_asked_for_and_cannot_be_is_an_error(world: World) -> None:
    world.procfile(a="echo up")
    done = world.run("start", "--socket", str(world.folder / "missing" / "x.sock"))
    assert done.code == 1
    assert "cannot use the socket" in done.err


def test_head_closes_our_output_and_the_workers_go_on(world: World) -> None:
    world.procfile(a=f"{world.script('ticks.py', TICKS)}")
    supervisor = world.start()
    supervisor.expect("tick 1$")
    assert supervisor.process.stdout
    supervisor.process.stdout.close()
    eventually(lambda: "cannot write to standard output" in world.errors(), "the report")
    pid = supervisor.pids()["a.1"]
    last = int(world.run("logs", "-n", "1").out.split()[-1])
    eventually(lambda: int(world.run("logs", "-n", "1").out.split()[-1]) > last, "it goes on")
    assert alive(pid)
    assert supervisor.stop() == 0
    assert world.errors().count("cannot write to standard output") == 1


@pytest.mark.parametrize("verb", ["check", "ps", "top", "logs", "logs -f", "why a", "scale", "start"])
def test_no_verb_stumbles_over_a_closed_standard_output(world: World, verb: str) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    supervisor = world.start()
    supervisor.expect("up$")
    line = f"{world.bin} {verb} >&-"
    done = subprocess.run(["sh", "-c", line], cwd=world.folder, env=world.env, stderr=subprocess.PIPE, timeout=20)
    assert b"fault of procman" not in done.stderr, done


def test_a_full_disk_ends_nothing(world: World) -> None:
    world.procfile(a=f"{world.script('ticks.py', TICKS)}")
    with open("/dev/full", "wb") as full:
        supervisor = world.start(stdout=full)
    eventually(lambda: "cannot write to standard output" in world.errors(), "the report")
    supervisor.up("a.1")
    assert supervisor.stop() == 0
    assert world.errors().count("cannot write to standard output") == 1
    assert "dropped" in world.errors()


def test_a_reader_that_sleeps_holds_up_writers_and_nothing_else(world: World) -> None:
    world.procfile(loud="yes", calm="sleep 1000")
    supervisor = world.start()
    supervisor.expect("y$")
    now = supervisor.up("loud.1", "calm.1")
    os.kill(now["calm.1"]["pid"], signal.SIGKILL)
    supervisor.until(lambda rows: rows["calm.1"]["restarts"] == 1 and rows["calm.1"]["pid"], "restarted")
    assert world.run("scale", "calm=2").code == 0
    supervisor.up("calm.2")
    supervisor.signal(signal.SIGTERM)
    eventually(lambda: not world.left(), "all workers ended while nobody reads")
    assert supervisor.process.wait(20) == 0


def test_standard_output_is_left_blocking_for_the_next_program(world: World) -> None:
    """O_NONBLOCK belongs to the open description, which the shell's next command shares."""
    import fcntl

    world.procfile(a="seq 1000")
    read, write = os.pipe()
    try:
        supervisor = world.start(stdout=write)
        supervisor.process.wait(20)
        assert not fcntl.fcntl(write, fcntl.F_GETFL) & os.O_NONBLOCK
    finally:
        os.close(read)
        os.close(write)


def test_a_folder_that_is_removed_under_a_running_procman_ends_nothing(tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "gone"
    folder.mkdir()
    world = World(folder)
    world.procfile(a="echo up; exec sleep 1000")
    supervisor = world.start(stderr=subprocess.DEVNULL)
    try:
        supervisor.expect("up$")
        pid = supervisor.pids()["a.1"]
        shutil.rmtree(folder)
        os.kill(pid, signal.SIGKILL)
        supervisor.expect(r"a\.1 ended: SIGKILL")
        assert supervisor.stop() == 0
    finally:
        world.close()

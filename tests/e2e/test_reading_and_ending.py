"""The verbs that look, that run without a procman, and that end one; and what no verb may load."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess

from harness import PYTHON, World, eventually

SLEEPER = "sleep 1000"
TALKER = "echo hello from $PS; exec sleep 1000"


# ---- logs, events


def test_logs_shows_what_was_kept(world: World) -> None:
    world.procfile(web=TALKER, worker=TALKER)
    supervisor = world.start()
    supervisor.expect("hello")
    supervisor.expect("hello")
    done = world.run("logs", "web")
    assert re.fullmatch(r"\d\d:\d\d:\d\d web\.1 +\| hello from web\.1\n", done.out)
    assert set(re.findall(r"hello from (\S+)", world.run("logs").out)) == {"web.1", "worker.1"}


def test_logs_n_shows_the_last_lines_and_json_one_object_a_line(world: World) -> None:
    world.procfile(a="seq 100; exec sleep 1000")
    supervisor = world.start()
    supervisor.expect(r"\b100$")
    assert [line.split()[-1] for line in world.run("logs", "-n", "2").out.splitlines()] == ["99", "100"]
    told = [json.loads(line) for line in world.run("logs", "--json", "-n", "1").out.splitlines()]
    assert [(line["instance"], line["message"]) for line in told] == [("a.1", "100")]


def test_logs_follow_shows_what_comes_until_procman_ends(world: World) -> None:
    world.procfile(a="echo before; read line < go; echo after; exec sleep 1000")
    os.mkfifo(world.folder / "go")
    supervisor = world.start()
    supervisor.expect("before$")
    follower = world.popen("logs", "-f", "a")
    assert follower.stdout
    assert b"before" in follower.stdout.readline()
    (world.folder / "go").write_text("\n")
    assert b"after" in follower.stdout.readline()
    supervisor.stop()
    assert follower.stdout.read() == b""
    assert follower.wait() == 0


def test_events_as_json_report_a_run_from_start_to_end(world: World) -> None:
    world.procfile(a=SLEEPER, b=SLEEPER)
    supervisor = world.start()
    supervisor.phase(a_1="ready")
    watcher = world.popen("events", "--json")
    out = watcher.stdout
    assert out

    def watching() -> bool:
        supervisor.ask("scale", to={"b": 1})
        supervisor.ask("scale", to={"b": 0})
        return bool(select.select([out], [], [], 0.05)[0])

    eventually(watching, "it watches")
    supervisor.ask("restart", names=["a"])
    seen: list[str] = []
    while "ready" not in seen:
        happened = json.loads(out.readline())
        seen += [happened["event"]] if happened.get("instance") == "a.1" else []
    assert seen == ["stopping", "started", "ready"]
    supervisor.stop()
    rest = [json.loads(line) for line in out]
    assert [happened["event"] for happened in rest if happened.get("instance") == "a.1"] == ["stopping", "stopped"]
    assert rest[-1]["event"] == "finished"
    assert watcher.wait() == 0


# ---- run, check, reload, shutdown


def test_run_becomes_the_command_with_its_exit_code(world: World) -> None:
    world.procfile(release="echo release as $PS port=$PORT; exit 7")
    done = world.run("run", "release")
    assert (done.code, done.out) == (7, "release as run.1 port=\n")


def test_run_takes_any_command_and_its_arguments(world: World) -> None:
    world.procfile(web=SLEEPER)
    world.file(".env", "GREETING=hello\n")
    assert world.run("run", "printenv", "GREETING").out == "hello\n"
    assert world.run("run", "no-such-program-xyz").code == 127


def test_run_dies_of_the_signal_that_its_command_dies_of(world: World) -> None:
    world.procfile(web=SLEEPER)
    assert world.run("run", "kill -9 $$").code == -signal.SIGKILL


def test_check_prints_the_types_or_the_errors(world: World) -> None:
    world.procfile(web=SLEEPER, worker=SLEEPER)
    done = world.run("check")
    assert done.code == 0
    assert "web" in done.out
    assert "worker" in done.out
    world.file("Procfile", "web\nalso wrong\n")
    done = world.run("check")
    assert done.code == 2
    assert "Procfile:1" in done.err
    assert "Procfile:2" in done.err


def test_reload_by_name_tells_of_errors_with_exit_2(world: World) -> None:
    world.procfile(web=SLEEPER)
    supervisor = world.start()
    supervisor.up("web.1")
    world.procfile(web=SLEEPER, extra=SLEEPER)
    assert world.run("reload").code == 0
    supervisor.up("extra.1")
    world.file("Procfile", "broken\n")
    done = world.run("reload")
    assert done.code == 2
    assert "Procfile:1" in done.err


def test_shutdown_returns_when_everything_has_ended(world: World) -> None:
    world.procfile(web=SLEEPER)
    supervisor = world.start()
    supervisor.up("web.1")
    done = world.run("shutdown")
    assert done.code == 0
    assert world.left() == []
    assert world.run("ps").code == 3
    assert supervisor.wait() == 0


def test_start_right_after_shutdown_finds_nothing_in_its_way(world: World) -> None:
    world.procfile(web="echo up; exec sleep 1000")
    for _ in range(3):
        supervisor = world.start()
        supervisor.expect("up$")
        assert world.run("shutdown").code == 0
    assert "already runs" not in world.errors()


def test_a_worker_can_scale_by_itself(world: World) -> None:
    world.procfile(boss="procman scale worker=2; echo scaled with $?; exec sleep 1000", worker="echo up; sleep 1000")
    supervisor = world.start("-m", "worker=0")
    supervisor.expect("scaled with 0$")
    supervisor.up("worker.1", "worker.2")


def test_requests_that_make_no_sense_are_answered_or_dropped_without_harm(world: World) -> None:
    world.procfile(web=SLEEPER)
    supervisor = world.start()
    pid = supervisor.up("web.1")["web.1"]["pid"]
    for request in (
        b'{"jsonrpc": "2.0", "id": 1, "method": "__class__"}\n',
        b'{"jsonrpc": "2.0", "id": 1, "method": "stop.__globals__", "params": {}}\n',
        b"x" * (1 << 20),
        b"[]\n",
        b'{"jsonrpc"',
    ):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(supervisor.address)
            try:
                peer.sendall(request)
            except (BrokenPipeError, ConnectionResetError):
                continue
    assert supervisor.ps()["web.1"]["pid"] == pid


def test_ps_to_a_reader_that_has_gone_makes_no_noise(world: World) -> None:
    world.procfile(web=SLEEPER)
    world.start().up("web.1")
    done = subprocess.run(
        ["sh", "-c", "procman ps | true; procman ps 2>&1 >/dev/full | cat"],
        cwd=world.folder,
        env=world.env,
        capture_output=True,
        timeout=20,
    )
    assert b"Traceback" not in done.stdout + done.stderr


def test_start_imports_nothing_heavy_that_its_inputs_do_not_need(world: World) -> None:
    """Import cost is start-up time: no asyncio, psutil, yaml, logging, subprocess or dotenv."""
    world.procfile(a=f"{PYTHON} -c 'print(1)'")
    world.env["PYTHONPROFILEIMPORTTIME"] = "1"
    done = world.run("start")
    assert done.code == 0
    modules = {line.rpartition("|")[2].strip() for line in done.err.splitlines() if line.startswith("import time:")}
    assert "procman.kernel.kernel" in modules
    assert not modules & {"asyncio", "psutil", "yaml", "logging", "subprocess", "dotenv", "hashlib", "json"}


def test_scale_imports_nothing_heavy(world: World) -> None:
    world.procfile(web=SLEEPER)
    world.start().up("web.1")
    done = world.run("scale", "web=1", env={**world.env, "PYTHONPROFILEIMPORTTIME": "1"})
    modules = {line.rpartition("|")[2].strip() for line in done.err.splitlines() if line.startswith("import time:")}
    assert "procman.control.client" in modules
    assert not modules & {
        "asyncio",
        "psutil",
        "yaml",
        "logging",
        "subprocess",
        "dotenv",
        "hashlib",
        "json",
        "procman.kernel",
    }

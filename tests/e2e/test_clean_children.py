"""Children start clean, whatever procman was started with; and what their environment holds."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from harness import PYTHON, World, children_of, eventually, parse_status

REPORT = """
import json, os, resource, signal
mine = open("/proc/self/status").read()
print("report", json.dumps({
    "status": mine,
    "fds": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}")},
    "pid": os.getpid(), "sid": os.getsid(0), "pgid": os.getpgrp(),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE), "core": resource.getrlimit(resource.RLIMIT_CORE),
    "cwd": os.getcwd(), "env": dict(os.environ),
}), flush=True)
signal.pause()
"""

PYTHONS_OWN = 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)
"""The reporting interpreter itself ignores these two when it starts."""

GLIBCS_OWN = 0b11 << 31
"""Signals 32 and 33: glibc's posix_spawn hands its own two on as ignored, and its threads set them up again."""


def report(world: World, *args: str, **how: object) -> dict[str, object]:
    """Start one directly executed child and have it tell about itself."""
    import json

    world.procfile(a=world.script("report.py", REPORT))
    supervisor = world.start(*args, **how)
    text = supervisor.expect(r"report (\{.*\})$")[1]
    told: dict[str, object] = json.loads(text)
    return told


def assert_clean(told: dict[str, object]) -> None:
    status = parse_status(str(told["status"]))
    assert int(status["SigBlk"], 16) == 0
    assert int(status["SigIgn"], 16) & ~PYTHONS_OWN & ~GLIBCS_OWN == 0
    fds = told["fds"]
    assert isinstance(fds, dict)
    assert fds.pop("0") == "/dev/null"
    assert fds.pop("1").startswith("pipe:")
    assert fds.pop("2").startswith("pipe:")
    assert fds == {}, "descriptors of procman's, or that it inherited"
    assert told["pid"] == told["sid"] == told["pgid"]


def test_a_child_starts_clean(world: World) -> None:
    assert_clean(report(world))


def test_stdout_and_stderr_are_one_pipe_and_two_where_they_are_split(world: World) -> None:
    fds = report(world)["fds"]
    assert isinstance(fds, dict)
    assert fds["1"] == fds["2"]


def test_split_streams_are_two_pipes(world: World) -> None:
    fds = report(world, "--split-streams")["fds"]
    assert isinstance(fds, dict)
    assert fds["1"] != fds["2"]


def test_a_child_that_is_executed_directly_has_no_ignored_signal_at_all(world: World) -> None:
    """Python ignores PIPE and XFSZ, and exec would hand that down; cat keeps what it is given."""
    world.procfile(a="grep Sig /proc/self/status")
    supervisor = world.start()
    assert int(supervisor.expect(r"SigBlk:\s+(\w+)")[1], 16) == 0
    assert int(supervisor.expect(r"SigIgn:\s+(\w+)")[1], 16) & ~GLIBCS_OWN == 0


def _block_all() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.valid_signals()))


def test_blocked_signals_of_procmans_parent_reach_no_child(world: World) -> None:
    assert_clean(report(world, preexec_fn=_block_all))


def test_ignored_signals_of_procmans_parent_reach_no_child(world: World) -> None:
    assert_clean(report(world, before=("sh", "-c", "trap '' INT HUP QUIT USR1 TERM; exec \"$@\"", "-")))


def test_procman_started_with_all_signals_blocked_still_stops(world: World) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    supervisor = world.start(preexec_fn=_block_all)
    supervisor.expect("up$")
    assert supervisor.stop() == 0


def test_inherited_descriptors_reach_no_child(world: World) -> None:
    read, write = os.pipe()
    try:
        told = report(world, pass_fds=(read, write))
    finally:
        os.close(read)
        os.close(write)
    assert_clean(told)


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_closed_standard_descriptors_of_procman_do_no_harm(world: World, closed: str) -> None:
    assert_clean(report(world, before=("sh", "-c", f'exec "$@" {closed}', "-")))


def test_a_closed_standard_output_is_said_once_and_ends_nothing(world: World) -> None:
    world.procfile(a="echo one; echo two; exec sleep 1000")
    supervisor = world.start(before=("sh", "-c", 'exec "$@" >&-', "-"))
    supervisor.up("a.1")
    assert supervisor.stop() == 0
    assert world.errors().count("cannot write to standard output") <= 1


def test_umask_and_limits_are_the_original_ones(world: World) -> None:
    def narrow() -> None:
        os.umask(0o027)
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    told = report(world, preexec_fn=narrow)
    assert parse_status(str(told["status"]))["Umask"] == "0027"
    assert told["nofile"] == [100, 200]
    assert told["core"] == [0, 0]


def test_children_keep_the_original_descriptor_limit_where_procman_raises_its_own(world: World) -> None:
    def low() -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (70, hard))

    world.procfile(a="ulimit -Sn; exec sleep 1000", b=f"{PYTHON} -c 'import resource; print(resource.getrlimit(7)[0])'")
    supervisor = world.start("-m", "a=20,b=1", preexec_fn=low)
    for _ in range(21):
        assert supervisor.expect(r"[ab]\.\d+ +\| (\d+)$")[1] == "70"


def test_the_working_directory_is_the_root_or_the_types_own(world: World) -> None:
    world.file("sub/x", "")
    world.file("procman.yml", "processes: {b: {cwd: sub}}\n")
    world.procfile(a="pwd", b="pwd")
    supervisor = world.start()
    assert supervisor.wait() == 0
    assert supervisor.lines("a.1") == [str(world.folder)]
    assert supervisor.lines("b.1") == [str(world.folder / "sub")]


def test_stdin_open_is_a_pipe_that_never_ends(world: World) -> None:
    world.file("procman.yml", "processes: {a: {stdin: open}}\n")
    world.procfile(a="readlink /proc/self/fd/0; cat; echo input ended")
    supervisor = world.start()
    supervisor.expect(r"pipe:\[\d+\]")
    assert supervisor.stop() == 0
    assert "input ended" not in supervisor.seen


# ---- the environment


def test_each_instance_knows_its_name_its_port_and_everyone_elses(world: World) -> None:
    world.env |= {"DYNO": "web.9", "PROCMAN_SOCKET": "/nowhere"}
    world.procfile(**{"web": world.script("report.py", REPORT), "api-v2": "sleep 1000"})
    supervisor = world.start("-m", "web=2")
    import json

    seen = {}
    for _ in range(2):
        env = json.loads(supervisor.expect(r"report (\{.*\})$")[1])["env"]
        seen[env["PS"]] = env
    env = seen["web.2"]
    assert env["PORT"] == "5001"
    assert (env["PROCMAN_TYPE"], env["PROCMAN_INDEX"]) == ("web", "2")
    assert (env["PROCMAN_PORT_WEB"], env["PROCMAN_PORT_API_V2"]) == ("5000", "5100")
    assert env["PROCMAN_SOCKET"] == supervisor.address
    assert env["PYTHONUNBUFFERED"] == "1"
    assert env["PROCMAN_INSTANCE"] != seen["web.1"]["PROCMAN_INSTANCE"]
    assert env["DYNO"] == "web.9", "procman sets none, and takes none away"


def test_pythonunbuffered_is_left_as_it_is_set(world: World) -> None:
    world.env["PYTHONUNBUFFERED"] = ""
    world.procfile(a='echo "value=<$PYTHONUNBUFFERED>"')
    supervisor = world.start()
    supervisor.expect("value=<>$")
    supervisor.wait()


def test_no_port_leaves_none(world: World) -> None:
    world.env["PORT"] = "7000"
    world.procfile(a='echo "port=<$PORT> ${PORT+set}"')
    supervisor = world.start("--no-port")
    supervisor.expect("port=<> ?$")
    supervisor.wait()


def test_dotenv_and_the_types_own_environment_reach_the_child(world: World) -> None:
    world.file(".env", "FROM_FILE=file\nBOTH=file\n")
    world.file("procman.yml", "processes: {a: {env: {OWN: 1}}}\n")
    world.env["BOTH"] = "system"
    world.procfile(a="echo $FROM_FILE $BOTH $OWN; :")
    supervisor = world.start()
    supervisor.expect("file system 1$")
    supervisor.wait()


def test_a_restarted_instance_keeps_its_port(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {delay: 0.05}}\n")
    world.procfile(a="echo port $PORT; exit 1")
    supervisor = world.start()
    assert {supervisor.expect(r"port (\d+)")[1] for _ in range(3)} == {"5000"}


def test_the_reason_of_a_crash_names_the_stranger_on_its_port(world: World) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        world.procfile(
            web=f'{PYTHON} -c \'import socket, os; socket.create_server(("127.0.0.1", int(os.environ["PORT"])))\''
        )
        supervisor = world.start("-p", str(port))
        supervisor.expect(rf"web\.1 ended: exit 1 .*port {port} is held by pid {os.getpid()} \(")


def test_python_output_comes_at_once(world: World) -> None:
    """Without a terminal an interpreter would keep its lines for 8 KiB."""
    import sys

    world.procfile(a=f"{sys.executable} -I -S -c 'print(1234); import signal; signal.pause()'".replace("-I ", ""))
    world.start().expect("1234$")


def test_procman_can_be_run_with_no_environment_at_all(world: World) -> None:
    world.procfile(a="/bin/echo bare")
    supervisor = world.start(env={"E2E_WORLD": world.ident, "TMPDIR": str(world.runtime)})
    supervisor.expect("bare$")
    assert supervisor.wait() == 0
    assert isinstance(supervisor.process, subprocess.Popen)


SERVICE_MANAGERS = {
    "NOTIFY_SOCKET": "/run/systemd/notify",
    "WATCHDOG_USEC": "1000000",
    "WATCHDOG_PID": "1",
    "LISTEN_PID": "1",
    "LISTEN_FDS": "1",
    "LISTEN_FDNAMES": "web",
    "SYSTEMD_EXEC_PID": "1",
    "JOURNAL_STREAM": "8:1",
    "NODE_CHANNEL_FD": "3",
    "NODE_UNIQUE_ID": "1",
    "WERKZEUG_SERVER_FD": "4",
    "WERKZEUG_RUN_MAIN": "true",
    "GUNICORN_FD": "5",
    "FDSTORE": "16",
    "EINHORN_FDS": "6",
    "SERVER_STARTER_PORT": "8080=4",
    "pm_id": "0",
    "LISTEN_ADDRESS": "the application's own",
    "INVOCATION_ID": "of everything that the service runs",
    "NODE_ENV": "test",
}


@pytest.mark.parametrize("tty", ["--tty", "--no-tty"])
def test_what_a_service_manager_says_to_procman_ends_there(world: World, tty: str) -> None:
    """A gunicorn that takes NOTIFY_SOCKET for its own tells systemd that procman is ready."""
    names = " ".join(SERVICE_MANAGERS)
    world.procfile(a=f"for name in {names}; do printenv $name; done; echo end; exec sleep 1000")
    supervisor = world.start(tty, env={**world.env, **SERVICE_MANAGERS})
    supervisor.expect("end$")
    assert supervisor.lines("a.1") == ["the application's own", "of everything that the service runs", "test", "end"]


def test_a_program_of_node_takes_no_descriptor_for_the_channel_of_procmans_parent(world: World) -> None:
    """Under pm2, or any `child_process` with `ipc`, it read and closed whatever its descriptor 3 was."""
    if shutil.which("node") is None:
        pytest.skip("not installed: node")
    world.procfile(a='exec node -p \'[typeof process.send, require("cluster").isWorker]+" "\'')
    supervisor = world.start(env={**world.env, **SERVICE_MANAGERS})
    supervisor.expect("undefined,false")


def test_a_job_server_of_make_that_no_child_can_reach_is_not_named(world: World) -> None:
    world.procfile(a="echo [$MAKEFLAGS] [$MFLAGS]; exec sleep 1000")
    flags = {"MAKEFLAGS": "ks -j4 --jobserver-auth=3,4 -- CC=x-j2", "MFLAGS": "-ks -j --jobserver-auth=fifo:/tmp/pipe"}
    supervisor = world.start(env={**world.env, **flags})
    supervisor.expect("^.*\\| \\[ks -- CC=x-j2\\] \\[-ks -j --jobserver-auth=fifo:/tmp/pipe\\]$")


def test_it_ends_there_on_the_way_of_a_one_off_too(world: World) -> None:
    world.procfile(a="env")
    for words in (["a"], ["env"], ["sh", "-c", "env"]):
        done = world.run("run", *words, env={**world.env, **SERVICE_MANAGERS})
        assert "NOTIFY_SOCKET" not in done.out
        assert "LISTEN_FDS" not in done.out
        assert "LISTEN_ADDRESS" in done.out


def test_what_the_files_say_is_the_childs(world: World) -> None:
    world.file(".env", "NOTIFY_SOCKET=/mine\n")
    world.procfile(a="echo $NOTIFY_SOCKET; exec sleep 1000")
    world.start(env={**world.env, **SERVICE_MANAGERS}).expect("/mine$")


def test_companions_do_not_get_it_either(world: World) -> None:
    pytest.importorskip("watchfiles")
    world.procfile(a="exec sleep 1000")
    supervisor = world.start("--watch", env={**world.env, **SERVICE_MANAGERS})
    supervisor.up("a.1")
    pids = eventually(lambda: children_of(supervisor.pid) if len(children_of(supervisor.pid)) == 2 else None, "both")
    for pid in pids:
        eventually(lambda pid=pid: b"PROCMAN_INSTANCE" in Path(f"/proc/{pid}/environ").read_bytes(), "executed")
        assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()

"""A formation as another program's test uses it: really started, asked, changed and stopped."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path

import pytest

from procman.library import FormationError, RunningFormation

pytestmark = pytest.mark.processes

WEB = 'exec python3 -m http.server --bind 127.0.0.1 "$PORT"'
IDLE = "echo up; exec sleep 1000"


def procfile(folder: Path, **commands: str) -> Path:
    (folder / "Procfile").write_text("".join(f"{name}: {command}\n" for name, command in commands.items()))
    return folder


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_it_is_ready_when_it_is_entered_and_gone_when_it_is_left(tmp_path):
    with RunningFormation(procfile(tmp_path, web=WEB)) as shop:
        served = urllib.request.urlopen(shop.url("web") + "/Procfile").read()
        pid = shop.instance("web.1").pid
        scratch = os.path.dirname(shop.socket)
        assert served.decode() == f"web: {WEB}\n"
    assert shop.exit_code == 0
    assert not alive(pid)
    assert not Path(scratch).exists()


def test_two_run_side_by_side_with_other_ports(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    with RunningFormation(procfile(one, web=WEB)) as first, RunningFormation(procfile(other, web=WEB)) as second:
        assert first.port("web") != second.port("web")


def test_a_second_one_of_a_folder_is_refused_by_name(tmp_path):
    with RunningFormation(procfile(tmp_path, web=IDLE)), pytest.raises(FormationError, match="already runs here"):
        RunningFormation(tmp_path).__enter__()


def test_scale_and_stop_and_restart_return_when_they_are_done(tmp_path):
    with RunningFormation(procfile(tmp_path, web=IDLE, job=IDLE), "-m", "job=0") as shop:
        assert shop.ps().formation == {"web": 1, "job": 0}
        shop.scale({"web": 2})
        assert [i.phase for i in shop.ps().instances] == ["ready", "ready"]
        before = shop.instance("web.2").pid
        shop.restart("web.2")
        assert shop.instance("web.2").pid != before
        shop.stop("web.1")
        assert shop.instance("web").phase == "stopped"
        shop.restart("web.1")
        assert shop.instance("web").phase == "ready"


def test_logs_are_what_the_instances_wrote_and_output_what_procman_printed(tmp_path):
    with RunningFormation(procfile(tmp_path, web=IDLE, job="echo other; exec sleep 1000"), "--no-timestamps") as shop:
        assert shop.logs("web") == "up\n"
        assert "job.1  | other" in shop.output()


def test_variables_reach_the_processes(tmp_path):
    with RunningFormation(procfile(tmp_path, web="echo hello $WHO; exec sleep 1000"), env={"WHO": "you"}) as shop:
        assert shop.logs("web") == "hello you\n"


def test_a_client_speaks_the_whole_protocol(tmp_path):
    with RunningFormation(procfile(tmp_path, web=IDLE)) as shop, shop.connect() as client:
        assert client.hello().root == os.path.realpath(tmp_path)


def test_a_command_that_fails_is_told_with_its_last_lines(tmp_path):
    folder = procfile(tmp_path, web="echo cannot open the database; exit 3")
    with pytest.raises(FormationError, match=r"cannot keep waiting for web\.1|procman has ended") as raised:
        RunningFormation(folder, "--max-restarts", "0").__enter__()
    assert "cannot open the database" in str(raised.value)


def test_a_faulty_procfile_is_told_with_its_line(tmp_path):
    (tmp_path / "Procfile").write_text("web\n")
    with pytest.raises(FormationError, match=r"Procfile:1: cannot"):
        RunningFormation(tmp_path).__enter__()


def test_what_is_not_ready_in_time_is_named(tmp_path):
    with pytest.raises(
        FormationError, match=r"cannot (wait longer than 0\.3 s for the formation to be ready|start the formation)"
    ):
        RunningFormation(procfile(tmp_path, web=IDLE), timeout=0.3).__enter__()


def fail_in(shop, pids):
    with shop:
        pids.append(shop.instance("web").pid)
        raise ZeroDivisionError


def test_an_exception_in_the_block_stops_it_as_well(tmp_path):
    shop = RunningFormation(procfile(tmp_path, web=IDLE))
    pids = []
    with pytest.raises(ZeroDivisionError):
        fail_in(shop, pids)
    assert shop.exit_code == 0
    assert not alive(pids[0])

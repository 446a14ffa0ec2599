"""How much memory is left, and files that are written whole."""

from __future__ import annotations

import stat

import pytest

from procman.companions.autoscaler.machine import free_memory, own_cgroup
from procman.companions.files import write_whole
from procman.errors import ProcmanError

MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\n"


def machine(folder, meminfo=MEMINFO, **cgroup):
    (folder / "meminfo").write_text(meminfo)
    for name, value in cgroup.items():
        (folder / f"memory.{name}").write_text(value)
    return free_memory(str(folder / "meminfo"), str(folder))


def test_the_machines_available_memory_counts(tmp_path):
    assert machine(tmp_path) == 8_000_000 * 1024


def test_the_limit_of_a_cgroup_counts_without_the_caches_in_it(tmp_path):
    stats = "anon 5\ninactive_file 300\n"
    assert machine(tmp_path, max="1000\n", current="900\n", stat=stats) == 400
    assert machine(tmp_path, max="1000\n", current="2000\n", stat="") == 0


def test_a_cgroup_without_a_limit_counts_not(tmp_path):
    assert machine(tmp_path, max="max\n", current="900\n") == 8_000_000 * 1024


@pytest.mark.parametrize("meminfo", ["", "MemAvailable:\n", "MemAvailable: x kB\n"])
def test_what_is_not_told_is_not_known(tmp_path, meminfo):
    assert machine(tmp_path, meminfo) is None


def test_the_cgroup_of_this_process_is_named_by_its_listing(tmp_path):
    (tmp_path / "cgroup").write_text("12:cpu:/x\n0::/system.slice/procman.service\n")
    assert own_cgroup(str(tmp_path / "cgroup"), "/sys/fs/cgroup") == "/sys/fs/cgroup/system.slice/procman.service"
    assert own_cgroup(str(tmp_path / "none"), "/sys/fs/cgroup") == "/sys/fs/cgroup"


def test_a_file_is_written_whole_and_keeps_its_mode(tmp_path):
    path = tmp_path / "run" / "file"
    assert write_whole(str(path), b"one\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.chmod(0o600)
    assert not write_whole(str(path), b"one\n")
    assert write_whole(str(path), b"one\ntwo\n")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("one\ntwo\n", 0o600)
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_a_folder_that_cannot_be_made_is_an_error_with_its_path(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ProcmanError, match="cannot write"):
        write_whole(str(tmp_path / "run" / "file"), b"x")

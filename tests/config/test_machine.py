"""Counts that depend on the machine: of the processors that this process may use."""

from __future__ import annotations

import os

import pytest
from folders import write

from procman.config import machine
from procman.config.formation import parse_changes, parse_formation
from procman.config.load import Options, load
from procman.config.machine import read_count


@pytest.mark.parametrize(
    ("word", "processors", "count"),
    [
        ("cpus", 8, 8),
        ("cpus-1", 8, 7),
        ("cpus-1", 1, 1),
        ("cpus-9", 4, 1),
        ("50%", 8, 4),
        ("50%", 3, 2),
        ("1%", 4, 1),
        ("200%", 4, 8),
        ("0%", 4, 1),
        (" cpus ", 2, 2),
    ],
)
def test_a_word_stands_for_a_count(word, processors, count):
    assert read_count(word, lambda: processors) == count


@pytest.mark.parametrize(
    "word", ["", "cpu", "cpus+1", "cpus-", "cpus-x", "%", "-5%", "5.5%", "cpus2", "\u0665%", "CPUS"]
)
def test_any_other_word_is_none(word):
    with pytest.raises(ValueError, match="cpus-1 or 50%"):
        read_count(word, lambda: 4)


@pytest.fixture
def four(monkeypatch):
    monkeypatch.setattr(machine, "usable_processors", lambda: 4)


def test_such_words_stand_wherever_a_count_does(folder, four):
    assert parse_formation(["web=cpus, worker=50%", "job=cpus-1"]) == ({"web": 4, "worker": 2, "job": 3}, [])
    assert parse_changes(["web=cpus-1", "my-web-1", "job=25%", "a+2"]) == ({"web": 3, "job": 1}, {"my-web": -1, "a": 2})
    write(folder, yml="formation: {web: cpus-1, worker: 200%}")
    assert load(Options(), {}).counts == {"web": 3, "worker": 8, "release": 0}
    assert "cpus-1 or 50%" in str(parse_formation(["web=cpus+1x"])[1][0])


def test_no_more_than_its_affinity_allows():
    assert 1 <= machine.usable_processors() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("table", "files", "quotas"),
    [
        ("0::/app\n", {"app/cpu.max": "150000 100000"}, [1.5]),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, [2.0]),
        ("0::/on/the/host\n", {"cpu.max": "50000 100000"}, [0.5]),
        ("4:cpu,cpuacct:/x\n", {"cpu,cpuacct/x/cpu.cfs_quota_us": "300000", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"}, [3.0]),
        ("4:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, []),
        ("0::/\n", {}, []),
        ("", {}, []),
    ],
)  # fmt: skip
def test_the_quota_of_every_control_group_above_counts(tmp_path, table, files, quotas):
    (tmp_path / "table").write_text(table)
    for name, text in files.items():
        path = tmp_path / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert [*machine._quotas(str(tmp_path / "table"), str(tmp_path / "mount"))] == quotas


def test_without_such_a_table_there_is_no_quota(tmp_path):
    assert [*machine._quotas(str(tmp_path / "none"), str(tmp_path))] == []

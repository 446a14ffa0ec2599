"""CPU time and memory of process trees."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from procman.cli.resources import Process, Trees, linux_table, portable_table

TABLE = {
    10: Process(1, 1.0, 100),
    11: Process(10, 2.0, 200),
    12: Process(11, 4.0, 400),
    20: Process(1, 8.0, 800),
}


def test_a_tree_is_its_root_and_all_below():
    assert Trees(TABLE).used_by([10]) == (7.0, 700)


def test_a_process_that_is_reached_twice_counts_once():
    assert Trees(TABLE).used_by([10, 11, 20]) == (15.0, 1500)


def test_a_tree_that_has_ended_is_not_known():
    assert Trees(TABLE).used_by([99]) is None


def test_a_table_that_changed_while_it_was_read_may_hold_a_circle():
    assert Trees({1: Process(2, 1.0, 1), 2: Process(1, 1.0, 1)}).used_by([1]) == (2.0, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_both_ways_to_the_table_agree_on_a_process_that_sleeps():
    with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1) as child:
        child.stdout.readline()  # from here on it only sleeps
        ours, psutils = linux_table()[child.pid], portable_table()[child.pid]
        child.communicate(b"\n")
    assert ours.parent == psutils.parent == os.getpid()
    assert ours.cpu == pytest.approx(psutils.cpu, abs=0.02)
    assert ours.memory == pytest.approx(psutils.memory, rel=0.1)  # the kernel's counters lag by some pages

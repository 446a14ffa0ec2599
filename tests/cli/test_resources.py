"""CPU time and memory of process trees."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from procman.observe.processes import Meter, ProcessUsage, Trees, linux_table, portable_table

TABLE = {
    10: ProcessUsage(1, 1.0, 100),
    11: ProcessUsage(10, 2.0, 200),
    12: ProcessUsage(11, 4.0, 400),
    20: ProcessUsage(1, 8.0, 800),
}


def test_a_tree_is_its_root_and_all_below():
    assert Trees(TABLE).used_by([10]) == (7.0, 700)


def test_a_process_that_is_reached_twice_counts_once():
    assert Trees(TABLE).used_by([10, 11, 20]) == (15.0, 1500)


def test_a_member_of_the_group_counts_though_its_parent_has_ended():
    assert Trees(TABLE | {30: ProcessUsage(1, 16.0, 1600, 10), 31: ProcessUsage(30, 32.0, 3200)}).used_by([10]) == (
        55.0,
        5500,
    )


def test_a_tree_that_has_ended_is_not_known():
    assert Trees(TABLE).used_by([99]) is None


def test_a_table_that_changed_while_it_was_read_may_hold_a_circle():
    assert Trees({1: ProcessUsage(2, 1.0, 1), 2: ProcessUsage(1, 1.0, 1)}).used_by([1]) == (2.0, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_both_ways_to_the_table_agree_on_a_process_that_sleeps():
    with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1) as child:
        child.stdout.readline()  # from here on it only sleeps
        ours, psutils = linux_table()[child.pid], portable_table()[child.pid]
        child.communicate(b"\n")
    assert ours.parent == psutils.parent == os.getpid()
    assert ours.group == psutils.group == os.getpgrp()
    assert ours.cpu == pytest.approx(psutils.cpu, abs=0.02)
    assert ours.memory == pytest.approx(psutils.memory, rel=0.1)  # the kernel's counters lag by some pages


def test_the_first_poll_of_a_run_is_over_all_of_it_and_the_next_since_then():
    meter = Meter()
    assert meter.percent(("web.1", 1), cpu=2.0, uptime=10.0) == 20.0
    assert meter.percent(("web.1", 1), cpu=3.0, uptime=12.0) == 50.0
    assert meter.percent(("web.1", 2), cpu=0.1, uptime=1.0) == 10.0


def test_a_part_of_a_tree_that_ended_unwaited_makes_no_negative_use():
    meter = Meter()
    meter.percent(("web.1", 1), cpu=9.0, uptime=10.0)
    assert meter.percent(("web.1", 1), cpu=1.0, uptime=11.0) == 0.0


def test_two_polls_at_the_same_moment_tell_no_use():
    meter = Meter()
    meter.percent(("web.1", 1), cpu=1.0, uptime=10.0)
    assert meter.percent(("web.1", 1), cpu=1.0, uptime=10.0) is None


def test_a_run_that_is_forgotten_is_new_again():
    meter = Meter()
    meter.percent(("web.1", 1), cpu=9.0, uptime=10.0)
    meter.forget_all_but([("web.2", 1)])
    assert meter.percent(("web.1", 1), cpu=10.0, uptime=20.0) == 50.0

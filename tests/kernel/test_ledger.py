"""The table for the guardian: what stands in the memory file."""

from __future__ import annotations

import os
import resource

import pytest
from forked import alone

from procman.core.spec import StopPolicy
from procman.kernel.process.ledger import HEADER, RECORD, EntryKind, Ledger
from procman.kernel.survive.guardian import read_table

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there are no memory files here")
STOP = StopPolicy()


@pytest.fixture
def ledger():
    made = Ledger("mark")
    yield made
    made.close()


def pids(ledger):
    return [record.pid for record in read_table(os.pread(ledger.fd, 1 << 20, 0)).records]


def test_what_was_noted_before_there_was_a_file_stands_in_it(ledger):
    ledger.note(1, EntryKind.LEADER, STOP)
    ledger.note(2, EntryKind.LEADER, STOP)
    ledger.forget(1)
    ledger.open()
    assert pids(ledger) == [2]


def test_the_file_follows_every_change(ledger):
    ledger.open()
    for pid in range(1, 301):
        ledger.note(pid, EntryKind.LEADER, STOP)
    assert pids(ledger) == list(range(1, 301))
    for pid in range(1, 300):
        ledger.forget(pid)
    assert pids(ledger) == [300]


def test_an_orphan_has_the_longest_grace_of_a_leader_also_when_none_runs_any_more(ledger):
    ledger.open()
    ledger.note(1, EntryKind.LEADER, StopPolicy(grace=3.0))
    ledger.note(2, EntryKind.LEADER, StopPolicy(grace=2.0))
    ledger.forget(1)
    ledger.forget(2)
    ledger.note(3, EntryKind.ORPHAN, StopPolicy())
    assert [record.grace for record in read_table(os.pread(ledger.fd, 1 << 20, 0)).records] == [3.0]


def test_a_slot_is_used_again(ledger):
    ledger.open()
    for pid in range(1, 1000):
        ledger.note(pid, EntryKind.LEADER, STOP)
        ledger.forget(pid)
    assert os.fstat(ledger.fd).st_size == HEADER.size + RECORD.size


def test_what_is_noted_twice_stands_there_once(ledger):
    ledger.open()
    ledger.note(1, EntryKind.ADOPTED, STOP)
    ledger.note(1, EntryKind.LEADER, STOP)
    ledger.forget(1)
    ledger.forget(1)
    assert pids(ledger) == []


def test_a_file_that_cannot_be_written_is_told_once_and_harms_nothing():
    def body():
        told = []
        ledger = Ledger("mark")
        ledger.on_trouble = told.append
        ledger.open()
        resource.setrlimit(resource.RLIMIT_FSIZE, (HEADER.size, HEADER.size))
        for pid in (1, 2):
            ledger.note(pid, EntryKind.LEADER, STOP)
        assert len(told) == 1
        assert told[0].startswith("cannot write the guardian's table: File too large")

    alone(body)

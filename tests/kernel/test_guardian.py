"""What the guardian decides: who belongs to a killed procman, and who gets the stop signal when. In memory."""

from __future__ import annotations

import math

import pytest

from procman.core.spec import StopMode, StopPolicy
from procman.kernel.process import ledger
from procman.kernel.process.ledger import EntryKind, Ledger
from procman.kernel.survive import guardian
from procman.kernel.survive.guardian import Asking, Family, Listed, Member, Record, call_at, next_deadline, read_table

INIT = 1
NOW = 1000.0
LEADER_MODE = ledger.MODES[StopMode.LEADER]


def leader(pid, mode=guardian.TOP_DOWN, grace=10.0, noted_at=NOW - 100, *, shell=False, repeat=True):
    return Record(pid, EntryKind.LEADER, mode, 15, noted_at, grace, shell, repeat)


def process(pid, parent=INIT, group=None, session=None, born=10.0):
    """`born` in seconds; a leader of its own group and session unless said otherwise."""
    return Listed(pid, parent, group or pid, session or group or pid, int(born * guardian.TICKS), 0)


def family(records, marked=()):
    return Family(records, lambda one: one.pid in marked)


def scanned(records, *processes, marked=()):
    made = family(records, marked)
    made.scan({one.pid: one for one in processes})
    return made


# ---- who belongs to it


def test_a_leader_its_group_its_session_and_their_descendants_belong():
    made = scanned(
        [leader(10)],
        process(10),
        process(11, group=10),
        process(12, group=12, session=10),
        process(13, parent=12),
        process(14, parent=13),
        process(99),
    )
    assert sorted(made.members) == [10, 11, 12, 13, 14]


def test_a_group_belongs_although_its_leader_has_gone():
    assert sorted(scanned([leader(10)], process(11, group=10)).members) == [11]


def test_whoever_is_younger_than_the_record_of_its_pid_is_a_stranger_and_so_are_its_group_and_children():
    strangers = (process(10, born=950.0), process(11, group=10, born=951.0), process(12, parent=10, born=952.0))
    assert scanned([leader(10, noted_at=900.0)], *strangers).members == {}


def test_a_process_of_the_very_tick_of_its_record_belongs():
    assert list(scanned([leader(10, noted_at=900.0)], process(10, born=900.0)).members) == [10]


def test_what_is_marked_belongs_with_its_descendants_and_the_session_that_it_leads():
    made = scanned([], process(20), process(21, parent=20), process(22, group=20), process(23), marked=[20])
    assert sorted(made.members) == [20, 21]
    made.scan({one.pid: one for one in (process(20), process(22, group=20), process(23))})
    assert sorted(made.members) == [20, 22]


def test_the_session_of_a_marked_process_that_does_not_lead_it_is_somebody_elses():
    """Someone looks into a worker's environment in a shell of his own."""
    assert sorted(scanned([], process(20, group=7), process(7), process(8, group=7), marked=[20]).members) == [20]


def test_a_descendant_seen_once_belongs_until_its_end():
    made = scanned([leader(10)], process(10), process(11, parent=10))
    made.scan({11: process(11, parent=INIT)})
    assert list(made.members) == [11]


def test_a_member_whose_pid_is_somebody_elses_by_now_does_not_belong():
    made = scanned([leader(10)], process(10), process(11, parent=10))
    made.scan({11: process(11, parent=INIT, born=11.0)})
    assert made.members == {}


def test_what_is_known_by_mark_alone_and_orphans_get_the_longest_grace():
    orphan = Record(30, EntryKind.ORPHAN, 0, 15, NOW, 10.0)
    made = scanned(
        [leader(10, grace=3.0), leader(11, grace=7.0), orphan], process(10), process(20), process(30), marked=[20]
    )
    assert {pid: member.record.grace for pid, member in made.members.items()} == {10: 3.0, 20: 7.0, 30: 7.0}


def test_where_no_instance_runs_any_more_orphans_have_the_grace_of_their_record():
    made = scanned([Record(30, EntryKind.ORPHAN, 0, 15, NOW, 2.0)], process(20), process(30), marked=[20])
    assert {pid: member.record.grace for pid, member in made.members.items()} == {20: 2.0, 30: 2.0}


# ---- who gets the stop signal when


def asked(asking, made, elapsed):
    return sorted(member.process.pid for member in asking.due(made.members, elapsed))


def test_top_down_the_leader_is_asked_at_once_and_the_others_when_their_parent_is_gone():
    asking, made = Asking(NOW), scanned([leader(10)], process(10), process(11, parent=10, group=10))
    assert asked(asking, made, 0.0) == [10]
    assert asked(asking, made, 0.1) == []
    made.scan({11: process(11, parent=INIT, group=10)})
    assert asked(asking, made, 0.2) == [11]
    assert asked(asking, made, 0.3) == []


@pytest.mark.parametrize(("grace", "call"), [(10.0, 8.0), (3.0, 1.5)])
def test_top_down_all_that_a_shell_leads_are_called_once_before_the_grace_is_over(grace, call):
    shell = leader(10, grace=grace, shell=True)
    asking, made = Asking(NOW), scanned([shell], process(10), process(11, parent=10, group=10))
    asking.due(made.members, 0.0)
    assert next_deadline(made.members, 0.0) == call
    assert asked(asking, made, call) == [10, 11]
    assert asked(asking, made, call + 0.1) == []
    assert next_deadline(made.members, call) == grace
    assert next_deadline(made.members, grace) == math.inf


def test_top_down_nobody_is_asked_twice_where_no_shell_leads():
    """A second TERM is a cold shutdown for Celery, which loses the tasks that it is finishing."""
    asking, made = Asking(NOW), scanned([leader(10)], process(10), process(11, parent=10, group=10))
    assert asked(asking, made, 0.0) == [10]
    assert asked(asking, made, 8.0) == []
    assert next_deadline(made.members, 0.0) == 10.0


def test_nobody_is_called_where_the_shell_has_ended():
    asking, made = Asking(NOW), scanned([leader(10, shell=True)], process(10), process(11, parent=10, group=10))
    asking.due(made.members, 0.0)
    made.scan({11: process(11, parent=INIT, group=10)})
    assert asked(asking, made, 0.1) == [11]
    assert asked(asking, made, 8.0) == []


def test_what_is_started_after_the_last_call_to_clean_up_with_is_left_alone():
    asking, made = Asking(NOW), scanned([leader(10, shell=True)], process(10))
    asking.due(made.members, 8.0)
    made.scan({10: process(10), 11: process(11, parent=10, group=10)})
    assert asked(asking, made, 8.1) == []


def test_as_a_group_all_are_asked_at_once_and_never_again():
    asking = Asking(NOW)
    made = scanned([leader(10, guardian.GROUP)], process(10), process(11, parent=10, group=10))
    assert asked(asking, made, 0.0) == [10, 11]
    made.scan({10: process(10), 11: process(11, group=10), 12: process(12, parent=10)})
    assert asked(asking, made, 9.9) == []


def test_as_a_group_all_are_asked_although_the_leader_has_gone():
    made = scanned([leader(10, guardian.GROUP)], process(11, group=10), process(12, parent=11, group=10))
    assert asked(Asking(NOW), made, 0.0) == [11, 12]


def test_in_mode_leader_nobody_else_is_asked():
    asking = Asking(NOW)
    made = scanned([leader(10, LEADER_MODE)], process(10), process(11, parent=INIT, group=10))
    assert asked(asking, made, 0.0) == [10]
    assert asked(asking, made, 9.9) == []


def test_a_young_process_is_asked_once_more_after_a_second():
    asking, made = Asking(NOW), scanned([leader(10, noted_at=NOW - 0.5)], process(10))
    times = [0.0, 0.5, 1.0, 1.5, 2.0, 8.0, 9.5]
    assert [at for at in times if asked(asking, made, at)] == [0.0, 1.0]


def test_a_young_process_that_was_ready_by_a_check_of_its_own_is_asked_once():
    asking, made = Asking(NOW), scanned([leader(10, noted_at=NOW - 0.5, repeat=False)], process(10))
    assert [at for at in (0.0, 0.5, 1.0, 1.5) if asked(asking, made, at)] == [0.0]


def test_nobody_is_asked_whose_grace_is_over():
    asking, made = Asking(NOW), scanned([leader(10, grace=0.0)], process(10))
    assert asked(asking, made, 0.0) == []


def test_mode_leader_has_no_call():
    assert call_at(leader(10, LEADER_MODE)) == math.inf


# ---- the table


def test_the_guardian_reads_what_the_ledger_writes():
    made = Ledger("PROCMAN_INSTANCE=7-abc/")
    made.note(10, EntryKind.LEADER, StopPolicy(signal="INT", grace=2.5, mode=StopMode.LEADER), repeat=True)
    made.note(11, EntryKind.ADOPTED, StopPolicy())
    made.note(12, EntryKind.ORPHAN, StopPolicy())
    made.forget(11)
    table = read_table(bytes(made._data))
    assert table.mark == b"PROCMAN_INSTANCE=7-abc/"
    assert [(r.pid, r.kind, r.mode, r.signal, r.grace, r.shell, r.repeat) for r in table.records] == [
        (10, guardian.LEADER, LEADER_MODE, 2, 2.5, False, True),
        (12, guardian.ORPHAN, guardian.TOP_DOWN, 15, 2.5, False, False),
    ]


def test_a_table_of_another_version_is_refused():
    with pytest.raises(ValueError, match="version"):
        read_table(guardian.HEADER.pack(b"guard 1", 1, b""))


def test_a_record_that_is_cut_off_is_left_out():
    data = guardian.HEADER.pack(guardian.VERSION, 1, b"m") + guardian.RECORD.pack(*leader(10)) + b"\1\2\3"
    assert read_table(data).records == [leader(10)]


def test_no_record_lies_across_two_pages():
    assert 4096 % guardian.RECORD.size == 0
    assert guardian.HEADER.size % guardian.RECORD.size == 0
    assert (guardian.HEADER.format, guardian.RECORD.format) == (ledger.HEADER.format, ledger.RECORD.format)


def test_nothing_is_said_where_there_was_nothing_to_end():
    ending = guardian.GuardedStop(guardian.Table(7, b"mark", []))
    assert guardian.report(ending, 7) == ""


def test_what_could_not_be_ended_is_named():
    ending = guardian.GuardedStop(guardian.Table(7, b"mark", []))
    ending.seen = {(10, 1), (11, 1)}
    ending.killed = {(10, 1)}
    ending.family.members = {10: Member(process(10), leader(10))}
    assert guardian.report(ending, 7) == (
        "procman (pid 7) has gone; ended what it left: 2 processes, 1 by KILL; cannot end pid 10: still there after KILL"
    )

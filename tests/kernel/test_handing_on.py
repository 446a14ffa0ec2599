"""Each room's part of what an upgrade hands on: another of its kind, made from it, goes on as the first would have."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_output import Bench

from procman.core.spec import ProcessSpec, StopPolicy
from procman.kernel.loop.deadlines import Deadlines
from procman.kernel.loop.reactor import Reactor
from procman.kernel.output.history import History
from procman.kernel.output.logfiles import LogFiles, Rotation
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.output.sinks import Sink, Way
from procman.kernel.process.ledger import EntryKind, Ledger
from procman.kernel.process.process import Process
from procman.kernel.process.table import ProcessTable

SPEC = ProcessSpec(type="a", command="x", cwd="/", env={"A": "1"})


def over_the_wire(state):
    """The state as another program reads it."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=type(state))


# ---- history


def next_history(history: History, **limits: int) -> History:
    made = History(**limits)
    state = over_the_wire(history.state())
    assert state.memory == sum(map(len, history.memory()))
    for place, data in zip(made.restore(state), history.memory(), strict=True):
        place[:] = data
    return made


appended = st.lists(
    st.tuples(st.sampled_from(["a.1", "a.2", "b.1"]), st.lists(st.binary(max_size=40), min_size=1, max_size=8)),
    max_size=40,
)


@given(first=appended, then=appended)
def test_a_history_that_was_handed_on_cannot_be_told_from_the_first(first, then):
    """Whatever is appended before and after, in rings that wrap, grow and give way."""
    limits = {"limit_each": 300, "limit_all": 700}
    one = History(**limits)
    _append(one, first)
    other = next_history(one, **limits)
    for history in (one, other):
        _append(history, then)
    assert one.state() == other.state()
    assert [bytes(part) for part in one.memory()] == [bytes(part) for part in other.memory()]
    assert one.tail(one.names(), None) == other.tail(other.names(), None)


def _append(history: History, entries) -> None:
    for number, (name, lines) in enumerate(entries):
        history.append(name, float(number), b"".join(line.replace(b"\n", b"") + b"\n" for line in lines))


def test_terminals_are_known_as_such_and_listeners_are_not_handed_on():
    history = History()
    history.append("a.1", 1.0, b"x\n")
    history.terminals.add("a.1")
    history.listeners.append(print)
    made = next_history(history)
    assert (made.terminals, made.listeners) == ({"a.1"}, [])


# ---- the ledger, the deadlines


def test_the_ledger_has_the_records_that_were_there_with_their_times():
    ledger = Ledger("mark")
    for pid in range(1, 6):
        ledger.note(pid, EntryKind(pid % 3 + 1), StopPolicy(signal="INT", grace=float(pid)))
    ledger.forget(2)
    made = Ledger("mark")
    made.restore("mark", tuple(map(over_the_wire, ledger.state())))
    assert sorted(made.state(), key=lambda r: r.pid) == sorted(ledger.state(), key=lambda r: r.pid)
    made.forget(3)
    made.note(9, EntryKind.LEADER, StopPolicy())
    assert sorted(r.pid for r in made.state()) == [1, 4, 5, 9]


def test_deadlines_are_those_that_have_not_fired():
    calls: list[tuple[float, Callable[[], None]]] = []

    class Clock:
        def call_at(self, when, callback):
            calls.append((when, callback))

    deadlines = Deadlines(Clock(), lambda *_: None)
    deadlines.set("a", 1, 5.0)
    deadlines.set("a", 2, 7.0)
    deadlines.set("b", 1, 6.0)
    calls.pop()[1]()
    assert deadlines.state() == {"a": (7.0, 2)}


# ---- the table of what runs


def test_every_list_of_the_table_is_handed_on(monkeypatch):
    table = ProcessTable("ident")
    table.subreaper = True
    older = ProcessSpec(type="a", command="older", cwd="/", env={})
    made = [Process(f"a.{n}", n, SPEC if n % 2 else older, 1000 + n, float(n)) for n in range(1, 7)]
    for process in made:
        table.add(process)
    monkeypatch.setattr("procman.kernel.process.descent.environment_of", lambda _pid: b"X=1\0")
    monkeypatch.setattr(os, "getpgid", lambda pid: {31: 1001, 32: 1002, 33: 1003}.get(pid, 0))
    monkeypatch.setattr(os, "getsid", lambda _pid: 0)
    for pid in (31, 32, 33, 34):
        table.adopt(pid)
    table.keep(32)
    table.gone(1004)
    made[4].stdin = 77
    table.lingering.append(made[5])
    state = over_the_wire(table.state())
    assert len(state.specs) == 2
    other = ProcessTable("other")
    other.restore(state, {})
    assert other.mark("a.1", 1) == "ident/a.1/1"
    assert other.state() == table.state() == state
    assert other.known(31)
    assert other.known(34)
    assert other.current["a.5"].stdin == 77
    assert not other.current["a.4"].adopted
    assert other.leader(1004) is None
    assert other.current["a.1"] is other.leader(1001)
    assert other.adopted() == table.adopted() == {"a.1": (31,), "a.2": (32,), "a.3": (33,)}
    assert other.gone(34)
    assert not other.gone(32)
    assert not other.current["a.2"].daemons


def test_equal_specs_are_handed_on_once_however_often():
    table = ProcessTable("ident")
    for round_ in range(5):
        for n in range(3):
            table.add(Process(f"a.{round_}{n}", 1, msgspec.structs.replace(SPEC), 100 * round_ + n, 0.0))
        state = table.state()
        table = ProcessTable("ident")
        table.restore(state, {})
    assert len(table.state().specs) == 1


# ---- the ways out


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def next_mux(bench: Bench) -> Bench:
    """Another program: it has the same descriptors, the output among them, and no selector knows of the first one's."""
    state = over_the_wire(bench.out.state())
    bench.reactor = Reactor()
    bench.reactor._running = True
    bench.sink = Sink(bench.reactor, bench.fd, on_trouble=bench.trouble.append)
    bench.out = Multiplexer(bench.reactor, bench.sink, bench.history, bench.look)
    bench.streams = bench.out.restore(state)
    return bench


def test_a_line_that_is_half_read_is_completed(bench):
    stream, write = bench.open("a.1")
    os.write(write, b"whole\nha")
    bench.turn(lambda: stream.partial == b"ha")
    next_mux(bench)
    os.write(write, b"lf\n")
    assert bench.shown(b"half").count(b"\n") == 2


def test_what_lies_in_a_pipe_and_in_the_backlog_comes_in_order_once_it_is_read(bench):
    _, write = bench.stall()
    other, last = bench.open("other.1")
    os.write(last, b"last words")
    bench.out.close(other)  # a run that ends leaves a rest while the output is held up
    bench.out.log("a line of procman's own")
    assert bench.sink.stalled
    queued = bench.out.state().sink
    next_mux(bench)
    assert bench.sink.stalled
    assert bench.out.state().sink == queued
    assert bench.out.state().own_rest > 0
    shown = bench.shown(b"a line of procman's own")
    assert shown.count(b"last words\n") == 1
    lines = [line for line in shown.splitlines() if b"noisy" in line]
    assert all(line.endswith(b"x" * 4095) for line in lines)
    bench.turn(lambda: not bench.sink.stalled)
    os.write(write, b"and on\n")
    assert bench.shown(b"and on")
    assert bench.out.state().rests == (0,)


def test_the_rest_of_an_earlier_run_still_makes_room_for_that_of_the_next(bench):
    bench.stall()
    for word in (b"first", b"second"):
        stream, write = bench.open("a.1")
        os.write(write, word + b"\n")
        bench.out.close(stream)
        next_mux(bench)
    shown = bench.shown(b"second")
    assert b"first" not in shown
    assert b"a.1: 1 lines of earlier runs dropped" in shown


def test_a_pipe_that_has_ended_is_closed_by_the_next(bench):
    stream, write = bench.open("a.1")
    bench.hang_up(write)
    bench.turn(lambda: stream.ended)
    next_mux(bench)
    restored = bench.streams[stream.fd]
    assert restored.ended
    bench.out.close(restored)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(stream.fd)


def test_colours_and_widths_stay(bench):
    bench.out.widen(["a-long-name.1"])
    bench.open("a.1")
    bench.open("b.1")
    before = bench.out.state()
    next_mux(bench)
    after = bench.out.state()
    assert (after.width, after.positions) == (before.width, before.positions)
    assert {s.fd for s in after.streams} == {s.fd for s in before.streams}


def test_a_failed_output_goes_on_counting_what_it_drops():
    reactor = Reactor()
    full, told, written = True, [], []

    def put(data):
        if full:
            raise OSError(errno.ENOSPC, "full")
        written.append(bytes(data))
        return len(data)

    sink = Sink(reactor, Way(-1, put, lambda: None), told.append)
    sink.write(b"one\n")
    made = Sink(reactor, Way(-1, put, lambda: None), told.append)
    made.restore(over_the_wire(sink.state()))
    made.write(b"two\n")
    full, made.retry = False, 0.0
    made._retry_at = 0.0
    made.write(b"three\n")
    assert b"".join(written) == b"procman: 2 lines of output dropped (8 bytes)\nthree\n"
    assert len(told) == 1
    reactor.close()


def test_log_files_keep_the_folder_and_count_what_a_full_disk_has_dropped(tmp_path: Path):
    reactor = Reactor()
    files = LogFiles(reactor, str(tmp_path), Rotation())
    (tmp_path / "b.1.log").mkdir()  # a file that cannot be written
    files.write("a.1", b"one\n")
    files.write("b.1", b"lost\n")
    state = over_the_wire(files.state())
    assert list(state.failed) == ["b.1"]
    files.forget("a.1")
    made = LogFiles(reactor, str(tmp_path), Rotation(), state)
    made.write("a.1", b"two\n")
    assert (tmp_path / "a.1.log").read_bytes() == b"one\ntwo\n"
    made.write("b.1", b"lost, too\n")
    assert made.state().failed["b.1"].lost == (2, 15)
    made.close()
    reactor.close()

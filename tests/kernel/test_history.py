"""Kept output: bounded, whole lines, offsets that go on, and the order in which lines came."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.kernel.output.history import History, HistoryEntry


def text(entries):
    return b"".join(entry.data for entry in entries)


def test_what_was_appended_can_be_read_with_its_times():
    history = History()
    history.append("web.1", 1.0, b"one\n")
    history.append("web.1", 2.0, b"two\nthree\n")
    assert history.read("web.1", 0) == (
        [HistoryEntry("web.1", 1.0, b"one\n", 0, 4), HistoryEntry("web.1", 2.0, b"two\nthree\n", 0, 14)],
        14,
    )


def test_reading_goes_on_at_the_offset_that_was_returned():
    history = History()
    history.append("web.1", 1.0, b"one\n")
    _, offset = history.read("web.1", 0)
    history.append("web.1", 2.0, b"two\n")
    assert history.read("web.1", offset) == ([HistoryEntry("web.1", 2.0, b"two\n", 0, 8)], 8)
    assert history.read("web.1", 8) == ([], 8)


def test_reading_is_cut_at_a_line_end_below_the_limit():
    history = History()
    history.append("web.1", 1.0, b"one\ntwo\nthree\n")
    entries, offset = history.read("web.1", 0, 10)
    assert (text(entries), offset) == (b"one\ntwo\n", 8)
    assert text(history.read("web.1", offset, 10)[0]) == b"three\n"


def test_a_line_longer_than_the_limit_is_read_whole():
    history = History()
    history.append("web.1", 1.0, b"a long line\nb\n")
    assert text(history.read("web.1", 0, 4)[0]) == b"a long line\n"


def test_a_reader_that_is_too_slow_is_told_how_much_it_missed():
    history = History(limit_each=10)
    history.append("web.1", 1.0, b"one\n")
    history.append("web.1", 2.0, b"two\nthree\n")
    entries, offset = history.read("web.1", 0)
    assert entries == [HistoryEntry("web.1", 2.0, b"two\nthree\n", 4, 14)]
    assert offset == history.end("web.1") == 14


def test_the_oldest_line_is_never_shown_torn():
    history = History(limit_each=10)
    history.append("web.1", 1.0, b"0123456\nabcdef\n")
    assert history.read("web.1", 0)[0] == [HistoryEntry("web.1", 1.0, b"abcdef\n", 8, 15)]


def test_a_line_that_is_longer_than_everything_kept_leaves_nothing_but_its_count():
    history = History(limit_each=10)
    history.append("web.1", 1.0, b"x" * 50 + b"\n")
    assert history.read("web.1", 0) == ([], 51)
    history.append("web.1", 2.0, b"y\n")
    assert text(history.read("web.1", 0)[0]) == b"y\n"


def test_the_last_256_kib_are_kept_to_the_byte():
    history = History()
    line = b"x" * 63 + b"\n"
    for _ in range(3):
        history.append("web.1", 1.0, line * 1024)
    for _ in range(4096):
        history.append("web.1", 1.0, line)
    assert len(text(history.tail(["web.1"], None)[0])) == 256 * 1024


def test_an_instance_that_writes_tiny_lines_keeps_a_bounded_number_of_rows():
    history = History(limit_each=4096)
    for _ in range(10_000):
        history.append("web.1", 1.0, b"\n")
    assert 0 < len(history.tail(["web.1"], None)[0]) <= 4096 // 32 * 5 // 4 + 64


def test_all_instances_together_stay_below_the_limit():
    history = History(limit_each=64 * 1024, limit_all=256 * 1024)
    for number in range(40):
        for _ in range(20):
            history.append(f"web.{number}", 1.0, (b"x" * 99 + b"\n") * 80)
    kept = {name: len(text(history.tail([name], None)[0])) for name in history.names()}
    assert sum(kept.values()) <= 256 * 1024
    assert min(kept.values()) >= 4000


def test_a_late_instance_gets_room_from_the_largest():
    history = History(limit_each=64 * 1024, limit_all=128 * 1024)
    line = b"x" * 1023 + b"\n"
    for name in ("a.1", "b.1", "c.1"):
        history.append(name, 1.0, line * 64)
    assert len(text(history.tail(["c.1"], None)[0])) >= 16 * 1024


def test_a_forgotten_instance_gives_its_room_back():
    history = History(limit_each=64 * 1024, limit_all=64 * 1024)
    lines = (b"x" * 1023 + b"\n") * 64
    for name in ("a.1", "b.1"):
        history.append(name, 1.0, lines)
    history.forget("a.1")
    history.append("b.1", 1.0, lines)
    assert text(history.tail(["b.1"], None)[0]) == lines


def test_each_may_have_four_kib_where_others_have_taken_all():
    history = History(limit_each=64 * 1024, limit_all=64 * 1024)
    lines = (b"x" * 63 + b"\n") * 64
    for name in (f"{number}.1" for number in range(100)):
        for _ in range(3):
            history.append(name, 1.0, lines)
    assert {len(text(history.tail([f"{number}.1"], None)[0])) for number in range(100)} == {4096}


def test_nothing_is_kept_where_the_limit_is_zero():
    history = History(limit_all=0)
    history.append("web.1", 1.0, b"one\n")
    assert history.tail(["web.1"], None) == ([], {"web.1": 4})
    assert history.read("web.1", 0) == ([], 4)


def test_the_tail_merges_instances_in_the_order_their_lines_came_even_if_the_clock_went_back():
    history = History()
    history.append("a.1", 9.0, b"1\n2\n")
    history.append("b.1", 5.0, b"3\n")
    history.append("a.1", 1.0, b"4\n")
    entries, ends = history.tail(["a.1", "b.1"], 3)
    assert [(entry.name, entry.data) for entry in entries] == [("a.1", b"2\n"), ("b.1", b"3\n"), ("a.1", b"4\n")]
    assert ends == {"a.1": 6, "b.1": 2}


def test_the_tail_without_a_count_is_everything_and_zero_lines_are_none():
    history = History()
    history.append("a.1", 1.0, b"1\n2\n")
    assert text(history.tail(["a.1", "unknown.1"], None)[0]) == b"1\n2\n"
    assert history.tail(["a.1", "unknown.1"], 0) == ([], {"a.1": 4, "unknown.1": 0})


def test_an_instance_that_comes_again_starts_at_zero_and_its_follower_sees_all_of_it():
    history = History()
    history.append("web.1", 1.0, b"a long old line\n")
    _, offset = history.read("web.1", 0)
    history.forget("web.1")
    assert history.names() == []
    history.append("web.1", 2.0, b"new\n")
    assert history.read("web.1", offset) == ([HistoryEntry("web.1", 2.0, b"new\n", 0, 4)], 4)


def test_an_unknown_name_reads_as_nothing():
    assert History().read("web.1", 7) == ([], 0)


def test_listeners_are_told_the_name_after_each_append():
    history = History()
    seen = []
    history.listeners.append(lambda name: seen.append((name, history.end(name))))
    history.append("web.1", 1.0, b"x\n")
    assert seen == [("web.1", 2)]


@given(st.lists(st.binary(max_size=300).map(lambda data: data + b"\n"), min_size=1, max_size=60), st.data())
def test_a_ring_holds_the_end_of_everything_in_whole_lines(chunks, data):
    limit = data.draw(st.integers(1, 600))
    history = History(limit_each=limit)
    for chunk in chunks:
        history.append("web.1", 1.0, chunk)
    whole = b"".join(chunks)
    oldest = max(0, len(whole) - limit)
    start = 0 if oldest == 0 else whole.index(b"\n", oldest - 1) + 1
    rows = max(1, limit // 32)
    kept = text(history.tail(["web.1"], None)[0])
    assert whole.endswith(kept)
    if len(chunks) < min(64, rows):
        assert kept == whole[start:]
    assert len(kept) <= limit


@pytest.mark.parametrize("limit", [1, 7, 100, 65536])
@given(chunks=st.lists(st.binary(max_size=50).map(lambda data: data + b"\n"), max_size=30))
def test_reading_in_steps_gives_the_same_as_reading_at_once(limit, chunks):
    history = History()
    for chunk in chunks:
        history.append("web.1", 1.0, chunk)
    found, offset = b"", 0
    while offset < history.end("web.1"):
        entries, offset = history.read("web.1", offset, limit)
        assert entries
        found += text(entries)
    assert found == b"".join(chunks)


def test_without_memory_the_greatest_gives_up_what_it_keeps_and_readers_are_told_what_they_missed():
    history = History()
    history.append("small.1", 1.0, b"kept\n")
    for n in range(200):
        history.append("great.1", float(n), b"x" * 999 + b"\n")
    history.relieve()
    history.append("great.1", 300.0, b"new\n")
    entries, _ = history.read("great.1", 0)
    assert entries == [HistoryEntry("great.1", 300.0, b"new\n", 200_000, 200_004)]
    assert text(history.read("small.1", 0)[0]) == b"kept\n"
    history.relieve()  # nobody has more than the least: nothing happens
    assert text(history.read("great.1", 0)[0]) == b"new\n"


@given(st.lists(st.one_of(st.integers(0, 3000), st.none()), max_size=30))
def test_what_is_kept_stays_whole_lines_however_often_memory_runs_out(lengths):
    history = History(16_384, 20_000)
    written = b""
    for number, length in enumerate(lengths):
        if length is None:
            history.relieve()
        else:
            line = b"%d" % number * length + b"\n"
            written += line
            history.append(f"web.{number % 2 + 1}", 1.0, line)
    for name in ("web.1", "web.2"):
        kept = text(history.read(name, 0, 1 << 20)[0])
        assert all(line + b"\n" in written for line in kept.split(b"\n")[:-1])

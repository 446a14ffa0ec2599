"""The last output of every instance, in bounded memory, for readers that each have a byte offset.

Owns the bytes and the times at which they came; does not know who reads them or how they are shown. An instance has one
ring of bytes, and flat rows with one for each chunk: a Python object for each chunk would take more than the chunk
itself (57 bytes for an empty `bytes` in a tuple in a deque, against 24 here).

Offsets are absolute: they count from the instance's first byte and never decrease, so that a slow reader can be told
what it missed. Complete lines go in and complete lines come out: the oldest line, of which a part was overwritten, is
never shown.
"""

from __future__ import annotations

import heapq
from struct import Struct as Layout
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_FIRST_SIZE = 128
"""The first size of a ring, as most instances write little. It doubles as it fills."""

_GRANTED = 4096
"""The size that any ring may have, however little room there is in total."""

_BYTES_A_ROW = 32
"""Bytes of a ring for each row that it may have: otherwise one-byte lines would lead to rows without bound."""

_ROW = Layout("dQQ")
"""A row has the time of a chunk, the absolute offset after it, and its number among those of all instances."""

_PRUNE_AFTER = 64 * _ROW.size
"""By how many bytes the rows may grow before those whose output is lost are removed."""


class HistoryEntry(Struct, frozen=True, gc=False):
    """Lines that an instance wrote at `time` (seconds since the epoch). `missed` bytes before them are lost. `after` is
    the offset after them.
    """

    name: str
    time: float
    data: bytes
    missed: int
    after: int


class RingState(Struct, frozen=True, kw_only=True):
    """A ring without its bytes, of which it has one more than `size`; each column of its rows as it is in memory."""

    name: str
    size: int
    limit: int
    floor: int
    end: int
    times: bytes
    ends: bytes
    sequences: bytes


class HistoryState(Struct, frozen=True):
    """Everything except the bytes of the rings, which follow in the order of `rings`."""

    sequence: int = 0
    terminals: tuple[str, ...] = ()
    rings: tuple[RingState, ...] = ()

    @property
    def memory(self) -> int:
        """How many bytes follow this state."""
        return sum(ring.size + 1 for ring in self.rings)


class _Ring:
    """The last `size` bytes of one instance. The byte with the absolute offset n is at n modulo the length.

    One more byte than `size` is held: the byte before the oldest one says whether that starts a line.
    """

    __slots__ = ("_prune_at", "_rows", "data", "end", "floor", "limit", "size")

    def __init__(self, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        self.data = bytearray(size + 1)
        self.floor = 0  # absolute offset of the oldest byte
        self.end = 0  # absolute offset after the newest byte
        self._rows = bytearray()
        self._prune_at = _PRUNE_AFTER

    def append(self, data: bytes | memoryview, time: float, sequence: int) -> None:
        position = self.end % len(self.data)
        after = position + len(data)
        if after <= len(self.data):
            memoryview(self.data)[position:after] = data
        else:
            self._place(self.end, data)
        self.end += len(data)
        self.floor = max(self.floor, self.end - self.size)
        self._rows += _ROW.pack(time, self.end, sequence)
        if len(self._rows) >= self._prune_at:
            self._prune()

    def ends(self) -> memoryview:
        """The absolute offset after each chunk. No chunk can be added while this is in use, which is never for long."""
        return memoryview(self._rows).cast("Q")[1::3]

    def row(self, number: int) -> tuple[float, int, int]:
        """The time of a chunk, the absolute offset after it, and its number among those of all instances."""
        time, end, sequence = _ROW.unpack_from(self._rows, number * _ROW.size)
        return time, end, sequence

    def _place(self, at: int, data: bytes | memoryview) -> None:
        length = len(self.data)
        source = memoryview(data)[-length:]
        position = (at + len(data) - len(source)) % length
        room = length - position
        view = memoryview(self.data)
        if len(source) <= room:
            view[position : position + len(source)] = source
        else:
            view[position:] = source[:room]
            view[: len(source) - room] = source[room:]

    def _prune(self) -> None:
        """Forget the rows whose bytes are lost. Only done sometimes, as it moves the others."""
        from bisect import bisect_right  # noqa: PLC0415  0.04 MB, where no instance has written much

        ends = self.ends()
        gone = max(bisect_right(ends, self.floor), len(ends) - max(self.size, _GRANTED) // _BYTES_A_ROW)
        if gone > 0:
            self.floor = max(self.floor, ends[gone - 1])
        ends.release()
        del self._rows[: max(0, gone) * _ROW.size]
        self._expect_more()

    def _expect_more(self) -> None:
        self._prune_at = len(self._rows) * 5 // 4 + _PRUNE_AFTER

    def resize(self, size: int) -> None:
        """Change the size, keeping the newest bytes. A MemoryError leaves everything unchanged."""
        floor, before = max(self.floor, self.end - size), self.size
        first = max(0, floor - 1)
        kept = self.get(first, self.end)
        data = bytearray(size + 1)
        self.floor = floor
        self.size = size
        self.data = data
        self._place(first, kept)
        if size < before:
            self._prune()

    def empty(self) -> int:
        """Start again with the least size, as if everything had been read; returns the size before. `end` stays."""
        before, self.size = self.size, _FIRST_SIZE
        del self.data[_FIRST_SIZE + 1 :]  # in place: this is where memory is freed
        self.floor = self.end
        self.data[(self.end - 1) % len(self.data)] = 10  # what comes next starts a line
        del self._rows[:]
        return before

    def state(self, name: str) -> RingState:
        return RingState(
            name=name,
            size=self.size,
            limit=self.limit,
            floor=self.floor,
            end=self.end,
            times=memoryview(self._rows).cast("d")[::3].tobytes(),
            ends=self.ends().tobytes(),
            sequences=memoryview(self._rows).cast("Q")[2::3].tobytes(),
        )

    def restore(self, state: RingState) -> None:
        self.floor, self.end = state.floor, state.end
        times, ends, sequences = memoryview(state.times), memoryview(state.ends), memoryview(state.sequences)
        for row in zip(times.cast("d"), ends.cast("Q"), sequences.cast("Q"), strict=True):
            self._rows += _ROW.pack(*row)
        self._expect_more()

    @property
    def memory(self) -> memoryview:
        """All its bytes, in their present order."""
        return memoryview(self.data)

    def get(self, begin: int, end: int) -> bytes:
        """The bytes between two absolute offsets, both of which must be held."""
        position, length = begin % len(self.data), end - begin
        view = memoryview(self.data)
        first = bytes(view[position : position + length])
        return first if len(first) == length else first + bytes(view[: length - len(first)])

    def start(self) -> int:
        """The absolute offset of the oldest complete line."""
        return self.floor and self.after_line(self.floor - 1)

    def after_line(self, at: int) -> int:
        """The absolute offset after the first newline from `at` on, or the end."""
        position, length = at % len(self.data), self.end - at
        hit = self.data.find(b"\n", position, position + length)
        if hit >= 0:
            return at + hit - position + 1
        wrapped = position + length - len(self.data)
        hit = self.data.find(b"\n", 0, wrapped) if wrapped > 0 else -1
        return self.end if hit < 0 else at + len(self.data) - position + hit + 1

    def cut(self, begin: int, end: int) -> int:
        """The last end of a line in the range; `begin` where there is none."""
        return begin + self.get(begin, end).rfind(b"\n") + 1

    def newest_first(self, name: str) -> Iterator[tuple[int, str, float, int, int]]:
        """Every row as (sequence, name, time, begin, end), the newest first."""
        start = self.start()
        for number in range(len(self._rows) // _ROW.size - 1, -1, -1):
            time, end, sequence = self.row(number)
            begin = max(start, self.row(number - 1)[1]) if number else start
            if end <= begin:
                return
            yield sequence, name, time, begin, end


class History:
    """The kept output of all instances, `limit_each` bytes for each and `limit_all` in total.

    A ring starts small and doubles as it fills. When there is no room in total, the largest ring is halved in favour of
    one that stays at half its size or less: in the end a few instances that write much share what the others do not
    use. Each may have 4 KiB in any case.

    `terminals` holds the names whose output comes from a terminal, for readers that show it. `listeners` are called
    with the name after each append; they must return at once.
    """

    def __init__(self, limit_each: int = 256 * 1024, limit_all: int = 32 * 1024 * 1024) -> None:
        self._limit_each = min(limit_each, limit_all)
        self._limit_all = limit_all
        self._rings: dict[str, _Ring] = {}
        self._total = self._sequence = 0
        self._lowered = False  # whether a ring may not grow as far as the others
        self.listeners: list[Callable[[str], None]] = []
        self.terminals: set[str] = set()  # names with bytes that were written to a terminal

    def append(self, name: str, time: float, data: bytes | memoryview) -> None:
        """Keep these complete lines, with their newlines, which came at `time`, seconds since the epoch."""
        ring = self._rings.get(name) or self._add(name)
        if ring.size < ring.limit and ring.end - ring.floor + len(data) > ring.size:
            self._grow(ring, ring.end - ring.floor + len(data))
        self._sequence += 1
        ring.append(data, time, self._sequence)
        for listener in self.listeners:
            listener(name)

    def end(self, name: str) -> int:
        """The absolute offset after the last byte; 0 for an unknown name."""
        ring = self._rings.get(name)
        return ring.end if ring else 0

    def read(self, name: str, offset: int, limit: int = 65536) -> tuple[list[HistoryEntry], int]:
        """Lines from `offset` on, about `limit` bytes of them (at least one line), and the next offset.

        The first entry says how much was lost since `offset`. An offset beyond the end is from before the name was
        forgotten: everything kept is new to that reader.
        """
        ring = self._rings.get(name)
        if ring is None:
            return [], 0
        start = ring.start()
        if offset > ring.end:
            offset = start
        at = max(offset, start)
        missed = at - offset
        entries: list[HistoryEntry] = []
        from bisect import bisect_right  # noqa: PLC0415  as above

        ends = ring.ends()
        for number in range(bisect_right(ends, at), len(ends)):
            time, end, _ = ring.row(number)
            if end - at > limit:
                end = ring.cut(at, at + limit)
                if end == at:
                    if entries:
                        break
                    end = ring.after_line(at)
            entries.append(HistoryEntry(name, time, ring.get(at, end), missed, end))
            limit -= end - at
            at, missed = end, 0
            if limit <= 0 or end < ends[number]:
                break
        return entries, at

    def tail(self, names: Sequence[str], lines: int | None) -> tuple[list[HistoryEntry], dict[str, int]]:
        """The last `lines` lines of all these instances together (all lines where None), in their order; and, for each
        of the names, the offset from which `read` continues.
        """
        ends = {name: self.end(name) for name in names}
        rings = {name: self._rings[name] for name in ends if name in self._rings}
        found: list[HistoryEntry] = []
        for _, name, time, begin, end in heapq.merge(
            *(ring.newest_first(name) for name, ring in rings.items()), reverse=True
        ):
            if lines is not None and lines <= 0:
                break
            data = rings[name].get(begin, end)
            if lines is not None:
                data = _last_lines(data, lines)
                lines -= data.count(b"\n")
            found.append(HistoryEntry(name, time, data, 0, end))
        found.reverse()
        return found, ends

    def names(self) -> list[str]:
        """All names with output, in the order of their first lines."""
        return list(self._rings)

    def forget(self, name: str) -> None:
        """Drop the output of a removed instance. A later one of that name starts at 0 again."""
        self.terminals.discard(name)
        ring = self._rings.pop(name, None)
        if ring is not None:
            self._total -= ring.size
            for other in self._rings.values() if self._lowered else ():  # there is room again
                other.limit = self._limit_each
            self._lowered = False

    def relieve(self) -> None:
        """Drop the output of the instance that has most, without allocating memory: none is left."""
        ring = max(self._rings.values(), key=lambda ring: ring.size, default=None)
        if ring is not None and ring.size > _FIRST_SIZE:
            size = ring.empty()
            self._total -= size - ring.size
            ring.limit, self._lowered = ring.size, True

    # ---- handing it on

    def state(self) -> HistoryState:
        """The state from which another history can be made, together with the bytes of `memory`."""
        rings = tuple(ring.state(name) for name, ring in self._rings.items())
        return HistoryState(self._sequence, tuple(sorted(self.terminals)), rings)

    def memory(self) -> list[memoryview]:
        """The bytes of every ring; nothing is copied."""
        return [ring.memory for ring in self._rings.values()]

    def restore(self, state: HistoryState) -> list[memoryview]:
        """Continue with the state of another history. Fill the memory that is returned with the bytes of `memory`."""
        for one in state.rings:
            ring = self._rings[one.name] = _Ring(one.size, one.limit)
            ring.restore(one)
            self._total += one.size
        self._sequence, self._lowered = state.sequence, True  # some limits may be low
        self.terminals.update(state.terminals)
        return self.memory()

    # ---- sharing the room

    def _add(self, name: str) -> _Ring:
        size = min(_FIRST_SIZE, self._limit_each)
        self._make_room(size, size)
        ring = self._rings[name] = _Ring(size, self._limit_each)
        self._total += size
        return ring

    def _grow(self, ring: _Ring, need: int) -> None:
        """Double the ring until it holds `need` bytes, or as far as it may."""
        while ring.size < min(need, ring.limit):
            size = min(ring.size * 2, ring.limit)
            try:
                if not self._make_room(size - ring.size, size) and size > _GRANTED:
                    ring.limit, self._lowered = ring.size, True  # or every chunk would search again
                    return
                self._resize(ring, size)
            except MemoryError:
                ring.limit, self._lowered = ring.size, True
                return

    def _make_room(self, extra: int, size: int) -> bool:
        """Whether there is room for `extra` more bytes, for a ring of then `size`; halves larger rings to make it.

        A ring only gives way if it stays at least as large, so that two rings never take from each other in turns.
        """
        while self._total + extra > self._limit_all:
            largest = max(self._rings.values(), key=lambda ring: ring.size, default=None)
            if largest is None or largest.size < 2 * max(size, _GRANTED):
                return False
            self._resize(largest, largest.size // 2)
            largest.limit, self._lowered = largest.size, True
        return True

    def _resize(self, ring: _Ring, size: int) -> None:
        before = ring.size
        ring.resize(size)
        self._total += size - before


def _last_lines(data: bytes, count: int) -> bytes:
    """The last `count` of these complete lines."""
    pieces = data.rsplit(b"\n", count + 1)
    return data if len(pieces) <= count + 1 else b"\n".join(pieces[1:])

"""The output as the rest of procman sees it: children's streams are opened, drained and closed, and own lines are
logged.

Combines the reader, the fan-out and the backpressure, and their states. Does not know why a child started or ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from procman.kernel.output.fanout import Fanout
from procman.kernel.output.reader import Reader
from procman.kernel.output.sinks import SinkState
from procman.kernel.output.stream import ChildStream, ProcessOutput, StreamState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procman.kernel.loop.reactor import Reactor
    from procman.kernel.output.formatting import Format
    from procman.kernel.output.history import History
    from procman.kernel.output.logfiles import LogFiles
    from procman.kernel.output.sinks import Sink
    from procman.kernel.output.terminals import Terminals


class OutputState(Struct, frozen=True, kw_only=True):
    """The whole state except how lines are shown. `rests` has the bytes of each process that wait for the reader; a key
    of the sink's backlog is an index into it.
    """

    width: int
    positions: dict[str, int]
    rests: tuple[int, ...]
    streams: tuple[StreamState, ...]
    resting: dict[str, int]
    own_rest: int
    own_lost: int
    sink: SinkState


class Multiplexer:
    """The path of a line: from a child's pipe, with a prefix, to the history and the sink."""

    def __init__(
        self,
        reactor: Reactor,
        sink: Sink,
        history: History,
        format: Format,  # noqa: A002  its name
        files: LogFiles | None = None,
    ) -> None:
        self._sink = sink
        self._fanout = Fanout(sink, history, format, files)
        self._reader = reader = Reader(reactor, self._fanout)
        self.open, self.drain, self.end_line, self.close = reader.open, reader.drain, reader.end_line, reader.close
        self.add_tap, self.remove_tap, self.streams_of = reader.add_tap, reader.remove_tap, reader.streams_of
        self.log, self.reopen = self._fanout.log, self._fanout.reopen
        sink.on_stalled.append(reader.pipes.pause)
        sink.on_flowing += (reader.resume, self._fanout.pressure.flow)
        _keep_heap()

    @property
    def terminals(self) -> Terminals:
        return self._reader.terminals

    def forget(self, name: str) -> None:
        """The slot has been removed."""
        self._fanout.forget(name)
        self._reader.forget(name)

    # ---- how it is shown

    def widen(self, names: Iterable[str]) -> None:
        """Pad all names to the widest of these and those known before."""
        if self._fanout.formatter.widen(names):
            for stream in (*self._fanout.own, *self._reader.streams):
                stream.second = -1
            self._reader.fit_terminals()

    def finish(self, deadline: float) -> None:
        """At the end: close everything. The sink has until `deadline` (monotonic) to write."""
        self._reader.finish()
        self._sink.flush(deadline)
        self._reader.pipes.close()
        self._fanout.close()

    # ---- handing it on

    def state(self) -> OutputState:
        """The state from which another program with the same descriptors can continue."""
        numbers: dict[object, int] = {}

        def number(output: object) -> int | None:
            return None if output is None else numbers.setdefault(output, len(numbers))

        streams = tuple(stream.state(number(stream.output) or 0) for stream in self._reader.streams)
        resting = self._fanout.pressure.waiting(number)
        sink = self._sink.state(number)
        own_rest, own_lost = self._fanout.pressure.own
        return OutputState(
            width=self._fanout.formatter.width,
            positions=dict(self._fanout.positions),
            rests=tuple(output.rest for output in numbers if isinstance(output, ProcessOutput)),
            streams=streams,
            resting=resting,
            own_rest=own_rest,
            own_lost=own_lost,
            sink=sink,
        )

    def restore(self, state: OutputState) -> dict[int, ChildStream]:
        """Continue with a state, before anything is opened here; returns the streams by descriptor."""
        outputs = [ProcessOutput(rest) for rest in state.rests]
        self._fanout.positions.update(state.positions)
        self._fanout.formatter.width = state.width
        restored = {one.fd: self._reader.restore(one, outputs[one.output]) for one in state.streams}
        self._sink.restore(state.sink, outputs)
        waiting = {name: outputs[number] for name, number in state.resting.items()}
        self._fanout.pressure.restore(waiting, (state.own_rest, state.own_lost))
        return restored


def _keep_heap() -> None:
    """Keep glibc from returning the top of the heap to the system after each chunk, and getting it back for the next.

    A chunk's blocks of 64 to 200 kB are at the top of the heap, and more than 128 kB free there is returned. Freeing
    one mapped block raises that threshold to twice its size (mallopt(3), M_TRIM_THRESHOLD); the block is never touched,
    so it costs no memory. Measured: json with `--history 0` takes half the CPU; a history that has grown has the same
    effect.
    """
    bytes(1 << 20)

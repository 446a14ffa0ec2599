"""`attach`, `input` and `resize`: what each who is attached is told, and where what they type goes."""

import base64
import os
import signal
import time
import tty
from contextlib import suppress

import pytest
from served import Served, change, request

from procman.control.protocol import Code
from procman.core.view import Change, Kind
from procman.kernel import attachments, terminal
from procman.kernel.attachments import KEPT, NEWS, Tape
from procman.kernel.connection import Limits
from procman.kernel.keyboard import LIMIT
from procman.kernel.output import Format, Mux
from procman.kernel.sinks import Sink


class Stage(Served):
    """A server whose instances are pseudo-terminals, and pipes, of this test."""

    def __init__(self, folder):
        super().__init__(folder, Limits(streams=4))
        self.null = os.open(os.devnull, os.O_WRONLY)
        sink = Sink(self.reactor, self.null, on_trouble=print)
        self.mux = self.backend.mux = Mux(self.reactor, sink, self.backend.history, Format(timestamps=False))
        self.sides = []

    def __exit__(self, *exc):
        super().__exit__(*exc)
        for fd in (*self.sides, *(stream.fd for stream in self.mux._streams), self.null):
            os.close(fd)

    def terminal(self, name="web.1"):
        """A life with a terminal: its stream, and the program's side of it, raw and non-blocking."""
        made = terminal.open_terminal(self.mux.terminals.size_of(name))
        tty.setraw(made.slave)
        os.set_blocking(made.slave, False)
        self.sides.append(made.slave)
        return self.mux.open(name, "web", made.master, terminal=True), made.slave

    def pipe(self, name="web.1"):
        read, write = os.pipe()
        self.sides.append(write)
        return self.mux.open(name, "web", read), write

    def end(self, stream, side):
        """The life is over."""
        self.sides.remove(side)
        os.close(side)
        self.mux.close(stream)

    def read(self, side, count):
        """So many bytes that were typed."""
        found = b""

        def enough():
            nonlocal found
            with suppress(BlockingIOError):
                found += os.read(side, 65536)
            return len(found) >= count

        self.drive(enough)
        return found


@pytest.fixture
def stage(tmp_path):
    handlers = {number: signal.getsignal(number) for number in (signal.SIGWINCH, signal.SIGCONT)}
    with Stage(tmp_path) as stage:
        yield stage
    for number, handler in handlers.items():
        signal.signal(number, handler)


def attach(peer, name="web.1", **params):
    return peer.ask("attach", {"instance": name, **params})["result"]


def type_into(peer, attached, text, id=7):  # noqa: A002
    return peer.ask("input", {"stream": attached["stream"], "text": text}, id)


def output_of(peer, count):
    """So many bytes of output, from as many notifications as there are; nothing else may come."""
    found = b""
    while len(found) < count:
        message = peer.messages(1)[0]
        assert message["method"] == "output", message
        params = message["params"]
        found += base64.b64decode(params["base64"]) if "base64" in params else params.get("text", "").encode()
    return found


def keyboard_of(peer):
    message = peer.messages(1)[0]
    assert message["method"] == "keyboard", message
    return message["params"]["keyboard"]


def size_of(side):
    return tuple(os.get_terminal_size(side))


# ---- output


def test_the_last_output_comes_first_then_what_is_written_as_it_is(stage):
    stage.backend.history.append("web.1", 1.0, b"\x1b[2Jold\r\n")
    _, side = stage.terminal()
    os.write(side, b"half a li")
    stage.drive(lambda: stage.mux.streams_of("web.1")[0].partial)
    peer = stage.peer()
    attached = attach(peer)
    assert (attached["instance"], attached["kept"]) == ("web.1", len(b"\x1b[2Jold\r\nhalf a li"))
    os.write(side, b"ne")
    assert output_of(peer, 20) == b"\x1b[2Jold\r\nhalf a line"
    os.write(side, b"\x1b[6n\xff\x1b]0;t\x07\r")
    assert output_of(peer, 11) == b"\x1b[6n\xff\x1b]0;t\x07\r"


def test_only_the_newest_lines_are_shown_first(stage):
    for n in range(4 * KEPT // 1000):
        stage.backend.history.append("web.1", 1.0, b"%05d" % n + b"x" * 993 + b"\r\n")
    stage.terminal()
    attached = attach(stage.peer())
    assert KEPT - 1000 <= attached["kept"] <= KEPT
    assert attached["kept"] % 1000 == 0


def test_output_of_a_pipe_is_told_too_and_nothing_can_be_typed(stage):
    _, side = stage.pipe()
    peer = stage.peer()
    attached = attach(peer)
    assert attached["keyboard"]["terminal"] is False
    os.write(side, b"one\n")
    assert output_of(peer, 4) == b"one\n"
    refusal = type_into(peer, attached, "x")["error"]
    assert refusal["code"] == Code.REFUSED
    assert refusal["message"] == "cannot type into web.1: it has no terminal, or does not run"


def test_a_type_with_one_instance_is_that_one(stage):
    stage.backend.formation = {"web": 1, "worker": 2, "idle": 0}
    peer = stage.peer()
    assert attach(peer, "web")["instance"] == "web.1"
    for word, message in {
        "worker": "cannot attach to worker: it has 2 instances",
        "idle": "cannot attach to idle: it has no instance",
        "wob": "cannot find an instance 'wob'",
    }.items():
        assert peer.ask("attach", {"instance": word})["error"]["message"] == message


def test_a_watcher_that_does_not_read_costs_a_bounded_amount_and_then_sees_the_newest(stage):
    _, side = stage.terminal()
    peer = stage.peer()
    attach(peer)
    written = 0

    def fill():
        nonlocal written
        with suppress(BlockingIOError):
            written += os.write(side, b"x" * 99 + b"\n")
        return written > 3_000_000

    stage.drive(fill)
    os.write(side, b"newest")
    [slot] = stage.mux.taps.values()
    assert len(slot.tape._data) <= 2 * KEPT + terminal.CHUNK
    told = missed = 0
    data = ""
    while not data.endswith("newest"):
        params = peer.messages(1)[0]["params"]
        data = params["text"]
        told += len(data)
        missed += params.get("missed", 0)
    assert missed > 0
    assert told + missed == written + 6


def test_events_of_the_instance_come_where_they_happened(stage):
    stream, side = stage.terminal()
    peer = stage.peer()
    attach(peer)
    os.write(side, b"last words")
    stage.mux.drain(stream)
    stage.server.publish(1.0, Change(event=Kind.ENDED, text="web.1 ended", instance="web.1"))
    stage.server.publish(1.0, Change(event=Kind.ENDED, text="worker.1 ended", instance="worker.1"))
    stage.end(stream, side)
    _, side = stage.terminal()
    os.write(side, b"first words")
    told = []
    while b"first words" not in told:
        message = peer.messages(1)[0]
        params = message["params"]
        told.append(params["text"].encode() if message["method"] == "output" else message["method"])
    assert told.index("event") == told.index(b"last words") + 1
    assert told.count("event") == 1


def test_a_slow_watcher_is_told_the_newest_events_and_how_many_it_missed(stage):
    peer = stage.peer()
    attach(peer)
    [connection] = stage.server._connections
    count = 0
    while not connection._unsent:
        stage.server.publish(float(count), change("x" * 1000))
        count += 1
    for n in range(NEWS + 7):
        stage.server.publish(float(count + n), change("y"))
    messages = [message["params"] for message in peer.messages(count + NEWS)]
    assert [m.get("missed", 0) for m in messages[count:]] == [7] + [0] * (NEWS - 1)


# ---- who types


def test_the_first_one_types_and_a_second_is_told_who(stage):
    _, side = stage.terminal()
    first, second = stage.peer(), stage.peer()
    mine, theirs = attach(first), attach(second)
    assert mine["keyboard"]["yours"] is True
    assert theirs["keyboard"]["yours"] is False
    assert theirs["keyboard"]["typist"]["pid"] == os.getpid()
    assert abs(theirs["keyboard"]["typist"]["since"] - time.time()) < 60
    assert type_into(first, mine, "abc")["result"] == {"taken": 3}
    refusal = type_into(second, theirs, "x")["error"]
    assert refusal["message"].startswith(f"cannot type into web.1: pid {os.getpid()} types there, since ")
    assert stage.read(side, 3) == b"abc"


def test_once_the_typist_leaves_the_next_who_types_does(stage):
    _, side = stage.terminal()
    first, second, third = stage.peer(), stage.peer(), stage.peer()
    attach(first)
    theirs, others = attach(second), attach(third)
    first.socket.close()
    for peer in (second, third):
        assert keyboard_of(peer) == {"terminal": True, "yours": False, "typist": None, "room": LIMIT}
    assert type_into(third, others, "x")["result"] == {"taken": 1}
    assert keyboard_of(third)["yours"] is True
    assert keyboard_of(second)["typist"]["pid"] == os.getpid()
    assert "error" in type_into(second, theirs, "y")
    assert stage.read(side, 1) == b"x"


def test_who_only_looks_neither_types_nor_keeps_others_from_it(stage):
    stage.terminal()
    first, second = stage.peer(), stage.peer()
    looking = attach(first, read_only=True)
    assert looking["keyboard"]["typist"] is None
    assert attach(second)["keyboard"]["yours"] is True
    keyboard_of(first)
    assert type_into(first, looking, "x")["error"]["message"].endswith("this attachment is read-only")


def test_bytes_that_are_not_text_are_typed_as_base64(stage):
    _, side = stage.terminal()
    peer = stage.peer()
    attached = attach(peer)
    data = bytes(range(256))
    typed = {"stream": attached["stream"], "base64": base64.b64encode(data).decode()}
    assert peer.ask("input", typed)["result"] == {"taken": 256}
    assert stage.read(side, 256) == data
    wrong = peer.ask("input", {"stream": attached["stream"], "base64": "no base64"})
    assert wrong["error"]["code"] == Code.INVALID_PARAMS


def test_only_the_streams_of_its_own_connection_can_be_typed_into(stage):
    stage.terminal()
    first, second = stage.peer(), stage.peer()
    attached = attach(first)
    events = second.ask("events")["result"]
    for stream in (attached, events, {"stream": 99}):
        assert type_into(second, stream, "x")["error"]["message"].startswith("cannot do that: the stream is not one")


def test_what_has_no_room_is_to_be_sent_again_once_there_is(stage):
    _, side = stage.terminal()
    peer = stage.peer()
    attached = attach(peer)
    taken = 0
    while (now := type_into(peer, attached, "x" * 32768)["result"]["taken"]) == 32768:
        taken += now
    taken += now
    assert len(stage.read(side, taken)) == taken
    assert keyboard_of(peer)["room"] == LIMIT
    assert type_into(peer, attached, "y")["result"] == {"taken": 1}


def test_what_was_typed_arrives_though_its_typist_has_left_and_another_types_on(stage):
    """One way to a terminal, however many are attached one after the other: nothing is lost, doubled or overtaken."""
    _, side = stage.terminal()
    first = stage.peer()
    attached = attach(first)
    type_into(first, attached, "a" * 40_000)
    first.socket.close()
    stage.drive(lambda: not stage.server._streaming)
    assert stage.mux.taps  # for what still waits
    second = stage.peer()
    theirs = attach(second)
    assert theirs["keyboard"]["yours"] is True
    assert type_into(second, theirs, "bb")["result"] == {"taken": 2}
    assert stage.read(side, 40_002) == b"a" * 40_000 + b"bb"
    second.socket.close()
    stage.drive(lambda: not stage.mux.taps)  # nothing is kept


def test_a_life_that_ends_takes_along_what_waits_for_it(stage):
    stream, side = stage.terminal()
    first = stage.peer()
    attached = attach(first)
    type_into(first, attached, "a" * 40_000)
    first.socket.close()
    stage.drive(lambda: not stage.server._streaming)
    master = stream.fd
    stage.end(stream, side)
    assert master not in stage.reactor._selector.get_map()
    assert not stage.mux.taps


# ---- sizes


def test_the_terminal_has_the_size_of_the_typists_screen_in_every_life(stage):
    stream, side = stage.terminal()
    other = stage.terminal("web.2")[1]
    shared = size_of(side)
    first, second = stage.peer(), stage.peer()
    mine = attach(first, columns=120, rows=50)
    attach(second, columns=70, rows=20)
    assert size_of(side) == (120, 50)
    first.ask("resize", {"stream": mine["stream"], "columns": 130, "rows": 60})
    assert size_of(side) == (130, 60)
    stage.end(stream, side)
    _, side = stage.terminal()
    assert size_of(side) == (130, 60)
    stage.mux.terminals.fit()
    assert (size_of(side), size_of(other)) == ((130, 60), shared)
    first.socket.close()
    stage.drive(lambda: size_of(side) == shared)


def test_a_watchers_size_counts_once_it_types(stage):
    _, side = stage.terminal()
    shared = size_of(side)
    first, second = stage.peer(), stage.peer()
    attach(first)  # without a screen: the size stays
    theirs = attach(second, columns=70, rows=20)
    second.ask("resize", {"stream": theirs["stream"], "columns": 71, "rows": 21})
    assert size_of(side) == shared
    first.socket.close()
    keyboard_of(second)
    second.send(request("input", {"stream": theirs["stream"], "text": "x"}))
    stage.drive(lambda: size_of(side) == (71, 21))


@pytest.mark.parametrize("size", [{"columns": -1, "rows": 1}, {"columns": 1, "rows": 65536}])
def test_a_size_that_no_terminal_has_is_a_wrong_parameter(stage, size):
    assert stage.peer().ask("attach", {"instance": "web.1", **size})["error"]["code"] == Code.INVALID_PARAMS


# ---- lives and slots


def test_a_new_life_is_followed(stage):
    stream, side = stage.terminal()
    peer = stage.peer()
    attached = attach(peer)
    stage.end(stream, side)
    assert keyboard_of(peer)["terminal"] is False
    assert "error" in type_into(peer, attached, "x")
    _, side = stage.terminal()
    assert keyboard_of(peer) | {"typist": None} == {"terminal": True, "yours": True, "typist": None, "room": LIMIT}
    assert type_into(peer, attached, "x")["result"] == {"taken": 1}
    assert stage.read(side, 1) == b"x"


def test_a_slot_that_is_removed_ends_its_streams_after_its_last_words(stage):
    stream, side = stage.terminal()
    peer = stage.peer()
    attached = attach(peer)
    os.write(side, b"bye")
    stage.end(stream, side)
    stage.mux.forget("web.1")
    told = [message["method"] for message in peer.messages(3)]
    assert told == ["output", "keyboard", "end"]
    assert type_into(peer, attached, "x")["error"]["message"].startswith("cannot do that")


def test_a_slot_of_the_same_name_that_comes_later_is_another(stage):
    """Also while somebody is attached to the first one, and has not been told of its end yet."""
    stream, side = stage.terminal()
    first, second = stage.peer(), stage.peer()
    attach(first, columns=100, rows=30)
    stage.end(stream, side)
    stage.mux.forget("web.1")
    _, side = stage.terminal()
    assert size_of(side) != (100, 30)
    theirs = attach(second, columns=70, rows=20)
    assert theirs["keyboard"]["yours"] is True
    assert theirs["kept"] == 0
    first.socket.close()
    stage.drive(lambda: len(stage.server._connections) == 1)
    assert size_of(side) == (70, 20)
    assert type_into(second, theirs, "x")["result"] == {"taken": 1}


def test_without_anybody_attached_nothing_is_kept(stage):
    stage.terminal()
    peers = [stage.peer() for _ in range(3)]
    for peer in peers:
        attach(peer)
    assert list(stage.mux.taps) == ["web.1"]
    for peer in peers:
        peer.socket.close()
    stage.drive(lambda: not stage.mux.taps)
    assert not stage.mux.terminals._followed


def test_procman_ends(stage):
    _, side = stage.terminal()
    peer = stage.peer()
    attach(peer)
    os.write(side, b"x")
    output_of(peer, 1)
    stage.close()
    assert peer.messages(1)[0]["method"] == "end"
    peer.wait_closed()


# ---- the tape


def test_a_tape_holds_the_newest_at_the_same_offsets():
    tape = Tape(b"seed\n")
    whole = b"seed\n"
    for n in range(3 * KEPT // 500):
        piece = b"%06d" % n + b"x" * 493 + b"\n"
        tape.append(piece)
        whole += piece
    assert tape.end == len(whole)
    assert KEPT <= tape.end - tape.start <= 2 * KEPT
    assert tape.read(tape.start, tape.end) == whole[tape.start :]
    newest = tape.newest()
    assert whole[newest - 1 : newest] == b"\n"
    assert tape.end - KEPT <= newest <= tape.end - KEPT + 500


def test_a_tape_without_any_line_begins_somewhere():
    tape = Tape(b"")
    tape.append(b"x" * 3 * attachments.KEPT)
    assert tape.newest() == tape.end - KEPT

"""`attach` and `input`: what each who is attached is told, and where what they type goes."""

import base64
import os
import time
from contextlib import suppress

import pytest
from attached import Stage, attach, keyboard_of, output_of, type_into
from served import change

from procman.control.codec import Code
from procman.core.view import Change, Kind
from procman.kernel.output import terminals as terminal
from procman.serve.attachments import CHANGES_KEPT, KEPT
from procman.serve.keyboard import LIMIT


@pytest.fixture
def stage(tmp_path):
    with Stage(tmp_path) as stage:
        yield stage


# ---- output


def test_the_last_output_comes_first_then_what_is_written_as_it_is(stage):
    stage.backend.history.append("web.1", 1.0, b"\x1b[2Jold\r\n")
    _, side = stage.terminal()
    os.write(side, b"half a li")
    stage.drive(lambda: stage.out.streams_of("web.1")[0].partial)
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
    assert refusal["message"] == "cannot type into web.1: it has no terminal, or is not running"


def test_a_type_with_one_instance_is_that_one(stage):
    stage.backend.formation = {"web": 1, "worker": 2, "idle": 0}
    peer = stage.peer()
    assert attach(peer, "web")["instance"] == "web.1"
    for word, message in {
        "worker": "cannot attach to worker: it has 2 instances",
        "idle": "cannot attach to idle: idle has no instance",
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
            written += os.write(side, (b"x" * 99 + b"\n") * 30)
        return written > 3_000_000

    stage.drive(fill)
    os.write(side, b"newest")
    [(slot,)] = stage.out._reader.taps.values()
    assert len(slot.tape._data) <= 2 * KEPT + terminal.CHUNK
    told, missed = peer.caught_up("newest")
    assert missed > 0
    assert told + missed == written + 6


def test_events_of_the_instance_come_where_they_happened(stage):
    stream, side = stage.terminal()
    peer = stage.peer()
    attach(peer)
    os.write(side, b"last words")
    stage.out.drain(stream)
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
    for n in range(CHANGES_KEPT + 7):
        stage.server.publish(float(count + n), change("y"))
    messages = [message["params"] for message in peer.messages(count + CHANGES_KEPT)]
    assert [m.get("missed", 0) for m in messages[count:]] == [7] + [0] * (CHANGES_KEPT - 1)


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


def test_who_only_watches_neither_types_nor_keeps_others_from_it(stage):
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


def type_and_leave(stage, text):
    first = stage.peer()
    type_into(first, attach(first), text)
    first.socket.close()
    stage.drive(lambda: not stage.server._streaming)


def test_what_was_typed_arrives_though_its_typist_has_left_and_another_types_on(stage):
    """One way to a terminal, however many are attached one after the other: nothing is lost, doubled or overtaken."""
    _, side = stage.terminal()
    type_and_leave(stage, "a" * 40_000)
    assert stage.out._reader.taps  # for what still waits
    second = stage.peer()
    theirs = attach(second)
    assert theirs["keyboard"]["yours"] is True
    assert type_into(second, theirs, "bb")["result"] == {"taken": 2}
    assert stage.read(side, 40_002) == b"a" * 40_000 + b"bb"
    second.socket.close()
    stage.drive(lambda: not stage.out._reader.taps)  # nothing is kept


def test_a_run_that_ends_takes_along_what_waits_for_it(stage):
    stream, side = stage.terminal()
    type_and_leave(stage, "a" * 40_000)
    master = stream.fd
    stage.end(stream, side)
    assert master not in stage.reactor._selector.get_map()
    assert not stage.out._reader.taps

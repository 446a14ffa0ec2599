"""An attachment over the sizes and runs of its instance, to the end of the slot; and the tape behind it."""

import os

import pytest
from attached import Stage, attach, keyboard_of, output_of, size_of, type_into
from served import request

from procman.control.codec import Code
from procman.serve.attachments import KEPT, Tape
from procman.serve.keyboard import LIMIT


@pytest.fixture
def stage(tmp_path):
    with Stage(tmp_path) as stage:
        yield stage


# ---- sizes


def test_the_terminal_has_the_size_of_the_typists_screen_in_every_run(stage):
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
    stage.out.terminals.fit()
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


# ---- runs and slots


def test_a_new_run_is_followed(stage):
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
    stage.out.forget("web.1")
    told = [message["method"] for message in peer.messages(3)]
    assert told == ["output", "keyboard", "end"]
    assert type_into(peer, attached, "x")["error"]["message"].startswith("cannot do that")


def test_a_slot_of_the_same_name_that_comes_later_is_another(stage):
    """Also while somebody is attached to the first one, and has not been told of its end yet."""
    stream, side = stage.terminal()
    first, second = stage.peer(), stage.peer()
    attach(first, columns=100, rows=30)
    stage.end(stream, side)
    stage.out.forget("web.1")
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
    assert list(stage.out._reader.taps) == ["web.1"]
    for peer in peers:
        peer.socket.close()
    stage.drive(lambda: not stage.out._reader.taps)
    assert not stage.out.terminals._followed


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
    tape.append(b"x" * 3 * KEPT)
    assert tape.newest() == tape.end - KEPT

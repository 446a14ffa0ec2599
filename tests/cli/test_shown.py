"""What is left out of the output of the past, and what is undone on a screen."""

import os

import pytest

from procman.app.output import counts_of
from procman.cli.attach.screen_state import LEAVE_SCREEN, USUAL, USUAL_KEYS, ScreenState, without_queries
from procman.config.load import Options, load


@pytest.mark.parametrize(
    "query",
    [
        b"\x1b[c",
        b"\x1b[>0c",
        b"\x1b[=c",
        b"\x1bZ",
        b"\x1b[5n",
        b"\x1b[?6n",
        b"\x1b[0x",
        b"\x1b[?2026$p",
        b"\x1b[>q",
        b"\x1b[?u",
        b"\x1b[?4m",
        b"\x1b[18t",
        b"\x1b[8;24;80t",
        b"\x1bP$qm\x1b\\",
        b"\x1bP+q544e\x1b\\",
        b"\x1b]11;?\x07",
        b"\x1b]4;1;?\x1b\\",
        b"\x1b]52;c;?\x07",
        b"\x05",
        b"\x07",
    ],
)
def test_what_a_terminal_would_answer_or_ring_for_is_left_out(query):
    assert without_queries(b"a" + query + b"b") == b"ab"


@pytest.mark.parametrize(
    "data",
    [
        b"\x1b[31mred\x1b[0m\r\n\xc3\xa9",
        b"\x1b[2J\x1b[1;1H\x1b[?1049h\x1b[?25l\x1b[4;20r\x1b[0 q",
        b"\x1b]0;a title\x07text",  # with the BEL that ends it
        b"\x1b]8;;http://host/?q=1\x1b\\link\x1b]8;;\x1b\\",
        b"\x1b]11;#ffffff\x07",
        b"is it n? c u",
    ],
)
def test_everything_else_stays(data):
    assert without_queries(data) == data


class Pages:
    """What went to standard output (a terminal) and standard error."""

    def __init__(self, monkeypatch, *, terminal):
        self.out, self.err = b"", b""
        monkeypatch.setattr(os, "write", self._write)
        monkeypatch.setattr(os, "isatty", lambda _fd: terminal)

    def _write(self, fd, data):
        data = bytes(data[:7])  # a little at a time
        if fd == 1:
            self.out += data
        else:
            self.err += data
        return len(data)


@pytest.fixture
def pages_of(monkeypatch):
    return lambda *, terminal: Pages(monkeypatch, terminal=terminal)


def test_bytes_of_a_terminal_pass_as_they_are_and_those_of_a_pipe_get_their_returns(pages_of):
    pages = pages_of(terminal=True)
    shown = ScreenState(raw=True)
    shown.write(b"one\r\ntwo\n", terminal=True)
    shown.write(b"three\n", terminal=False)
    assert pages.out == b"one\r\ntwo\nthree\r\n"


def test_a_note_stands_in_a_line_of_its_own(pages_of):
    pages = pages_of(terminal=True)
    shown = ScreenState(raw=True)
    shown.print_line("one\x1b[2J")
    shown.write(b"(Pdb) ", terminal=True)
    shown.print_line("two")
    shown.raw = False
    shown.write(b"x", terminal=True)
    shown.end_line()
    shown.end_line()
    assert pages.out == b"[procman: one]\r\n(Pdb) \r\n[procman: two]\r\nx\n"
    assert pages.err == b""


def test_notes_are_not_mixed_into_output_that_goes_elsewhere(pages_of):
    pages = pages_of(terminal=False)
    shown = ScreenState(raw=False)
    shown.write(b"half", terminal=False)
    shown.print_line("note")
    shown.end_line()
    shown.undo()
    assert (pages.out, pages.err) == (b"half", b"[procman: note]\n")


@pytest.mark.parametrize(
    ("data", "undone"),
    [
        (b"plain\r\n", b""),
        (b"\x1b[31mred", USUAL),
        (b"\x0e", USUAL),
        (b"\x1b[?1049h", LEAVE_SCREEN + USUAL),
        (b"\x1b[?25;1049h\x1b[2J", LEAVE_SCREEN + USUAL),
        (b"\x1b[?1049h\x1b[?1049l", USUAL),
        (b"\x1b[>4;2m", USUAL_KEYS + USUAL),
        (b"\x1b[>1u\x1b[?47h", LEAVE_SCREEN + USUAL_KEYS + USUAL),
    ],
)
def test_what_a_program_did_to_the_screen_is_undone_once(pages_of, data, undone):
    for cut in range(len(data)):
        pages = pages_of(terminal=True)
        shown = ScreenState(raw=True)
        shown.write(data[:cut], terminal=True)  # a sequence may come in pieces
        shown.write(data[cut:], terminal=True)
        shown.undo()
        shown.undo()
        assert pages.out == data + undone


@pytest.mark.parametrize(
    ("types", "told"),
    [
        (2, "t0 1 (port 5000), t1 1 (port 5100)"),
        (12, "t0 1 (port 5000), t1 1 (port 5100), "),
        (13, "13 types, 13 instances, ports from 5000"),
    ],
)
def test_the_first_line_names_the_types_unless_they_are_many(tmp_path, monkeypatch, types, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Procfile").write_text("".join(f"t{n}: x\n" for n in range(types)))
    assert counts_of(load(Options(), {})).startswith(told)

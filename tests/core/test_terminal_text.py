"""What of a terminal's bytes is shown among the lines of others."""

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from procman.text.ansi import SharedView, visible

ESC = "\x1b"


def shown(text: str, *, color: bool = True) -> str:
    return visible(text.encode(), color=color).decode()


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("plain\n", "plain\n"),
        ("two\r\nlines\r\n", "two\nlines\n"),
        ("\ttabs stay\n", "\ttabs stay\n"),
        (f"{ESC}[1;31mred{ESC}[0m\r\n", f"{ESC}[1;31mred{ESC}[0m\n"),
        (f"{ESC}[38:2::1:2:3mtrue colour{ESC}[m\n", f"{ESC}[38:2::1:2:3mtrue colour{ESC}[m\n"),
        (f"{ESC}[>4;2mkeyboard\n", "keyboard\n"),
        (f"{ESC}[?25lhidden cursor{ESC}[?25h\n", "hidden cursor\n"),
        (f"{ESC}[?2004hpaste{ESC}[?2004l\n", "paste\n"),
        (f"{ESC}[6n{ESC}[c{ESC}[>0c{ESC}Zquestions\n", "questions\n"),
        (f"{ESC}]0;a title\x07text\n", "text\n"),
        (f"{ESC}]0;a title{ESC}\\text\n", "text\n"),
        (f"{ESC}]8;;http://x{ESC}\\link{ESC}]8;;{ESC}\\\n", "link\n"),
        (f"{ESC}]0;Grüße ✜ 中{ESC}\\text\n", "text\n"),
        (f"{ESC}]0;no end\r\ntext\n", "\ntext\n"),
        (f"{ESC}P1$r0m{ESC}\\dcs\n", "dcs\n"),
        (f"{ESC}(B{ESC})0{ESC}=charsets\x0e\x0f\n", "charsets\n"),
        (f"{ESC}7{ESC}8{ESC}Mcursor\n", "cursor\n"),
        ("bell\x07 back\x00\b page\x0c\x7f\n", "bell bac page\n"),
        ("\x9b31mC1\x9d0;title\x9c\x85 end\n", "C1\ufffd end\n"),
        (f"torn {ESC}[31\ntorn {ESC}\n", "torn \ntorn \n"),
        (f"{ESC}{ESC}[2Jtwice\n", "twice\n"),
        ("no newline", "no newline"),
        ("Grüße £ 中 🎉\n", "Grüße £ 中 🎉\n"),
    ],
)
def test_only_colours_pass(written, seen):
    assert shown(written) == seen


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("\r 1%\r 50%\r 100%\r\n", " 100%\n"),
        (" 1%\r 100%\n", " 100%\n"),
        (f"50%\r{ESC}[Kdone\r\n", "done\n"),
        (f"100%\r{ESC}[K\r\n", "100%\n"),
        (f"{ESC}[32m100%\r{ESC}[0m\n", f"{ESC}[32m100%\n"),
        (f"⠋ a{ESC}[2K{ESC}[1G⠙ a{ESC}[2K{ESC}[Gdone\n", "done\n"),
        (f"{ESC}[2J{ESC}[3J{ESC}[Hfresh\n", "fresh\n"),
        (f"old{ESC}cfresh\n", "fresh\n"),
        (f"~{ESC}[24;1H~{ESC}[2;5fend\n", "end\n"),
        (f"{ESC}[1A{ESC}[2Kabove\n", "above\n"),
        (f"a\rb{ESC}[?1049h\nnext\n", "b\nnext\n"),
        (f"to the {ESC}[Kright\n", "to the right\n"),
        ("a\rb\nc\n\rd\n", "b\nc\nd\n"),
        ("loading 9\b\b\b\b\b\b\b\b\bloading 10\r\n", "loading 10\n"),
        ("build |\b/\b-\b\\\bdone\n", "build done\n"),
        ("N\bNA\bAM\bME\bE _\bü_\b中\n", "NAME ü中\n"),
        ("kept\b\b\b\b\r\nkept\b\n", "kept\nkept\n"),
        ("a\rb\b\b\bc\n", "c\n"),
        (f"{ESC}[32m|{ESC}[0m\b{ESC}[33m/{ESC}[0m\bok\n", f"{ESC}[32m{ESC}[m{ESC}[33m{ESC}[mok\n"),
        ("\r\r\n", "\n"),
        ("a\r\r\n", "a\n"),
    ],
)
def test_of_a_line_that_is_drawn_again_the_last_state_is_left(written, seen):
    assert shown(written) == seen


def test_without_colours_nothing_but_text_is_left():
    assert shown(f"{ESC}[1;31mred{ESC}[0m\r\n", color=False) == "red\n"


PIECES = st.sampled_from(
    [
        *(
            b"text",
            b" ",
            b"\r",
            b"\n",
            b"\r\n",
            b"\n\n\n",
            b"\x1b",
            b"\x1b[",
            b"\x1b]0;",
            b"\x1b\\",
            b"\x07",
            b"\x1b[31m",
        ),
        *(
            b"\x1b[2J",
            b"\x1b[H",
            b"\x1b[?1049h",
            b"\x1b[0",
            b";1",
            b"m",
            b"\xc2",
            b"\x9b",
            b"\x9d",
            b"\xc2\x9b",
            b"\x18",
        ),
        *("ü".encode(), b"\xff", b"\x00", b"\b"),
    ]
)
RAW = st.lists(PIECES | st.binary(max_size=3), max_size=40).map(b"".join)
SGR = re.compile(rb"\x1b\[[0-9;:]*m")
UNSAFE = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")


@given(RAW)
@example(b"\xc2\x07\x9b31m\n")
@example(b"\xc2\xc2\x9b1m\x9b31m\n")
@example(b"\x1b\x1b[2J[31m\n")
def test_nothing_that_moves_a_cursor_is_ever_left(raw):
    assert not UNSAFE.search(visible(raw, color=False).removesuffix(b"\r"))
    assert not UNSAFE.search(SGR.sub(b"", visible(raw, color=True)))


@given(RAW)
def test_as_many_lines_come_out_as_go_in(raw):
    assert visible(raw, color=True).count(b"\n") == raw.count(b"\n")


@given(RAW.filter(bool), st.data())
def test_how_the_lines_came_in_chunks_does_not_matter(raw, data):
    raw += b"\n"
    lines = re.findall(rb"[^\n]*\n", raw)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(lines)), max_size=6)) | {0, len(lines)})
    pieces = SharedView(color=True)
    found = b"".join(pieces.lines(b"".join(lines[a:b])) for a, b in itertools.pairwise(cuts))
    assert found == SharedView(color=True).lines(raw)


# ---- prompts and empty lines


def test_a_prompt_becomes_a_line_and_what_follows_another():
    view = SharedView(color=True)
    assert view.prompt(b">>> ") == b">>> \n"
    assert view.lines(b">>> 1+1\r\n2\r\n") == b"1+1\n2\n"


def test_nothing_follows_a_prompt_that_was_answered_unseen():
    view = SharedView(color=True)
    assert view.prompt(b"Password: ") == b"Password: \n"
    assert view.lines(b"Password: \r\nwelcome\r\n") == b"welcome\n"


def test_only_the_first_part_of_an_unfinished_line_is_shown():
    view = SharedView(color=True)
    assert view.prompt(b".") == b".\n"
    assert view.prompt(b"...") == b""
    assert view.lines(b"... done\n") == b".. done\n"
    assert view.prompt(b"next") == b"next\n"


def test_a_spinner_of_backspaces_is_one_line_and_a_counter_a_line_for_each_number():
    view = SharedView(color=True)
    assert view.prompt(b"build |") == b"build |\n"
    assert view.prompt(b"build |\b/\b-") == b""
    assert view.prompt(b"build |\b/\b-\b1%") == b"1%\n"
    assert view.lines(b"build |\b/\b-\b1%\b\bdone\r\n") == b"done\n"


@pytest.mark.parametrize(
    "torn", [b"\x1b", b"\x1b[", b"\x1b[31", b"\x1b]0;tit", b"\x1b]0;title\x1b", b"\xc3", b"\xe2\x82"]
)
def test_what_is_torn_at_the_end_of_a_prompt_waits_for_its_rest(torn):
    view = SharedView(color=True)
    assert view.prompt(b"name" + torn) == b"name\n"
    assert view.shown == len(b"name")


@pytest.mark.parametrize("empty", [b"", b"   ", b"\x1b[?25l", b"\x1b[31m", b"\x1b[6n", b"\x1b]0;tit"])
def test_an_unfinished_line_without_text_is_no_prompt(empty):
    view = SharedView(color=True)
    assert view.prompt(empty) == b""
    assert view.shown == 0


def test_a_whole_title_before_a_prompt_is_no_torn_one():
    assert SharedView(color=True).prompt("\x1b]0;t\x1b\\\x1b]0;t\x07é $ ".encode()) == "é $ \n".encode()


def test_several_empty_lines_are_shown_as_one():
    view = SharedView(color=True)
    assert view.lines(b"\r\n" * 30) == b"\n"
    assert view.lines(b"\n\n") == b""
    assert view.lines(b"\x1b[1;1H\x1b[0J\nVITE\n\n\n") == b"VITE\n\n"
    assert view.lines(b"\nready\n") == b"ready\n"

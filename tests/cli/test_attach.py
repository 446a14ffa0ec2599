"""`procman attach` at a terminal, of a scripted procman: what it asks for, and what it makes of the answers."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys

import pexpect
import pytest
from scripted import NOW, fleet, happened, instance

from procman.cli.attach.session import BETWEEN_RUNS
from procman.control import codec
from procman.control.codec import Error, ErrorData
from procman.control.messages import Attached, Keyboard, KeyboardChanged, Output, Taken, Typist
from procman.core.view import Kind

MINE = Keyboard(terminal=True, yours=True, typist=Typist(4242, NOW), room=65536)
THEIRS = Keyboard(terminal=True, yours=False, typist=Typist(4242, NOW), room=65536)
FREE = Keyboard(terminal=True, yours=False, typist=None, room=65536)
NONE = Keyboard(terminal=False, yours=True, typist=Typist(4242, NOW), room=0)


class Person:
    """Somebody at a terminal who is attached."""

    def __init__(self, script, *args, keyboard=MINE, kept=0, told=()):
        self.script = script
        script.fleets = [fleet(instance("web.1", pid=1))]
        script.answers["attach"] = Attached(1, "web.1", kept, keyboard)
        script.stream = list(told)
        script.answers["input"] = Taken(1000)
        script.answers["resize"] = keyboard
        self.child = pexpect.spawn(
            sys.executable, ["-m", "procman", "attach", "web.1", *args], timeout=20, dimensions=(30, 90)
        )

    def sees(self, text):
        """Wait for this; returns what was shown since the last one."""
        self.child.expect_exact(text)
        return self.child.before.decode()

    def types(self, keys):
        self.child.send(keys)

    def leaves(self):
        self.types("\x1d")
        rest = self.child.read().decode()
        self.child.wait()
        assert self.child.exitstatus == 0
        return rest

    def asked(self, method):
        return [params for name, params in self.script.asked if name == method]

    def has_typed(self, count):
        """Wait for so many requests; what is in the last."""
        with self.script.asked_event:
            assert self.script.asked_event.wait_for(lambda: len(self.asked("input")) >= count, timeout=20)
        assert len(self.asked("input")) == count
        return base64.b64decode(self.asked("input")[-1]["base64"])

    def close(self):
        self.child.close(force=True)


@pytest.fixture
def person(script):
    made = []

    def sit(*args, **how):
        made.append(Person(script, *args, **how))
        if not how.get("kept"):  # else it is told behind what was written before
            made[-1].sees(" detaches]\r\n")
        return made[-1]

    yield sit
    for each in made:
        each.close()


def output(text, **more):
    return Output(1, "web.1", NOW, text, **more)


def test_it_asks_with_the_size_of_its_screen_and_tells_a_new_one(person):
    at = person("--read-only")
    assert at.asked("attach") == [{"instance": "web.1", "read_only": True, "columns": 90, "rows": 30}]
    at.child.setwinsize(40, 120)
    at.script.wait_for("resize")
    assert at.asked("resize") == [{"stream": 1, "columns": 120, "rows": 40}]


def test_output_of_the_past_comes_without_questions_and_what_follows_as_it_is(person):
    last = Output(1, "web.1", NOW, base64=base64.b64encode(b"\xff.").decode())
    at = person(kept=10, told=[output("one\x1b["), output("6ntwo\x1b[6n"), last])
    at.sees(" detaches]\r\n")
    at.child.expect_exact(b"\xff.")
    assert at.child.before == b"onetwo\x1b[6n"


def test_how_to_leave_is_told_behind_what_was_written_before_and_in_front_of_its_prompt(person):
    past = "old\r\n" * 100 + "> "
    at = person(kept=len(past), told=[output(past)])
    assert at.sees("attached to web.1; Ctrl-] detaches]\r\n").count("old") == 100
    at.script.tell(output("typed."))
    assert at.sees("typed.") == "> "


def test_only_the_terminal_of_the_one_who_types_is_asked_questions(person):
    at = person(keyboard=THEIRS)
    at.script.tell(output("one\x1b[6ntwo."))
    assert at.sees("two.") == "one"


def test_a_gap_is_told(person):
    at = person(kept=100_000, told=[output("\x1b[cnew.", missed=100_000)])
    assert "100000 bytes of output are skipped" in at.sees("new.")


def test_what_was_not_taken_is_typed_again_once_there_is_room(person):
    at = person()
    at.script.answers["input"] = Taken(2)
    at.types("abcdef")
    assert at.has_typed(1) == b"abcdef"
    at.types("g")
    at.script.tell(output("seen."))
    at.sees("seen.")
    at.script.answers["input"] = Taken(5)
    at.script.tell(KeyboardChanged(1, MINE))
    assert at.has_typed(2) in (b"cdef", b"cdefg")


def test_somebody_else_was_faster(person):
    at = person(keyboard=FREE)
    at.script.answers["input"] = Error(codec.Code.REFUSED.value, "cannot type", ErrorData())
    at.types("x")
    at.has_typed(1)
    at.script.tell(KeyboardChanged(1, THEIRS), output("seen."))
    at.sees("seen.")
    at.types("y")
    at.sees("[procman: cannot type into web.1: pid 4242 (since ")
    at.script.answers["input"] = Taken(1)
    at.script.tell(KeyboardChanged(1, FREE))
    at.sees("you can type into web.1 now: the other client has detached]")
    at.types("z")
    assert at.has_typed(2) == b"z"


def test_what_is_typed_too_far_ahead_is_told_to_be_lost(person):
    at = person()
    at.script.answers["input"] = Taken(0)
    for _ in range(100):
        at.types("x" * 1000)
    at.sees("web.1 reads nothing: what is typed is lost until it does]")
    at.leaves()


@pytest.mark.parametrize("kind", Kind)
def test_what_happens_while_a_program_has_the_screen_leaves_it_alone(person, kind):
    at = person()
    at.script.tell(happened(kind, "a text", instance="web.1"), output("seen."))
    assert ("[procman: a text]" in at.sees("seen.")) == (kind in BETWEEN_RUNS)


def test_keys_typed_between_two_runs_are_the_last_ones(person):
    at = person()
    at.script.answers["input"] = Taken(0)
    at.types("old")
    at.has_typed(1)
    at.script.tell(KeyboardChanged(1, NONE), output("seen."))
    at.sees("seen.")
    at.types("x\x03")  # which would leave somebody who never could type
    at.sees("cannot type into web.1: it has no terminal, or is not running; Ctrl-] detaches]")
    at.script.answers["input"] = Taken(3)
    at.script.tell(KeyboardChanged(1, MINE), output("new."))
    at.sees("new.")
    at.types("new")
    assert at.has_typed(2) == b"new"


def piping(script, *, keyboard=MINE):
    """`procman attach` with a pipe as standard input, which holds a line and is at its end."""
    script.fleets = [fleet(instance("web.1", pid=1))]
    script.answers["attach"] = Attached(1, "web.1", 0, keyboard)
    child = subprocess.Popen([sys.executable, "-m", "procman", "attach", "web.1"], stdin=-1, stdout=-1, stderr=-1)
    child.stdin.write(b"a line\n")
    child.stdin.close()
    child.stdin = None
    return child


def test_what_is_piped_in_is_typed_and_its_end_leaves(script):
    script.answers["input"] = Taken(7)
    child = piping(script)
    out, err = child.communicate(timeout=20)
    assert (child.returncode, out, err) == (0, b"", b"[procman: attached to web.1; Ctrl-C detaches]\n")
    assert [params["base64"] for name, params in script.asked if name == "input"] == ["YSBsaW5lCg=="]


def test_what_is_piped_in_and_not_taken_before_the_instance_ends_is_an_error(script):
    script.answers["input"] = Taken(3)
    child = piping(script)
    script.wait_for("input")
    script.tell(KeyboardChanged(1, NONE))
    _, err = child.communicate(timeout=20)
    assert child.returncode == 1
    assert err.endswith(b"procman: cannot type into web.1: it has no terminal, or is not running\n")


def test_what_is_piped_in_while_somebody_else_types_is_an_error(script):
    child = piping(script, keyboard=THEIRS)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 1
    assert b"procman: cannot type into web.1: pid 4242 (since " in err


def test_what_a_newer_procman_tells_is_passed_over(person):
    at = person()
    at.script._watchers[-1].sendall(b'{"jsonrpc":"2.0","method":"weather","params":{"stream":1}}\n')
    at.script.tell(output("seen."))
    at.sees("seen.")


def test_a_client_that_is_killed_leaves_no_process(person):
    at = person()
    at.child.kill(signal.SIGKILL)
    at.child.expect(pexpect.EOF)  # nobody has the terminal open any more

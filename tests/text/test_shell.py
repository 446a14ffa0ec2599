"""A command line becomes words, or a shell's line whose program takes the shell's place where that changes nothing else."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procman.text.shell import argv, ends_in_background, is_led_by_shell, is_pipeline
from procman.text.shellline import may_exec, with_exec

if TYPE_CHECKING:
    from pathlib import Path

SHELLS = [path for path in map(shutil.which, ("dash", "bash")) if path]


def executed(line: str) -> str | None:
    """The line with exec in it; None where the shell stays."""
    words = argv(line, "/bin/sh")
    return words[2] if len(words) > 2 and words[2] != line else None


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("gunicorn app:app -b 127.0.0.1:$PORT", "exec gunicorn app:app -b 127.0.0.1:$PORT"),
        ("NODE_ENV=production node app.js", "NODE_ENV=production exec node app.js"),
        ("A=1 B='x y' node \"$X\"", "A=1 B='x y' exec node \"$X\""),
        ("PATH=/opt/bin tool", "PATH=/opt/bin exec tool"),
        ("gunicorn --workers $(nproc) app", "exec gunicorn --workers $(nproc) app"),
        ("gunicorn --workers `nproc` app", "exec gunicorn --workers `nproc` app"),
        ("serve ${PORT:-8000}", "exec serve ${PORT:-8000}"),
        ("$HOME/bin/a -p $PORT", "exec $HOME/bin/a -p $PORT"),
        ('A=1 "${VENV}"/bin/a', 'A=1 exec "${VENV}"/bin/a'),
        ('"$HOME/my-bin/a" b', 'exec "$HOME/my-bin/a" b'),
        ('serve "${DIR}/$(date +%F)"', 'exec serve "${DIR}/$(date +%F)"'),
        ("serve *.conf", "exec serve *.conf"),
        ("serve 2>&1", "exec serve 2>&1"),
        ("serve $A > log 2>&1", "exec serve $A > log 2>&1"),
        ("'./my server' -v", "exec './my server' -v"),
        ("~/bin/serve $A", "exec ~/bin/serve $A"),
        ("serve $A # the web", "exec serve $A # the web"),
        ("serve ';' \\& '|'", "exec serve ';' \\& '|'"),
        ("serve 'cd a && b'", "exec serve 'cd a && b'"),
    ],
)
def test_a_line_that_needs_a_shell_only_for_words_becomes_its_program(line, becomes):
    assert executed(line) == becomes


@pytest.mark.parametrize(
    "line",
    [
        "cd app && serve $A", "a $X | b", "a $X; b", "a $X &", "a $X || b", "(a $X)", "{ a $X; }", "a $X\nb $Y",
        "a <<E", "a <(b)", "a >(b) $X", "a $X &> log",
        "cd $X", "exec a $X", "echo $X", "[ -f $X ]", "[[ -f $X ]]", "test $X", "export A=$X", ". ./env $X", ": $X",
        "command a $X", "eval $X", "ulimit -n $X", "trap '' HUP", "time a $X", "! a $X", "if $X", "wait $X", "\\cd $X",
        "'cd' $X", "type $X",
        "$CMD a", "${CMD} a", '"$CMD" a', "$(which a) b", "`which a` b", "a$X b", "$HOME b", "$X$Y/a b", "${X:-y}/a b", "$X/* b", "./b* $X",
        "A=1", "A=$X", "A=1 B=$A c", "A=1 a $A", "A=1 $A/a", "A=1 a ${A}", 'A=1 a "${A:-x}"', "A+=1 a", "A[0]=1 a",
        "# a $X", "",  "a 'b", 'a "b', "a $(b", "a ${b", "a \\", "a $'b'", 'a $"b"',
        "a $(case x in x) b;; esac)", "a $(b # c)", "a ${b:-'}'}", "-a $X", "a\rb $X",
    ],
)  # fmt: skip
def test_what_is_more_than_words_is_left_to_the_shell(line):
    assert executed(line) is None


@pytest.mark.parametrize("shell", ["/bin/zsh", "/usr/bin/fish", "/opt/my-sh", "/bin/csh"])
def test_a_shell_with_another_grammar_gets_its_line_as_it_is(shell):
    assert argv("serve $PORT", shell) == [shell, "-c", "serve $PORT"]


def test_a_function_that_bash_takes_from_the_environment_is_not_passed_over():
    assert may_exec("serve $A", "/bin/bash")
    assert not may_exec("serve $A", "/bin/bash", {"BASH_FUNC_serve%%"})
    assert may_exec("serve $A", "/bin/bash", {"BASH_FUNC_other%%"})
    assert not may_exec("serve $A", "/bin/bash", {"BASH_ENV"})


def test_further_arguments_are_the_programs():
    assert argv("serve $A", "/bin/sh", ["a b"], "web") == ["/bin/sh", "-c", 'exec serve $A "$@"', "web", "a b"]


# ---- against real shells


PROBE = """#!/bin/sh
printf '%s;' "$#" "$@"
printf '%s;' "${A-unset}" "${B-unset}" "$(cat)"
echo oops >&2
exit 7
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a program that tells what it was given, and some files."""
    folder = tmp_path_factory.mktemp("bench")
    for name in ("probe", "my probe"):
        (folder / name).write_text(PROBE)
        (folder / name).chmod(stat.S_IRWXU)
    (folder / "x.txt").write_text("")
    return folder


def outcome(shell: str, line: str, folder: Path) -> tuple[int, bytes, bytes]:
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "X": "a  b", "Y": "*", "A": "outer", "EMPTY": ""}
    env["HERE"] = str(folder)
    done = subprocess.run([shell, "-c", line], cwd=folder, env=env, capture_output=True, stdin=subprocess.DEVNULL)
    output = re.sub(rb"(?m)^(_|SHLVL)=.*\n", b"", done.stdout)  # of `env`: what bash counts and executed last
    return done.returncode, output, done.stderr.replace(os.fsencode(folder), b".")  # bash's exec makes a path whole


PARTS = [
    "probe", "./probe", "'my probe'", "nosuch", "A=1", "B=2", "B=$X", 'B="$X"', "B=$A", "A=$B", "A=", "a", "'b c'", '"$X"', "$X",
    "$Y", "$EMPTY", "*.txt", "\\$X", "${X:-y}", "${NONE:-z}", '"${NONE}"', "$(echo q w)", '"$(echo q w)"', "`echo e`", "#c", "x#y",
    "~", "2>&1", ">/dev/null", "2>/dev/null", "<probe", "> out", "&&", ";", "|", "cd", "echo", "env", "-n", "!", "{", "}", "[", "a=b",
    "PATH=/nowhere", "$HERE/probe", '"${HERE}/probe"', "$NONE/probe", "HERE=", "$((1+2))", "'", '"', "\\", "$'x'", "{a,b}",
]  # fmt: skip


@pytest.mark.processes
@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.sampled_from(PARTS), min_size=1, max_size=6))
def test_with_exec_a_line_does_what_it_did_without(shell, bench, parts):
    line = " ".join(parts)
    if not may_exec(line, shell):
        return
    before, after = outcome(shell, line, bench), outcome(shell, with_exec(line), bench)
    assert after[0] == before[0]
    if before[0] not in (126, 127):  # whose wording is the shell's own
        assert after == before


@pytest.mark.processes
@pytest.mark.parametrize("shell", SHELLS)
def test_the_process_is_the_program(shell, bench):
    line = argv("A=1 sleep ${NONE:-30}", shell)
    with subprocess.Popen([*line], cwd=bench) as process:
        try:
            while True:
                with open(f"/proc/{process.pid}/cmdline", "rb") as file:
                    if file.read() == b"sleep\x0030\x00":
                        break
                assert process.poll() is None
        finally:
            process.kill()


@pytest.mark.parametrize(
    "line",
    [
        "false | true",
        "false 2>&1 | cat",
        "cd / && false | true",
        "A=1 exec false | true",
        "false | true || false",
        "(false | true)",
        "false 'a' | \"cat\"",
        "false | true;",
        "true & false | true # c",
        "echo $(true | true) >/dev/null; false | true",
    ],
)
def test_a_pipeline_hides_how_its_first_part_ended(line):
    assert is_pipeline(line)
    assert subprocess.run(["/bin/sh", "-c", line], stdin=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.parametrize(
    "line",
    [
        "a || b",
        "echo 'a | b'",
        'echo "a | b"',
        'echo "$(a | b)"',
        "echo `a | b`",
        "a | b; c",
        "a | b && c",
        "a | b &",
        "a > x # | b",
        "a >| b",
        "a \\| b",
        "case $x in a|b) c;; esac",
        "set -o pipefail; a | b",
        "bash -o pipefail -c 'a | b'",
    ],
)
def test_other_lines_have_a_status_of_their_own(line):
    assert not is_pipeline(line)


@pytest.mark.parametrize(
    "line",
    ["a &", "a&", "a & b &", "nohup a > o 2>&1 &", "a & # b", "(a &)", "{ a & }", "a &;", "a | b &", "echo 'x' &  "],
)
def test_a_line_that_its_shell_does_not_wait_for(line):
    assert ends_in_background(line)


@pytest.mark.parametrize(
    "line",
    [
        "a",
        "a && b",
        "a & wait",
        "a & b",
        'echo "a &"',
        "echo a\\&",
        "a >& b",
        "a # b &",
        "a |& b",
        "echo $(a &)",
        "a &&",
    ],
)
def test_a_line_that_its_shell_waits_for(line):
    assert not ends_in_background(line)


@pytest.mark.parametrize(
    "command",
    [
        "exec python3 -c 'import time; time.sleep(9)'",
        "cd app && exec celery -A shop worker",
        "export A=1; B=2 exec celery -A shop worker",
        "test -f new && exec ./new || exec ./old",
        'cd app\nexec "$HOME/bin/web"',
        "cd app && exec gunicorn app:app >>log 2>&1",
    ],
)
def test_a_shell_that_becomes_the_program_does_not_lead(command: str) -> None:
    assert not is_led_by_shell(command)


@pytest.mark.parametrize(
    "command",
    [
        "cd app && celery -A shop worker",
        "exec celery -A shop worker | tee log",
        "exec celery -A shop worker &",
        "(cd app && exec celery -A shop worker)",
        "{ cd app; exec celery -A shop worker; }",
        "if test -f new; then exec ./new; fi",
        "cd app && exec bash run.sh",
        'exec bash -c "$COMMAND"',
        "exec 3<settings; celery -A shop worker",
    ],
)
def test_a_shell_that_stays_leads(command: str) -> None:
    assert is_led_by_shell(command)

"""`procman run`: what is executed, and how that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from procman.cli.one_off import one_off
from procman.config.load import OneOffInputs
from procman.core.spec import ProcessSpec

MAIN = [sys.executable, "-c", "from procman.cli import main; main()", "run"]


def argv_of(*words, command=None):
    spec = command and ProcessSpec(type=words[0], command=command, cwd="/", env={})
    return one_off(OneOffInputs(spec, {}, "/"), "/bin/sh", words).argv


@pytest.mark.parametrize(
    ("words", "argv"),
    [
        (["ls"], ["ls"]),
        (["ls", "-c", "a b"], ["ls", "-c", "a b"]),
        (["my tool", "x"], ["my tool", "x"]),
        (["ls -l /"], ["ls", "-l", "/"]),
        (["env | sort"], ["/bin/sh", "-c", "env | sort"]),
        (["cd /"], ["/bin/sh", "-c", "cd /"]),
    ],
)
def test_a_command_is_executed_as_it_was_typed(words, argv):
    assert argv_of(*words) == argv


def test_a_plain_type_is_executed_directly_with_further_arguments():
    assert argv_of("web", "--port", "1", command="./web -v") == ["./web", "-v", "--port", "1"]


def test_a_type_that_needs_a_shell_gets_its_arguments_quoted():
    argv = argv_of("release", "a b", command="cd db && ./migrate")
    assert argv == ["/bin/sh", "-c", 'cd db && ./migrate "$@"', "release", "a b"]


def run(folder, *args, **options):
    environ = {**os.environ, "PYTHONPATH": "", "PORT": "5000"}
    return subprocess.run([*MAIN, *args], cwd=folder, env=environ, capture_output=True, text=True, **options)


def test_it_runs_with_its_name_and_without_a_port(nobody):
    assert run(nobody, "sh", "-c", "echo $PS-${PORT-none}").stdout == "run.1-none\n"


@pytest.mark.parametrize(
    ("command", "noted"),
    [("echo $PORT", True), ('echo "${PORT}"', True), ("echo ${PORT:-80}", False), ("echo $PORTS", False)],
)
def test_it_says_that_a_type_that_reads_port_has_none(nobody, command, noted):
    (nobody / "Procfile").write_text(f"web: {command}\n")
    said = "procman: a one-off has no PORT; `procman start web` runs the type with its port\n"
    assert run(nobody, "web").stderr == (said if noted else "")


def test_another_shell_is_used_for_a_command_of_its_own_too(nobody):
    assert run(nobody, "--shell", "/bin/echo", "a | b").stdout == "-c a | b\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_it_runs_with_a_standard_descriptor_closed(nobody, closed):
    line = " ".join(f"'{word}'" for word in [*MAIN, "sh", "-c", "echo ran > out"])
    assert subprocess.run(["sh", "-c", f"{line} {closed}"], cwd=nobody, capture_output=True).returncode == 0
    assert (nobody / "out").read_text() == "ran\n"


def test_no_procfile_is_needed(tmp_path):
    assert run(tmp_path, "echo", "hi").stdout == "hi\n"


def test_its_exit_code_is_the_commands(nobody):
    assert run(nobody, "exit 7").returncode == 7


def test_its_death_by_a_signal_is_the_commands(nobody):
    assert run(nobody, "kill -TERM $$").returncode == -signal.SIGTERM


def test_options_after_the_command_are_the_commands(nobody):
    assert run(nobody, "echo", "--help", "-f", "--", "x").stdout == "--help -f -- x\n"


def test_broken_pipes_kill_it_as_they_should(nobody):
    assert run(nobody, "sh", "-c", "kill -PIPE $$; echo survived").stdout == ""


def test_nothing_of_procmans_is_left_open(nobody):
    assert run(nobody, "sh", "-c", "ls /proc/self/fd").stdout.split() == ["0", "1", "2", "3"]  # 3: the listing itself


def test_a_command_that_is_not_there_is_127(nobody):
    done = run(nobody, "no-such-command-xyz")
    assert done.returncode == 127
    assert done.stderr.startswith("procman: cannot find 'no-such-command-xyz'\n")


def test_a_file_that_may_not_be_executed_is_126(nobody):
    (nobody / "tool").write_text("echo hi\n")
    done = run(nobody, "./tool")
    assert done.returncode == 126
    assert done.stderr.startswith("procman: cannot run './tool'")


def test_a_script_without_an_interpreter_line_is_run_by_the_shell(nobody):
    (nobody / "tool").write_text("echo tool $1\n")
    (nobody / "tool").chmod(0o755)
    assert run(nobody, "./tool", "hi").stdout == "tool hi\n"


def test_an_empty_command_is_a_mistake(nobody):
    assert run(nobody, " ").returncode == 2

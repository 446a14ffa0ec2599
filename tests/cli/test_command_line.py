"""The command line as such: help, versions, mistakes, and how a run ends."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from scripted import fleet, instance

from procman import __version__
from procman.cli.group import VERBS
from procman.control.messages import Accepted

MAIN = [sys.executable, "-c", "from procman.cli import main; main()"]


def test_version_is_one_line(procman):
    assert procman("--version").out == f"procman {__version__}\n"


def test_a_variable_called_procman_version_is_not_the_option(procman, monkeypatch):
    monkeypatch.setenv("PROCMAN_VERSION", "17")
    assert procman("--help").out.startswith("Usage: procman")


def test_help_lists_every_verb_with_a_line(procman):
    out = procman("--help").out
    for name, line in VERBS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", out, re.MULTILINE)


def test_no_verb_at_all_shows_the_help_as_a_mistake(procman):
    done = procman()
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("Usage: procman")


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself_with_examples(procman, verb):
    done = procman(verb, "--help")
    assert done.code == 0
    assert "\n  Examples:\n    procman " in done.out
    assert "\b" not in done.out


@pytest.mark.parametrize("verb", ["scale", "ps", "restart", "stop", "logs", "signal", "reload", "shutdown", "events"])
def test_each_client_verb_names_the_variables_of_its_options(procman, verb):
    out = " ".join(procman(verb, "--help").out.split())
    assert f"[env var: PROCMAN_{verb.upper()}_ROOT]" in out
    assert "[env var: PROCMAN_SOCKET]" in out


def test_an_unknown_verb_is_told_with_the_nearest(procman):
    done = procman("scal", "web=2")
    assert done.code == 2
    assert done.err == "procman: cannot find the verb 'scal'\nprocman: did you mean 'scale'?\n"


def test_an_unknown_option_is_told_with_the_nearest(procman):
    done = procman("scale", "--jsn")
    assert done.code == 2
    assert "procman: cannot understand the option '--jsn' of 'procman scale'\n" in done.err
    assert "did you mean '--json'?" in done.err


def test_a_missing_argument_is_named(procman):
    done = procman("attach")
    assert done.code == 2
    assert done.err.splitlines() == [
        "procman: cannot do 'procman attach' without INSTANCE",
        "procman: name an instance, such as `procman attach web.1`; `procman ps` lists them",
    ]


def test_a_signal_without_a_receiver_is_refused_with_what_can_be_typed(procman):
    done = procman("signal", "HUP")
    assert done.code == 2
    assert done.err.startswith("procman: cannot send HUP: no instance is named")
    assert "`procman signal HUP web`" in done.err


def test_a_bad_value_names_its_option(procman):
    done = procman("logs", "-n", "many")
    assert done.code == 2
    assert done.err.startswith("procman: cannot use '-n' / '--lines'")
    assert "'many' is not a whole number" in done.err


def test_an_extra_argument_is_a_mistake(procman):
    done = procman("reload", "web")
    assert done.code == 2
    assert done.err.startswith("procman: cannot use 'web': `procman reload` takes no name\n")


def test_a_variable_sets_an_option_and_the_command_line_wins(procman, script, monkeypatch):
    monkeypatch.setenv("PROCMAN_PS_JSON", "1")
    assert procman("ps").out.startswith("{")
    monkeypatch.setenv("PROCMAN_PS_SOCKET", "/nowhere")
    assert procman("ps", "--socket", script.path).code == 0


def test_nobody_running_ends_with_three(procman, nobody):
    done = procman("ps")
    assert done.code == 3
    assert done.err.startswith("procman: cannot reach procman")
    assert len(done.err.splitlines()) <= 2


def test_a_named_folder_wins_over_an_inherited_socket(procman, script, nobody, monkeypatch):
    monkeypatch.setenv("PROCMAN_SOCKET", script.path)
    assert procman("ps").code == 0
    assert procman("ps", "-d", str(nobody)).code == 3


def test_a_full_disk_is_told_without_a_traceback(script):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*MAIN, "ps"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == f"procman: cannot write to standard output: {os.strerror(errno.ENOSPC)}\n"


def test_a_reader_that_went_away_is_not_reported(script):
    script.fleets = [fleet(*(instance(f"web.{n}") for n in range(1, 1000)))]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*MAIN, "ps"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_closed_output_is_not_reported(script):
    done = subprocess.run(f"exec {sys.executable} -c '{MAIN[2]}' ps >&-", shell=True, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_ends_a_stream_quietly(script):
    child = subprocess.Popen([*MAIN, "events"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    script.wait_for("events")
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=20) == ("", "")
    assert child.returncode == 130


def test_a_fault_of_our_own_is_two_lines(procman, monkeypatch):
    monkeypatch.setitem(VERBS, "no_such_module", "")
    done = procman("no_such_module")
    assert done.code == 1
    assert done.err.startswith("procman: cannot continue: ModuleNotFoundError")
    assert len(done.err.splitlines()) == 2


@pytest.mark.parametrize("verb", ["scale", "ps", "stop"])
def test_client_verbs_load_nothing_heavy(script, verb):
    script.answers["scale"] = Accepted((), {"web": 1})
    heavy = "{'asyncio', 'psutil', 'yaml', 'logging', 'subprocess', 'dotenv', 'pathlib', 'difflib', 'procman.kernel'}"
    code = f"import sys; from procman.cli.outcome import run; run([{verb!r}]); print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_ctrl_c_at_a_terminal_begins_a_line_for_the_prompt(script):
    control, terminal = os.openpty()
    child = subprocess.Popen([*MAIN, "events"], stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    script.wait_for("events")
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=20)[0] == b""
    assert os.read(control, 100) == b"\r\n"
    os.close(control)


def test_the_first_process_of_a_container_cannot_go_to_the_background(procman, nobody, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)
    done = procman("start", "--detach")
    assert (done.code, done.err.splitlines()[0][:22]) == (2, "procman: cannot detach")

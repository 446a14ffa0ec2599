"""Shell completion: who it knows, and that it is silent whatever happens."""

from __future__ import annotations

import pytest
from scripted import fleet, instance


@pytest.fixture
def complete(procman, monkeypatch):
    def call(line: str):
        monkeypatch.setenv("_PROCMAN_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", f"procman {line}")
        monkeypatch.setenv("COMP_CWORD", str(len(f"procman {line}".split(" ")) - 1))
        done = procman()
        assert done.err == ""
        return [word.partition(",")[2] for word in done.out.splitlines() if word]

    return call


def test_verbs(complete):
    assert complete("s") == ["start", "scale", "stop", "signal", "shutdown"]


def test_instances_of_the_running_procman(complete, script):
    script.fleets = [fleet(instance("web.1"), instance("api.1"))]
    assert complete("restart ") == ["web", "api", "web.1", "api.1"]
    assert complete("stop web") == ["web", "web.1"]


def test_types_of_the_procfile_where_none_runs(complete, nobody):
    assert complete("logs w") == ["web", "worker"]
    assert complete("run wo") == ["worker"]


def test_changes_begin_with_the_count_as_it_is(complete, script):
    script.fleets = [fleet(instance("web.1"), instance("web.2"))]
    assert complete("scale w") == ["web=2", "web+1", "web-1"]


def test_signals_by_name(complete, nobody):
    assert complete("signal US") == ["USR1", "USR2"]


@pytest.mark.parametrize("content", [None, "\x00", "no colon"])
def test_a_procfile_that_cannot_be_read_completes_to_nothing(complete, nobody, content):
    (nobody / "Procfile").unlink()
    if content is not None:
        (nobody / "Procfile").write_text(content)
    assert complete("logs w") == []


def test_the_script_for_each_shell(procman, monkeypatch):
    for shell in ("zsh", "fish"):
        monkeypatch.setenv("_PROCMAN_COMPLETE", f"{shell}_source")
        assert "_PROCMAN_COMPLETE" in procman().out

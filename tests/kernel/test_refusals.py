"""What procman may not signal is named once, with the reason as far as it is known, and not taken for dead."""

from __future__ import annotations

import os

import pytest

from procman.core.actions import Target
from procman.core.spec import ProcessSpec
from procman.kernel.process.process import Process
from procman.kernel.process.table import ProcessTable


@pytest.mark.parametrize(
    ("user", "why"), [(os.geteuid(), "the system refuses it"), (os.geteuid() + 1, "it runs as another user")]
)
@pytest.mark.parametrize("target", [Target.LEADER, Target.GROUP, Target.ALL])
def test_a_signal_that_is_not_permitted_is_told_once_with_pid_name_and_reason(
    target: Target, user: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    table, told = ProcessTable("x"), []
    table.signaller.on_refusal = told.append
    process = Process("a.1", 1, ProcessSpec(type="a", command="x", cwd="/", env={}), os.getpid(), 0.0)
    table.add(process)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(os, "kill", refuse)
    monkeypatch.setattr(os, "killpg", refuse)
    table.signal(process, "TERM", target)
    table.signal(process, "KILL", target)
    (text,) = told
    assert text.startswith(f"cannot signal pid {os.getpid()} (")
    assert text.endswith(f"{why} (EPERM)")

"""Whether the kernel has killed for want of memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from procman.kernel.process.oom import NOTE, OomNotes


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("0::/app", "app/memory.events"),
        ("0::/app", "memory.events"),
        ("4:memory:/app", "memory/app/memory.oom_control"),
        ("3:cpu,memory:/app", "memory/memory.oom_control"),
    ],
)
def test_each_kill_is_told_once(line: str, file: str, tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text(f"9:pids:/\n{line}\n")
    counts = tmp_path / file
    counts.parent.mkdir(parents=True, exist_ok=True)
    counts.write_text("oom 3\noom_kill 2\noom_group_kill 0\n")
    notes = OomNotes(str(tmp_path), str(membership))
    now = notes._read_at
    assert notes.note(now) == ""
    counts.write_text("oom 4\noom_kill 3\noom_group_kill 0\n")
    assert (notes.note(now + 1), notes.note(now + 1)) == (NOTE, "")


def test_a_kill_that_may_be_long_ago_is_not_told_as_the_reason_of_this_death(tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("0::/app\n")
    counts = tmp_path / "memory.events"
    counts.write_text("oom_kill 2\n")
    notes = OomNotes(str(tmp_path), str(tmp_path / "membership"))
    counts.write_text("oom_kill 3\n")
    assert notes.note(notes._read_at + 3600) == f"{NOTE} in the last 1h 0m"


@pytest.mark.parametrize("text", ["", "nonsense", "0::/app\n", "4:memory:/\n"])
def test_where_nothing_counts_nothing_is_told(text: str, tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text(text)
    assert OomNotes(str(tmp_path / "none"), str(membership)).note(0.0) == ""
    assert OomNotes(str(tmp_path / "none"), str(tmp_path / "missing")).note(0.0) == ""

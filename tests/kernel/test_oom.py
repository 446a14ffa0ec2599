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
    assert notes.note() == ""
    counts.write_text("oom 4\noom_kill 3\noom_group_kill 0\n")
    assert (notes.note(), notes.note()) == (NOTE, "")


@pytest.mark.parametrize("text", ["", "nonsense", "0::/app\n", "4:memory:/\n"])
def test_where_nothing_counts_nothing_is_told(text: str, tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text(text)
    assert OomNotes(str(tmp_path / "none"), str(membership)).note() == ""
    assert OomNotes(str(tmp_path / "none"), str(tmp_path / "missing")).note() == ""

"""The units of systemd that the documentation shows are valid ones, as far as systemd itself can say that without running them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import written
from harness import BIN

UNITS = [block.text for block in written.blocks() if block.page == "docs/how-to/systemd.md" and block.language == "ini"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="not installed: systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=["system", "user"])
def test_systemd_accepts_the_unit(unit: str, tmp_path: Path) -> None:
    """With the program of this environment in place of the one that the page installs, which need not be here."""
    path = tmp_path / "shop.service"
    path.write_text(re.sub(r"=\S*/bin/procman", f"={BIN}", unit))
    done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, timeout=50)
    complaints = [line for line in done.stderr.splitlines() if "shop.service" in line]
    assert complaints == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=["system", "user"])
def test_the_unit_lets_procman_say_when_it_is_ready_and_stop_its_processes_itself(unit: str) -> None:
    assert "Type=notify\n" in unit
    assert "KillMode=mixed\n" in unit


def test_there_are_a_unit_of_the_system_and_one_of_a_user() -> None:
    assert len(UNITS) == 2

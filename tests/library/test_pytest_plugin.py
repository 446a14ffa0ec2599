"""The fixture `procman_formation` in somebody else's tests."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]


@pytest.mark.processes
def test_a_test_gets_a_formation_that_ends_with_it(pytester):
    pytester.makepyfile(
        """
        from pathlib import Path

        seen = []

        def test_with_commands(procman_formation, tmp_path):
            shop = procman_formation({"web": "echo $GREETING; exec sleep 1000"}, "-m", "web=2", env={"GREETING": "hello"})
            assert Path(shop.folder) == tmp_path
            assert [i.phase for i in shop.ps().instances] == ["ready", "ready"]
            assert shop.logs("web.1") == "hello\\n"
            seen.extend(i.pid for i in shop.ps().instances)

        def test_afterwards():
            assert len(seen) == 2
            assert not any(Path(f"/proc/{pid}").exists() for pid in seen)

        def test_with_a_folder(procman_formation, tmp_path):
            (tmp_path / "Procfile").write_text("web: exec sleep 1000")
            assert procman_formation(tmp_path).instance("web").phase == "ready"
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=3)


def test_the_fixture_is_listed_with_what_it_does(pytester):
    listed = pytester.runpytest_subprocess("--fixtures", "-p", "no:cacheprovider")
    listed.stdout.fnmatch_lines(["procman_formation*", "*Start a formation that is stopped when the test ends*"])


def test_other_peoples_test_runs_load_nothing_of_procman_but_the_plug_in():
    code = (
        "import sys, procman.pytest_plugin; print(*sorted(m for m in sys.modules if m.partition('.')[0] == 'procman'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["procman", "procman.pytest_plugin"]

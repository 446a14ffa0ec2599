"""Scripts of the pages that are started from elsewhere, as a person does who has copied them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from written import DOCS


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def bin_dev(tmp_path: Path) -> Path:
    page = (DOCS / "how-to" / "development.md").read_text()
    script = re.search(r"<!-- file: bin/dev -->\n\n```sh\n(.*?)```", page, re.DOTALL)
    assert script is not None
    return program(tmp_path / "shop" / "bin" / "dev", script[1])


def test_bin_dev_starts_procman_in_the_folder_of_the_project(bin_dev, tmp_path):
    program(tmp_path / "installed" / "procman", '#!/bin/sh\necho "$(pwd): $*"\n')
    done = subprocess.run(
        [bin_dev, "web"],
        cwd="/",
        env={"PATH": f"{tmp_path}/installed:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{tmp_path}/shop: start -f Procfile.dev web\n"


def test_bin_dev_says_that_procman_is_not_installed(bin_dev):
    done = subprocess.run([bin_dev], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "procman is not installed: see README\n")

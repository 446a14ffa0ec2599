from __future__ import annotations

import pytest
from folders import write


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An application's folder with three types, and the current one."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, Procfile="web: serve\nworker: work\nrelease: migrate\n")
    return tmp_path

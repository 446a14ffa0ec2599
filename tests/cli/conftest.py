"""How the verbs are run, and whom they find."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from scripted import Script

from procman.cli.outcome import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """A scripted procman that every verb of this test finds."""
    server = Script(str(tmp_path / "s"))
    monkeypatch.setenv("PROCMAN_SOCKET", server.path)
    yield server
    server.close()


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where no procman runs."""
    monkeypatch.delenv("PROCMAN_SOCKET", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Procfile").write_text("web: ./web\nworker: ./worker\n")
    return tmp_path


class Done(msgspec.Struct):
    code: int
    out: str
    err: str


@pytest.fixture
def procman(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Done]:
    """Run a verb in this process."""

    def call(*args: str) -> Done:
        code = run(args)
        out, err = capfdbinary.readouterr()
        return Done(code, out.decode(), err.decode())

    return call

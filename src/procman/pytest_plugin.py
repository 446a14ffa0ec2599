"""The fixture `procman_formation`: an application's processes for one test. Loaded by pytest in every environment that
has procman, so it imports nothing of procman before the fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import os

    from procman.library import RunningFormation


@pytest.fixture
def procman_formation(request: pytest.FixtureRequest) -> Iterator[Callable[..., RunningFormation]]:
    """Start a formation that is stopped when the test ends: `procman_formation(FOLDER_OR_COMMANDS, *OPTIONS)`.

    The first argument is a folder with a Procfile, or commands by process type, which then run in the test's `tmp_path`.
    The options are those of `procman start`; `env` and `timeout` are those of `procman.library.RunningFormation`, which is
    returned once every instance is ready or done.
    """
    with ExitStack() as running:

        def start(
            what: str | os.PathLike[str] | Mapping[str, str],
            *options: str,
            env: Mapping[str, str] | None = None,
            timeout: float = 60.0,
        ) -> RunningFormation:
            from procman.library import RunningFormation  # noqa: PLC0415  only where it is used

            folder = _folder(what, request) if isinstance(what, Mapping) else what
            return running.enter_context(RunningFormation(folder, *options, env=env, timeout=timeout))

        yield start


def _folder(commands: Mapping[str, str], request: pytest.FixtureRequest) -> str:
    """The test's own folder with these commands as its Procfile."""
    folder = request.getfixturevalue("tmp_path")
    text = "".join(f"{name}: {command}\n" for name, command in commands.items())
    (folder / "Procfile").write_text(text, encoding="utf-8")
    return str(folder)

import contextlib

import pytest

from claiming import environment, release
from procman.control.claim import Wanted, claim
from procman.control.places import start_places


@pytest.fixture
def environ(tmp_path):
    return environment(tmp_path, "run")


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    return folder


@pytest.fixture
def claimed(tmp_path):
    """Claims a root for one test, nowhere but in its folder."""
    with contextlib.ExitStack() as stack:

        def make(root, environ, explicit=None):
            places = [p for p in start_places(str(root), explicit, environ) if p.socket.startswith(str(tmp_path))]
            made = claim(Wanted(places))
            if made is not None:
                stack.callback(release, made)
            return made

        yield make

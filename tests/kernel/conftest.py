"""A server in this process and a client of it, for all who look at what clients see."""

import pytest
from served import Served


@pytest.fixture
def served(tmp_path):
    with Served(tmp_path) as served:
        yield served


@pytest.fixture
def peer(served):
    return served.peer()

"""The state diagram of the docs is what the machine does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from procman.core.phases import PHASES, Clearing, Draining, Ready, Starting, Stopping, Unhealthy

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def diagram():
    spec = importlib.util.spec_from_file_location("state_diagram", DOCS / "generator" / "diagram.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_what_the_machine_does(diagram):
    assert diagram.render() in (DOCS / "explanation" / "state-diagram.md").read_text()


def test_it_is_drawn_the_same_each_time(diagram):
    assert diagram.render() == diagram.render()


def test_every_phase_is_reached_and_left(diagram):
    moves = diagram.moves()
    assert {new for _, new in moves} == set(PHASES)
    assert {old for old, _ in moves} == set(PHASES)


def test_a_process_that_may_live_is_never_left_but_through_stopping(diagram):
    alive = (Starting, Ready, Unhealthy, Draining)
    assert {new for old, new in diagram.moves() if old in alive} <= {*alive, Stopping, Clearing}

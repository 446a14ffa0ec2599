"""A type that runs to its end has no port, takes no place among the others, and is not restarted by itself."""

from __future__ import annotations

import pytest
from folders import write

from procman.config.load import Options, load
from procman.errors import ConfigError


def ports(plan):
    return {name: spec.port for name, spec in plan.types.items()}


def test_release_takes_no_place(folder):
    write(folder, Procfile="release: migrate\nweb: serve\nworker: work\n")
    assert ports(load(Options(), {"PORT": "8080"})) == {"release": None, "web": 8080, "worker": 8180}


def test_neither_does_any_other_one_off(folder):
    write(folder, Procfile="a: 1\nseed: 2\nb: 3\n", yml="processes: {seed: {oneshot: true}}")
    plan = load(Options(), {})
    assert ports(plan) == {"a": 5000, "seed": None, "b": 5100}
    assert plan.types["seed"].oneshot


def test_release_may_be_a_type_like_others(folder):
    write(folder, Procfile="release: serve\nweb: serve\n", yml="processes: {release: {oneshot: false}}")
    assert ports(load(Options(), {})) == {"release": 5000, "web": 5100}


def test_a_type_that_becomes_one_keeps_nobody_from_a_port_later(folder):
    write(folder, Procfile="a: 1\nb: 2\nc: 3\n")
    first = load(Options(), {})
    write(folder, yml="processes: {b: {oneshot: true}}")
    second = load(Options(), {}, first.positions)
    assert ports(second) == {"a": 5000, "b": None, "c": 5200}
    write(folder, yml="")
    assert ports(load(Options(), {}, second.positions)) == ports(first)
    write(folder, Procfile="release: x\nweb: y\n")
    release = load(Options(), {})
    write(folder, Procfile="release: x\nweb: y\n", yml="processes: {release: {oneshot: false}}")
    assert ports(load(Options(), {}, release.positions)) == {"release": 5100, "web": 5000}


@pytest.mark.parametrize("section", ["release: {port: 80}", "web: {oneshot: true, port: 80}"])
def test_it_cannot_have_a_port_of_its_own(folder, section):
    write(folder, Procfile="release: x\nweb: y\n", yml=f"processes: {{{section}}}")
    with pytest.raises(ConfigError, match="it is a one-off, which has none"):
        load(Options(), {})


def test_release_can_have_one_as_a_type_like_others(folder):
    write(folder, Procfile="release: x\nweb: y\n", yml="processes: {release: {oneshot: false, port: 80}}")
    assert ports(load(Options(), {})) == {"release": 80, "web": 5100}

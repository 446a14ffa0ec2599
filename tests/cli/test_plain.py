"""A plain command line is read without click, and means what it means to click."""

from __future__ import annotations

import itertools
import shlex
import subprocess
import sys

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.cli import plain
from procman.cli.declared import declared, types_argument
from procman.cli.options import START, SWITCHES, Kind, Option


@click.command()
@types_argument
@declared(START)
def start(**values: object) -> dict[str, object]:
    return values


def by_click(words: list[str]) -> dict[str, object] | None:
    try:
        return start.main(words, standalone_mode=False)
    except click.ClickException:
        return None


NUMBERS = st.one_of(
    st.integers(-5, 10**10).map(str), st.sampled_from(["0.5", "1.", ".5", "1_0", "٣", "²", " 7", "1e3", ""])
)
TEXTS = st.one_of(
    st.sampled_from(["web", "web=2,worker=0", "a b", "-", "--", "-f", "--no-port", "Procfile.dev", "=", "x=", "", "ﬀ"]),
    st.text(max_size=5),
)
SIZES = st.sampled_from(["10M", "1g", "4096", "0", "M", "", "1.5M", "٣K", " 1K ", "-1"])


def worth(option: Option) -> st.SearchStrategy[str]:
    match option.kind:
        case Kind.CHOICE:
            return st.sampled_from([*option.choices, "TEXT", "no"])
        case Kind.SIZE:
            return SIZES
        case Kind.INTEGER | Kind.COUNT | Kind.SECONDS:
            return NUMBERS
        case _:
            return TEXTS


@st.composite
def phrases(draw: st.DrawFn) -> list[str]:
    """An option and its value, in one of the ways to write them."""
    option = draw(st.sampled_from(START))
    name = draw(st.sampled_from([name for names in option.names for name in names.split("/")]))
    if option.kind in SWITCHES:
        return draw(st.sampled_from([[name], [name], [f"{name}=1"]]))
    value = draw(worth(option))
    return draw(st.sampled_from([[name, value], [f"{name}={value}"], [name + value], [name]]))


LINES = st.lists(st.one_of(phrases(), TEXTS.map(lambda word: [word])), max_size=6).map(
    lambda parts: [*itertools.chain(*parts)]
)


@given(LINES)
def test_what_is_plain_means_what_click_makes_of_it(words):
    values = plain.read(["start", *words], {})
    assert values is None or values == by_click(words)


@pytest.mark.parametrize(
    "line",
    [
        "start",
        "start web worker",
        "start -f Procfile.dev -m web=2,worker=0 --except clock",
        "start --procfile=Procfile.dev -p 8000 --port-step 10 -t 2.5",
        "start --no-port --log-format json --no-timestamps --history 0 --log-max-bytes 50M --watch -D --socket /tmp/s",
        "start -f - -e .env -e .env.local -q web --quiet 'a,b c' --no-tty --tty --color never",
    ],
)
def test_everyday_lines_are_plain(line):
    words = shlex.split(line)
    values = plain.read(words, {"PATH", "PROCMAN_SOCKET"})
    assert values is not None
    assert values == by_click(words[1:])


@pytest.mark.parametrize(
    "line",
    ["", "ps", "start --help", "start -h", "start --", "start --prot 8000", "start -fProcfile", "start -f", "start -f -p",
     "start --port=", "start --no-port=1", "start -p x", "start -p 1234567890", "start --color blue",
     "start --log-max-bytes 1.5M", "start --take-over 3", "start --upgrade-check 3", "--version"],
)  # fmt: skip
def test_the_rest_is_left_to_click(line):
    assert plain.read(line.split(), {}) is None


def test_a_variable_for_an_option_is_left_to_click():
    assert plain.read(["start"], {"PROCMAN_START_PORT"}) is None
    assert plain.read(["start"], {"PROCMAN_SCALE_WAIT", "PORT"}) is not None


def test_a_plain_start_never_loads_click(tmp_path):
    (tmp_path / "Procfile").write_text("web: true\n")
    code = (
        "import atexit, sys; from procman.cli import main;"
        "atexit.register(lambda: print(sorted({'click', 'procman.kernel.kernel'} & set(sys.modules)), file=sys.stderr));"
        "main(['start', '--no-restart'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=30)
    assert done.stderr.splitlines() == ["['procman.kernel.kernel']"]

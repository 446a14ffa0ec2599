"""A plain command line is read without click, and means what it means to click."""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
import sys

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.app.options import START, SWITCHES, Option, OptionKind, StartOptions, start_options
from procman.cli.line import fast_parse as plain
from procman.cli.line.click_options import declared, types_argument


@click.command()
@types_argument
@declared(START)
def start(**values: object) -> StartOptions:
    return start_options(values)


def by_click(words: list[str]) -> StartOptions | None:
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
SIZES = st.sampled_from(["10M", "1g", "4096", "0", "M", "", "1.5M", "2MiB", "٣K", " 1K ", "-1"])


def worth(option: Option) -> st.SearchStrategy[str]:
    match option.kind:
        case OptionKind.CHOICE:
            return st.sampled_from([*option.choices, "TEXT", "no"])
        case OptionKind.SIZE | OptionKind.MEBIBYTES:
            return SIZES
        case OptionKind.INTEGER | OptionKind.COUNT | OptionKind.SECONDS:
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
    values = plain.read(words, {})
    assert values is None or values == by_click(words)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "web worker",
        "-f Procfile.dev -m web=2,worker=0 --except clock",
        "--procfile=Procfile.dev -p 8000 --port-step 10 -t 2.5",
        "--no-port --log-format json --no-timestamps --history 0 --log-max-bytes 50M --watch -D --socket /tmp/s",
        "-f - -e .env -e .env.local -q web --quiet 'a,b c' --no-tty --tty --color never",
    ],
)
def test_everyday_lines_are_plain(line):
    words = shlex.split(line)
    values = plain.read(words, {"PATH", "PROCMAN_SOCKET"})
    assert values is not None
    assert values == by_click(words)


@pytest.mark.parametrize(
    "line",
    ["--help", "-h", "--", "--prot 8000", "-fProcfile", "-f", "-f -p",
     "--port=", "--no-port=1", "-p x", "-p 1234567890", "--color blue",
     "--log-max-bytes 1.5X", "-t 90s", "--history 64MB", "--take-over 3", "--upgrade-check 3"],
)  # fmt: skip
def test_the_rest_is_left_to_click(line):
    assert plain.read(line.split(), {}) is None


def test_a_variable_for_an_option_is_left_to_click():
    assert plain.read([], {"PROCMAN_START_PORT"}) is None
    assert plain.read([], {"PROCMAN_SCALE_WAIT", "PORT"}) is not None


def test_a_variable_reaches_a_start_that_is_plain_but_for_it(procman, nobody, monkeypatch):
    monkeypatch.setenv("PROCMAN_START_QUIET", "nosuch")
    done = procman("start")
    assert done.code == 2
    assert done.err.startswith("procman: cannot find the process type 'nosuch' of --quiet")


@pytest.mark.parametrize("size", ["", " ", "M", "1.5X", "-1"])
def test_what_is_no_size_is_a_mistake(procman, nobody, size):
    done = procman("start", "--log-max-bytes", size)
    assert (done.code, done.err.splitlines()[0]) == (
        2,
        f"procman: cannot use '--log-max-bytes': '{size}' is not a size, such as 50M",
    )


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("-t 90s", "-t 90"),
        ("--timeout 1.5m", "-t 90"),
        ("-t 500ms", "-t 0.5"),
        ("--history 64MiB", "--history 64"),
        ("--history 1MB", "--history 1"),
        ("--log-max-bytes 512MB", "--log-max-bytes 512000000"),
        ("--log-max-bytes 1.5GiB", "--log-max-bytes 1536M"),
    ],
)
def test_times_and_sizes_are_written_as_in_procman_yml(words, numbers):
    assert by_click(words.split()) == by_click(numbers.split()) is not None


@pytest.mark.parametrize("word", ["2x", "s", "1h30m", ""])
def test_what_is_no_time_is_a_mistake(procman, nobody, word):
    done = procman("start", "-t", word)
    assert done.code == 2
    assert f"'{word}' is not a number, nor a time such as 90s, 5m or 12h" in done.err


def test_a_plain_start_never_loads_click(tmp_path):
    (tmp_path / "Procfile").write_text("web: true\n")
    code = (
        "import atexit, sys; from procman.cli import main;"
        "atexit.register(lambda: print(sorted({'click', 'procman.kernel.kernel'} & set(sys.modules)), file=sys.stderr));"
        "main(['start', '--no-restart'])"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("PROCMAN")}
    env["XDG_RUNTIME_DIR"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=env, timeout=30
    )
    assert done.stderr.splitlines() == ["['procman.kernel.kernel']"]

"""`procman check`, and the options that it shares with `start`."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from procman.app.options import SUPERVISION
from procman.cli.line.click_options import declared, input_options
from procman.cli.show.table import fitted
from procman.config.options import Options


def test_check_shows_what_would_run(procman, nobody, monkeypatch):
    monkeypatch.delenv("PORT", raising=False)
    done = procman("check", "-m", "web=2,worker=0")
    assert done.code == 0
    assert done.out.splitlines() == [
        "TYPE    COUNT  PORTS      COMMAND",
        "web         2  5000-5001  ./web",
        "worker      0  5100       ./worker",
    ]


def test_check_tells_every_fault_on_its_own_line(procman, nobody):
    (nobody / "Procfile").write_text("web ./web\nok: true\nbad name: x\n")
    done = procman("check")
    assert done.code == 2
    assert [line[:20] for line in done.err.splitlines()] == ["procman: Procfile:1:", "procman: Procfile:3:"]


@click.command(context_settings={"auto_envvar_prefix": "PROCMAN_START"})
@input_options
@declared(SUPERVISION)
@click.option("--other", is_flag=True)
def everything(options: Options, *, other: bool) -> None:
    click.echo(repr((options, other)))


def given(*args: str, **environ: str) -> str:
    return CliRunner(env=environ).invoke(everything, args, catch_exceptions=False).output.strip()


def test_all_options_come_as_one_value():
    options = Options(
        procfile="P",
        root="/r",
        config="c.yml",
        env_files=("a", "b"),
        env_overrides=True,
        types=("web",),
        leave_out=("x",),
        formation=("web=2", "x=1"),
        port=8000,
        port_step=10,
        no_port=True,
        shell="/bin/bash",
        timeout=2.5,
        max_restarts=3,
        no_restart=True,
        exit_on=("web",),
    )
    line = (
        "-f P -d /r --config c.yml -e a --env b --env-overrides web --except x -m web=2 -c x=1 -p 8000 --port-step 10"
        " --no-port --shell /bin/bash -t 2.5 --max-restarts 3 --no-restart --exit-on web --other"
    )
    assert given(*line.split()) == repr((options, True))


def test_names_of_types_are_split_at_commas_and_blanks():
    options = Options(leave_out=("a", "b", "c"), exit_on=("d", "e"))
    assert given("--except", "a,b", "--except", "c", "--exit-on", "d e") == repr((options, False))


def test_nothing_given_is_the_default():
    assert given() == repr((Options(), False))


def test_variables_are_named_after_the_verb_and_the_option():
    options = Options(port=1, env_files=("x",), leave_out=("web", "job"), formation=("a=1, b=2",), no_restart=True)
    environ = {"PORT": "1", "ENV": "x", "EXCEPT": "web job", "FORMATION": "a=1, b=2", "NO_RESTART": "1"}
    assert given(**{f"PROCMAN_START_{k}": v for k, v in environ.items()}) == repr((options, False))


@pytest.mark.parametrize(
    ("line", "width", "shown"),
    [
        ("web      1  5000   a b c d", 26, "web      1  5000   a b c d"),
        ("web   1  run it with words", 20, "web   1  run it with\n         words"),
        ("  worker: a reason that is long", 22, "  worker: a reason\n    that is long"),
        ("  one  which has two words  more", 24, "  one  which has two\n       words  more"),
        ("/a/path/that/cannot/be/broken/at/all x", 20, "/a/path/that/cannot/be/broken/at/all\n  x"),
        ("too narrow to wrap", 10, "too narrow to wrap"),
        ("no terminal, however long the line is", None, "no terminal, however long the line is"),
    ],
)
def test_a_line_is_continued_below_its_column(line, width, shown):
    assert fitted(line, width) == shown


def test_check_names_the_settings_of_other_process_managers(procman, nobody, monkeypatch):
    monkeypatch.setenv("OVERMIND_PORT", "3000")
    (nobody / ".overmind.env").write_text("OVERMIND_PROCFILE=Procfile.dev\n")
    (nobody / ".env").write_text("PROCMAN_START_FORMATION=web=2\n")
    done = procman("check")
    assert done.code == 0
    assert [line.split(";")[0] for line in done.out.splitlines()[-4:]] == [
        "",
        "note: procman does not read .overmind.env, a file of overmind",
        "note: OVERMIND_PORT has no effect",
        "note: PROCMAN_START_FORMATION in the environment file has no effect",
    ]

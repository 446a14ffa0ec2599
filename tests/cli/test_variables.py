"""Options that are set by variables only, as in a container: the messages name the variable, and `check` takes those of
`start`.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROCMAN = [sys.executable, "-m", "procman"]


def run(folder, *words, **variables):
    return subprocess.run(
        [*PROCMAN, *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "Procfile").write_text("web: x\nworker: y\n")
    return tmp_path


@pytest.mark.parametrize(
    ("verb", "name", "value", "why"),
    [
        ("start", "PROCMAN_START_TIMEOUT", "8x", "'8x' is not a number, nor a time such as 90s, 5m or 12h"),
        ("start", "PROCMAN_START_LOG_FORMAT", "xml", "'xml' is not one of 'text', 'json'"),
        ("start", "PROCMAN_START_NO_PORT", "maybe", "'maybe' is neither 1 nor 0"),
        ("check", "PROCMAN_START_PORT", "x", "'x' is not a whole number"),
        ("check", "PROCMAN_CHECK_PORT", "x", "'x' is not a whole number"),
        ("ps", "PROCMAN_PS_INTERVAL", "0", "0 is not 0.1 or more"),
    ],
)
def test_a_wrong_value_is_reported_with_its_variable(shop, verb, name, value, why):
    done = run(shop, verb, **{name: value})
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == f"procman: cannot use {name}: {why}"


def test_the_command_line_is_named_where_it_wins(shop):
    done = run(shop, "start", "-t", "x", PROCMAN_START_TIMEOUT="4")
    assert done.stderr.startswith("procman: cannot use '-t' / '--timeout': 'x' is not")


@pytest.mark.parametrize("verb", ["start", "check"])
@pytest.mark.parametrize(
    ("typed", "meant"), [("FORMATIONS", "FORMATION"), ("QUITE", "QUIET"), ("LOGFORMAT", "LOG_FORMAT")]
)
def test_a_misspelt_variable_is_refused_with_the_nearest(shop, verb, typed, meant):
    done = run(shop, verb, **{f"PROCMAN_START_{typed}": "1"})
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"procman: cannot use the variable PROCMAN_START_{typed}: `procman start` has no such option",
        f"procman: did you mean 'PROCMAN_START_{meant}'?",
    ]


def test_check_and_run_take_the_variables_of_start(shop):
    assert "web         4" in run(shop, "check", PROCMAN_START_FORMATION="web=4").stdout
    (shop / "other").write_text("GREETING=hello\n")
    done = run(shop, "run", "printenv", "GREETING", PROCMAN_START_ENV="other")
    assert done.stdout == "hello\n"


def test_the_verbs_own_variable_wins(shop):
    shown = run(shop, "check", PROCMAN_START_FORMATION="web=4,worker=3", PROCMAN_CHECK_FORMATION="web=2").stdout
    assert "web         2" in shown
    assert "worker      1" in shown


def test_an_upgrade_is_not_refused_for_a_variable_of_another_version(shop):
    """The version that takes over would end the formation, or refuse to take it."""
    done = run(shop, "start", "--upgrade-check=0", PROCMAN_START_FROM_LATER="1")
    assert "PROCMAN_START_FROM_LATER" not in done.stderr


SERVICE = {
    "SERVICE_HOST": "10.0.0.1",
    "SERVICE_PORT": "80",
    "SERVICE_PORT_HTTP": "80",
    "PORT": "tcp://10.0.0.1:80",
    "PORT_80_TCP": "tcp://10.0.0.1:80",
    "PORT_80_TCP_PROTO": "tcp",
    "PORT_80_TCP_PORT": "80",
    "PORT_80_TCP_ADDR": "10.0.0.1",
    "PORT_53_UDP": "udp://10.0.0.1:53",
}
"""What Kubernetes sets for a Service, after its name."""


@pytest.mark.parametrize("verb", ["start", "check"])
@pytest.mark.parametrize("service", ["PROCMAN_START", "PROCMAN_START_WEB", "PROCMAN_CHECK"])
def test_the_address_of_a_service_sets_no_option(tmp_path, verb, service):
    (tmp_path / "Procfile").write_text("web: exit $(($PORT - 5000))\n")
    done = run(tmp_path, verb, **{f"{service}_{name}": value for name, value in SERVICE.items()})
    assert (done.returncode, done.stderr) == (0, "")
    assert "5000" in done.stdout if verb == "check" else "is done: exit 0" in done.stdout


def test_the_address_of_a_service_reaches_the_instances(tmp_path):
    (tmp_path / "Procfile").write_text("web: env | grep ^PROCMAN_PORT\n")
    set_ = {f"PROCMAN_{name}": value for name, value in SERVICE.items()}
    done = run(tmp_path, "start", "--no-prefix", PROCMAN_PORT_OTHER="7000", **set_)
    shown = [line for line in done.stdout.splitlines() if line.startswith("PROCMAN_PORT")]
    ours = {name: value for name, value in set_.items() if name.startswith("PROCMAN_PORT")} | {
        "PROCMAN_PORT_WEB": "5000"
    }
    assert sorted(shown) == sorted(f"{name}={value}" for name, value in ours.items())

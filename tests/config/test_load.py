"""All inputs together: counts, ports and the environment of a plan."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from folders import faults_of, only_fault, write

from procman.config.load import Options, load
from procman.core.spec import Plan

CASES = json.loads((Path(__file__).parent.parent / "cases" / "formation.json").read_text())


# ---- formation


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_case(folder, case):
    write(folder, Procfile="".join(f"{name}: true\n" for name in case["types"]))
    args = case["args"]
    flags = [place for place, arg in enumerate(args) if arg in {"-m", "-c"}]
    options = Options(
        formation=tuple(args[place + 1] for place in flags),
        types=tuple(arg for place, arg in enumerate(args) if place not in flags and place - 1 not in flags),
    )
    if "expect" in case:
        assert load(options, {}).counts == case["expect"]
    else:
        faults = faults_of(options)
        assert all("cannot " in fault for fault in faults)
        assert case.get("stderr_contains", "") in faults[0]


def test_a_plan_of_the_least(folder):
    plan = load(Options(), {"HOME": "/h"})
    assert isinstance(plan, Plan)
    assert (plan.root, plan.procfile, plan.port_step) == (str(folder), "Procfile", 100)
    assert plan.counts == {"web": 1, "worker": 1, "release": 0}
    assert plan.positions == {"web": 0, "worker": 1, "release": -1}
    web = plan.types["web"]
    assert (web.type, web.command, web.cwd, web.environment(), web.port) == (
        "web",
        "serve",
        str(folder),
        {"HOME": "/h"},
        5000,
    )
    assert (web.shell, web.stop.grace, web.success_exit_codes, web.max) == ("/bin/sh", 10, (0,), None)
    assert [spec.port for spec in plan.types.values()] == [5000, 5100, None]


def test_the_same_inputs_make_equal_plans(folder):
    write(folder, env="A=1", yml="processes: {web: {env: {B: 2}, success_exit_codes: [3, 1]}}")
    assert load(Options(), {"C": "3"}) == load(Options(), {"C": "3"})


@pytest.mark.parametrize(
    ("options", "origin"),
    [
        (Options(types=("wbe",)), ""),
        (Options(leave_out=("wbe",)), " (--except)"),
        (Options(exit_on=("wbe",)), " (--exit-on)"),
        (Options(formation=("wbe=1",)), " (--formation)"),
    ],
)
def test_an_unknown_type_is_refused_with_its_origin_and_the_nearest(folder, options, origin):
    assert only_fault(options) == f"cannot find the process type 'wbe' in Procfile{origin} (did you mean 'web'?)"


def test_a_count_where_a_type_is_expected_gets_the_hint_how_counts_are_given(folder):
    assert only_fault(Options(types=("web=2",))).endswith("(counts are given by -m web=2)")


def test_a_type_of_the_command_line_may_go_by_a_reload(folder):
    options = Options(types=("web", "gone"), leave_out=("gone",), exit_on=("gone",), formation=("gone=2",))
    plan = load(options, {}, {"web": 0, "gone": 1, "worker": 2})
    assert plan.counts["web"] == 1
    assert "gone" not in plan.counts


def test_two_types_cannot_have_the_same_port(folder):
    write(folder, yml="processes: {worker: {port: 5001}}")
    assert load(Options(), {}).types["worker"].port == 5001
    told = only_fault(Options(formation=("web=2",)))
    assert told.startswith("procman.yml:1: processes.worker.port: cannot give worker port 5001: web has it")


def test_an_unknown_type_is_said_once_wherever_it_is_named(folder):
    assert only_fault(Options(types=("x",), exit_on=("x",), formation=("x=1",))).startswith("cannot find")


def test_a_type_on_a_faulty_line_is_not_also_unknown(folder):
    write(folder, Procfile="ok: a\nweb:\n", yml="processes: {web: {max: 1}}")
    assert only_fault(Options(formation=("web=2",))).startswith("Procfile:2: ")


def test_except_leaves_one_out(folder):
    assert load(Options(leave_out=("web",)), {}).counts == {"web": 0, "worker": 1, "release": 0}


def test_the_counts_of_the_config_file_stand_below_the_command_line(folder):
    write(folder, yml="formation: {web: 2, worker: 3}")
    assert load(Options(formation=("web=4",)), {}).counts == {"web": 4, "worker": 3, "release": 0}


def test_a_count_above_max_is_refused_where_it_was_asked(folder):
    write(folder, yml="processes: {web: {max: 1}}\nformation:\n  web: 2\n")
    assert only_fault().startswith("procman.yml:3: formation.web: cannot run 2 of web: its 'max' is 1")
    assert only_fault(Options(formation=("web=3",))).startswith("cannot run 3 of web: its 'max' is 1")


def test_a_count_above_the_port_step_is_refused_unless_there_are_no_ports(folder):
    assert "room for 100 ports (start with a larger --port-step" in only_fault(Options(formation=("web=101",)))
    assert load(Options(formation=("web=101",), no_port=True), {}).counts["web"] == 101
    assert load(Options(formation=("web=101",), port_step=101), {}).counts["web"] == 101


def test_a_port_above_the_last_is_refused(folder):
    assert "65535" in only_fault(Options(port=65535, formation=("web=2,worker=0",)))


# ---- ports


def test_the_base_port_is_the_option_then_the_environment_then_5000(folder):
    write(folder, env="PORT=4000")
    assert load(Options(port=7000), {"PORT": "3000"}).types["web"].port == 7000
    assert load(Options(), {"PORT": "3000"}).types["web"].port == 3000
    assert load(Options(env_overrides=True), {"PORT": "3000"}).types["web"].port == 4000
    assert load(Options(), {}).types["web"].port == 4000
    assert load(Options(env_overrides=True, port=7000), {}).types["web"].port == 7000


def test_an_empty_port_is_none(folder):
    assert load(Options(), {"PORT": ""}).types["web"].port == 5000
    write(folder, env="PORT=")
    assert load(Options(), {}).types["web"].port == 5000


def test_port_is_not_in_the_environment_of_a_type(folder):
    write(folder, env="PORT=4000")
    assert all("PORT" not in spec.environment() for spec in load(Options(), {"PORT": "3000"}).types.values())


def test_without_ports_nobody_has_one(folder):
    write(folder, env="PORT=x\nURL=:${PORT}", yml="processes: {web: {port: 80}}")
    plan = load(Options(no_port=True), {"PORT": "y"})
    assert {spec.port for spec in plan.types.values()} == {None}
    assert plan.types["web"].environment() == {"URL": ":"}


def test_a_reference_to_port_sees_the_first_types(folder):
    write(folder, env="URL=:${PORT}")
    assert load(Options(), {}).types["web"].environment()["URL"] == ":5000"
    assert load(Options(port=7000), {"PORT": "1"}).types["web"].environment()["URL"] == ":7000"
    assert load(Options(), {"PORT": "3000"}).types["web"].environment()["URL"] == ":3000"


@pytest.mark.parametrize("port", ["x", "0", "65536", "-1", "1.5", "99999999999", "\u0663"])
def test_a_bad_port_is_a_fault_that_names_its_place(folder, port):
    assert only_fault(environ={"PORT": port}).startswith("cannot use the environment's PORT=")
    write(folder, env=f"A=1\nPORT={port}\n")
    assert only_fault().startswith(".env:2: cannot use PORT=")


@pytest.mark.parametrize("port", [0, -1, 65536, 10**9])
def test_a_port_option_out_of_range_is_a_fault(folder, port):
    assert only_fault(Options(port=port)).startswith(f"cannot use --port {port}")


def test_a_types_own_port_wins(folder):
    write(folder, yml="processes: {worker: {port: 8000}}")
    assert [spec.port for spec in load(Options(), {}).types.values()] == [5000, 8000, None]


def test_the_step_is_an_option(folder):
    assert load(Options(port_step=10), {}).types["worker"].port == 5010
    assert only_fault(Options(port_step=0)).startswith("cannot use --port-step 0")


def test_a_type_keeps_its_position_over_a_reload(folder):
    first = load(Options(), {})
    write(folder, Procfile="new: n\nrelease: migrate\nweb: serve\n")
    second = load(Options(), {}, first.positions)
    assert second.positions == {"web": 0, "worker": 1, "release": -1, "new": 2}
    assert list(second.types) == ["new", "release", "web"]
    assert second.types["web"] == first.types["web"]
    assert second.types["new"].port == 5200
    write(folder, Procfile="other: o\nworker: w\n")
    assert load(Options(), {}, second.positions).types["other"].port == 5300


# ---- environment


def test_the_environment_wins_over_dotenv_and_the_other_way_round(folder):
    write(folder, env="A=file\nB=${A}")
    assert load(Options(), {"A": "os"}).types["web"].environment() == {"A": "os", "B": "os"}
    assert load(Options(env_overrides=True), {"A": "os"}).types["web"].environment() == {"A": "file", "B": "file"}


def test_named_files_replace_dotenv_and_the_last_wins(folder):
    write(folder, env="A=0\nZ=0", one="A=1\nB=1", two="B=2\nC=${A}", three="C=3")
    assert load(Options(env_files=("one, two", "three")), {}).types["web"].environment() == {
        "A": "1",
        "B": "2",
        "C": "3",
    }


def test_a_named_file_that_is_missing_is_a_fault(folder):
    assert only_fault(Options(env_files=("no.env",))) == "cannot read no.env: no such file or directory"
    assert only_fault(Options(env_files=("",))).startswith("cannot read an environment file without a name")
    assert only_fault(Options(env_files=("/dev/null,",))).startswith("cannot read an environment file without a name")


def test_a_folder_called_dotenv_is_left_alone(folder):
    (folder / ".env").mkdir()
    assert load(Options(), {}).types["web"].environment() == {}


def test_a_dotenv_that_leads_nowhere_is_a_fault(folder):
    (folder / ".env").symlink_to("nowhere")
    assert only_fault() == "cannot read .env: no such file or directory"


def test_what_an_outer_procman_gave_does_not_get_through(folder):
    ours = dict.fromkeys(
        ("PS", "PROCMAN_TYPE", "PROCMAN_INDEX", "PROCMAN_INSTANCE", "PROCMAN_SOCKET", "PROCMAN_PORT_WEB"), "x"
    )
    write(folder, env="PROCMAN_SOCKET=y\nA=${PS:-none}\n")
    kept = {"PROCMAN_START_PORT": "1", "DYNO": "web.1", "PS1": "$ "}
    assert load(Options(), ours | kept).types["web"].environment() == kept | {"A": "none"}


def test_what_a_service_manager_says_to_procman_does_not_get_through_and_what_a_file_says_does(folder):
    theirs = dict.fromkeys(
        ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"), "x"
    )
    write(folder, env="WATCHDOG_USEC=1000\n")
    assert load(Options(), theirs).types["web"].environment() == {"WATCHDOG_USEC": "1000"}


def test_a_value_that_is_not_utf8_survives(folder):
    assert load(Options(), {"A": os.fsdecode(b"\xff")}).types["web"].environment() == {"A": "\udcff"}


def test_a_types_own_environment_is_on_top(folder):
    write(folder, env="A=1\nB=1", yml="processes: {web: {env: {A: 2}}}")
    plan = load(Options(env_overrides=True), {"B": "0"})
    assert plan.types["web"].environment() == {"A": "2", "B": "1"}
    assert plan.types["worker"].environment() == {"A": "1", "B": "1"}


@pytest.mark.parametrize("name", ["PORT", "PS", "PROCMAN_TYPE", "PROCMAN_PORT_WEB", "''", "A=B"])
def test_a_variable_that_cannot_be_set_is_refused(folder, name):
    write(folder, yml=f"processes:\n  web:\n    env:\n      {name}: 1\n")
    assert only_fault().startswith("procman.yml:4: processes.web.env.")


def test_port_in_a_types_environment_gets_its_hint(folder):
    write(folder, yml="processes: {web: {env: {PORT: 1}}}")
    assert "'port:'" in only_fault()

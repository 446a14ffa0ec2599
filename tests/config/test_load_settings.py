"""What procman.yml and the command line make of each type's settings."""

from __future__ import annotations

import pytest
from folders import faults_of, only_fault, write

from procman.config.load import Options, load, load_one_off
from procman.core.spec import OnEnd, Stdin, StopMode, When
from procman.errors import ConfigError


def test_the_known_types_are_listed_in_the_order_of_the_procfile(folder):
    write(folder, yml="processes: {web: {depends_on: [xyz]}}\ngroups: {g: {members: [xyz]}}\n")
    assert all("(known: web, worker, release)" in fault for fault in faults_of())


def test_settings_reach_the_spec(folder):
    (folder / "sub").mkdir()
    write(
        folder,
        yml="""\
defaults: {restart: {policy: never, delay: 2}, stop: {signal: INT, grace: 3}}
processes:
  web:
    cwd: sub
    restart: {policy: always, max_restarts: 4, no_retry_exit_codes: [78]}
    stop: {signal: SIGQUIT, mode: group}
    success_exit_codes: [143, 3]
    on_end: exit
    stdin: open
    max: 5
""",
    )
    plan = load(Options(), {})
    web, worker = plan.types["web"], plan.types["worker"]
    assert web.cwd == str(folder / "sub")
    assert (web.restart.policy, web.restart.delay, web.restart.max_restarts) == (When.ALWAYS, 2, 4)
    assert web.restart.no_retry_exit_codes == (78,)
    assert (web.stop.signal, web.stop.exit_code, web.stop.grace, web.stop.mode) == ("QUIT", 131, 3, StopMode.GROUP)
    assert (web.success_exit_codes, web.on_end, web.stdin, web.max) == ((0, 3, 143), OnEnd.EXIT, Stdin.OPEN, 5)
    assert (worker.restart.policy, worker.stop.signal, worker.stop.exit_code) == (When.NEVER, "INT", 130)
    assert worker.on_end is OnEnd.STAY


def test_the_command_line_wins_over_the_settings(folder):
    write(folder, yml="processes: {web: {restart: {max_restarts: 4}, stop: {grace: 3}}}")
    options = Options(timeout=1.5, max_restarts=0, exit_on=("web",), shell="/bin/bash")
    plan = load(options, {})
    web = plan.types["web"]
    assert (web.stop.grace, web.restart.max_restarts, web.on_end, web.shell) == (1.5, 0, OnEnd.EXIT, "/bin/bash")
    assert plan.types["worker"].on_end is OnEnd.STAY


@pytest.mark.parametrize(
    ("yml", "options", "tty"),
    [
        ("{}", {}, False),
        ("{}", {"terminal": True}, True),
        ("{tty: true}", {}, True),
        ("{tty: false}", {"terminal": True}, False),
        ("{tty: false}", {"tty": True}, True),
        ("{tty: true}", {"terminal": True, "tty": False}, False),
        ("{tty: true}", {"terminal": True, "split_streams": True}, False),
    ],
)
def test_who_has_a_terminal(folder, yml, options, tty):
    write(folder, yml=f"processes: {{web: {yml}}}")
    assert load(Options(**options), {}).types["web"].tty is tty


def test_a_terminal_cannot_have_two_streams(folder):
    assert "cannot use --tty with --split-streams" in only_fault(Options(tty=True, split_streams=True))


def test_no_restart_lets_the_first_end_of_any_type_end_everything(folder):
    write(folder, yml="processes: {web: {restart: {policy: always}}}")
    plan = load(Options(no_restart=True), {})
    ends = {(spec.restart.policy, spec.on_end) for spec in plan.types.values()}
    assert ends == {(When.NEVER, OnEnd.EXIT)}


def test_null_restarts_of_a_process_override_the_defaults(folder):
    write(folder, yml="defaults: {restart: {max_restarts: 3}}\nprocesses: {web: {restart: {max_restarts: null}}}")
    plan = load(Options(), {})
    assert plan.types["web"].restart.max_restarts is None
    assert plan.types["worker"].restart.max_restarts == 3


def test_as_pid_1_the_default_grace_is_longer(folder):
    write(folder, yml="processes: {web: {stop: {grace: 3}}}")
    plan = load(Options(init=True), {})
    assert (plan.types["web"].stop.grace, plan.types["worker"].stop.grace) == (3, 25)
    assert load(Options(init=True, timeout=5), {}).types["web"].stop.grace == 5


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), 1e300])
def test_a_timeout_that_is_no_time_is_a_fault(folder, timeout):
    assert only_fault(Options(timeout=timeout)).startswith("cannot use --timeout ")


def test_negative_restarts_are_a_fault(folder):
    assert only_fault(Options(max_restarts=-1)).startswith("cannot use --max-restarts -1")


def test_an_unknown_type_in_the_config_file_has_its_line(folder):
    write(folder, yml="formation:\n  wrker: 1\nprocesses:\n  wbe: {}\n")
    assert faults_of() == [
        "procman.yml:2: formation.wrker: cannot find the process type 'wrker' in Procfile (did you mean 'worker'?)",
        "procman.yml:4: processes.wbe: cannot find the process type 'wbe' in Procfile (did you mean 'web'?)",
    ]


def test_one_config_file_speaks_of_the_types_of_every_procfile_beside_it(folder):
    """`Procfile` for production and `Procfile.dev` share a procman.yml: each leaves the other's types alone."""
    (folder / "Procfile.dev").write_text("web: x\ncss: y\n: faulty\n")
    write(folder, yml="formation: {css: 2}\nprocesses:\n  css: {stdin: open}\n  worker: {max: 1}\n")
    assert load(Options(), {}).types["worker"].max == 1
    assert "css" not in load(Options(), {}).counts
    (folder / "Procfile.dev").write_text("web: x\ncss: y\n")
    plan = load(Options(procfile="Procfile.dev"), {})
    assert plan.counts == {"web": 1, "css": 2}
    write(folder, yml="processes:\n  csss: {stdin: open}\n")
    assert faults_of(Options(procfile="Procfile.dev")) == [
        "procman.yml:2: processes.csss: cannot find the process type 'csss' in Procfile.dev (did you mean 'css'?)"
    ]


def test_nobody_waits_for_a_type_that_only_another_procfile_has(folder):
    """redis runs in development alone: one procman.yml lets `web` wait for it there, and start without it elsewhere."""
    (folder / "Procfile.dev").write_text("web: x\nredis: y\n")
    yml = "processes:\n  web:\n    depends_on: {redis: started, worker: ready}\n"
    write(folder, yml=yml + "groups: {g: {members: [worker, redis]}}\n")
    plan = load(Options(), {})
    assert [one.type for one in plan.types["web"].depends_on] == ["worker"]
    assert plan.groups[0].members == ("worker",)
    plan = load(Options(procfile="Procfile.dev"), {})
    assert [one.type for one in plan.types["web"].depends_on] == ["redis"]
    write(folder, yml=yml.replace("redis", "reddis"))
    assert faults_of(Options(procfile="Procfile.dev")) == [
        "procman.yml:3: processes.web.depends_on.reddis: cannot find the process type 'reddis' (did you mean 'redis'?)"
    ]


@pytest.mark.parametrize("name", ["term", "SIGterm", "TERMM", "9", "SIG", "RTMIN+3"])
def test_a_signal_that_does_not_exist_is_a_fault_with_its_line(folder, name):
    write(folder, yml=f"defaults:\n  stop: {{signal: '{name}'}}\nprocesses:\n  web:\n    stop: {{signal: '{name}'}}\n")
    first, second = faults_of()
    assert first.startswith(f"procman.yml:2: defaults.stop.signal: cannot use '{name}': no such signal")
    assert second.startswith("procman.yml:5: processes.web.stop.signal: ")


@pytest.mark.parametrize(
    ("name", "code"), [("TERM", 143), ("SIGINT", 130), ("HUP", 129), ("USR1", 138), ("WINCH", 156), ("KILL", 137)]
)
def test_a_stop_signal_has_the_exit_code_of_a_death_by_it(folder, name, code):
    write(folder, yml=f"defaults: {{stop: {{signal: {name}}}}}")
    stop = load(Options(), {}).types["web"].stop
    assert (stop.signal, stop.exit_code) == (name.removeprefix("SIG"), code)


def test_a_cwd_must_be_a_folder(folder):
    write(folder, yml="processes:\n  web:\n    cwd: nowhere\n  worker: {cwd: Procfile}\n")
    first, second = faults_of()
    assert (
        first == f"procman.yml:3: processes.web.cwd: cannot use 'nowhere': no such folder (it is relative to {folder})"
    )
    assert second.startswith("procman.yml:4: processes.worker.cwd: ")


def test_a_config_file_that_was_named_must_exist(folder):
    assert only_fault(Options(config="conf.yml")) == "cannot read conf.yml: no such file or directory"
    write(folder, **{"conf.yml": "formation: {web: 3}"}, yml="nonsense")
    assert load(Options(config="conf.yml"), {}).counts["web"] == 3


def test_a_config_file_that_is_a_folder_is_a_fault(folder):
    (folder / "procman.yml").mkdir()
    assert only_fault() == "cannot read procman.yml: is a directory"


def test_patterns_to_watch_are_no_part_of_how_a_type_is_run(folder):
    before = load(Options(), {})
    write(folder, yml="processes: {web: {watch: ['src/**/*.py', app.py]}, worker: {watch: []}}")
    plan = load(Options(), {})
    assert plan.sections == {"watch": {"web": ("src/**/*.py", "app.py"), "worker": ()}}
    assert plan.types == before.types


def test_a_pattern_that_begins_with_a_slash_is_refused(folder):
    write(folder, yml="processes:\n  web:\n    watch:\n      - src\n      - /src\n")
    assert only_fault().startswith("procman.yml:5: processes.web.watch[1]: cannot use '/src'")


@pytest.mark.parametrize(
    ("present", "hint"),
    [
        ("Procfile.dev", "Procfile.dev exists: name it with `-f Procfile.dev`"),
        ("procfile", "procfile exists: name it with `-f procfile`"),
        ("PROCFILE", "PROCFILE exists: name it with `-f PROCFILE`"),
        ("Procfile.txt", "Procfile.txt exists: name it with `-f Procfile.txt`"),
        ("other", "run procman in the project's folder or say -f FILE; `procman init` writes a Procfile"),
    ],
)
def test_a_procfile_under_nearly_its_name_is_named_in_the_hint(folder, present, hint):
    (folder / "Procfile").unlink(missing_ok=True)
    (folder / present).write_text("web: x\n")
    assert faults_of(Options())[0].endswith(f"({hint})")


def test_the_hint_for_a_file_named_with_f_is_about_that_file(folder):
    hint = "-f names a Procfile; a line of it looks like 'web: python app.py'"
    assert faults_of(Options(procfile="nope"))[0].endswith(f"no such file or directory ({hint})")
    assert faults_of(Options(procfile="."))[0].endswith(f"is a directory ({hint})")


def test_settings_under_the_ending_yaml_are_refused_rather_than_ignored(folder):
    (folder / "Procfile").write_text("web: x\n")
    (folder / "procman.yaml").write_text("formation: {web: 2}\n")
    assert faults_of(Options()) == [
        "cannot use procman.yaml: procman reads procman.yml (rename it to procman.yml, or name it: --config procman.yaml)"
    ]
    assert load(Options(config="procman.yaml"), {}).counts == {"web": 2}
    (folder / "procman.yml").write_text("formation: {web: 3}\n")
    assert load(Options(), {}).counts == {"web": 3}


@pytest.mark.parametrize(
    ("shell", "why"),
    [
        ("nope-sh", "not found in PATH"),
        ("./nope", "no such file"),
        (".", "not found"),
        ("./Procfile", "not executable"),
        ("./", "is a directory"),
    ],
)
def test_a_shell_that_is_not_there_is_refused_at_once(folder, shell, why):
    assert only_fault(Options(shell=shell), {"PATH": "/usr/bin:/bin"}).startswith(f"cannot use --shell {shell}: {why}")
    with pytest.raises(ConfigError, match="cannot use --shell"):
        load_one_off(Options(shell=shell), {"PATH": "/usr/bin:/bin"}, "web")


def test_a_shell_is_found_by_the_path_of_a_type(folder):
    shell = folder / "bin" / "our-sh"
    shell.parent.mkdir()
    shell.symlink_to("/bin/sh")
    (folder / "procman.yml").write_text(f"processes: {{web: {{env: {{PATH: '{shell.parent}:/bin'}}}}}}\n")
    assert load(Options(shell="our-sh"), {"PATH": "/bin"}).counts["web"] == 1
    assert load_one_off(Options(shell="our-sh"), {"PATH": "/bin"}, "web").spec is not None

"""Where the inputs are looked for, their faults all at once, and what a one-off reads of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest
from folders import faults_of, only_fault, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procman.config.load import OneOffInputs, Options, load, load_one_off
from procman.errors import ConfigError

# ---- where things are


def test_a_missing_procfile_names_the_path_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fault = only_fault()
    assert fault.startswith(f"cannot read {tmp_path}/Procfile: no such file or directory")
    assert "-f FILE" in fault
    assert "`procman init` writes a Procfile" in fault
    assert str(tmp_path / "x") in only_fault(Options(procfile="x"))


def test_a_folder_is_no_procfile(folder):
    (folder / "dir").mkdir()
    assert "is a directory" in only_fault(Options(procfile="dir"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_procfile_is_a_fault(folder):
    (folder / "Procfile").chmod(0)
    assert "permission denied" in only_fault()


def test_a_file_without_end_is_a_fault(folder):
    assert "longer than" in only_fault(Options(procfile="/dev/zero"))


@pytest.mark.parametrize("name", ["Procfile", ".env", "procman.yml"])
def test_an_input_that_is_a_named_pipe_is_a_fault_and_not_waited_for(folder, name):
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    code = (
        "from procman.config.load import ConfigError, Options, load\n"
        "try: load(Options(), {})\n"
        "except ConfigError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=10, check=True)
    assert f"{name}: it is a named pipe" in run.stdout.decode()


@pytest.mark.parametrize("path", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_a_pipe_that_was_given_open_is_read_to_its_end(folder, path):
    reader, writer = os.pipe()
    if not os.path.exists(path.format(reader)):
        pytest.skip("this system has no such folder")
    late = subprocess.Popen(["/bin/sh", "-c", "echo 'x: y'"], stdout=writer)
    os.close(writer)
    assert list(load(Options(procfile=path.format(reader), root="."), {}).types) == ["x"]
    os.close(reader)
    late.wait()


def test_the_root_is_the_procfiles_folder(folder):
    sub = folder / "sub"
    sub.mkdir()
    write(sub, Procfile="a: 1", env="A=1", yml="formation: {a: 2}")
    plan = load(Options(procfile="sub/Procfile"), {})
    assert (plan.root, plan.types["a"].environment(), plan.counts) == (str(sub), {"A": "1"}, {"a": 2})
    assert plan.procfile == "sub/Procfile"


def test_with_a_root_its_procfile_is_read(folder):
    sub = folder / "sub"
    sub.mkdir()
    write(sub, Procfile="a: 1", env="A=1", yml="formation: {a: 2}")
    plan = load(Options(root="sub"), {})
    assert (plan.root, plan.types["a"].environment(), plan.counts) == (str(sub), {"A": "1"}, {"a": 2})


def test_with_both_the_root_has_the_env_and_the_procfiles_folder_the_config(folder):
    root = folder / "root"
    root.mkdir()
    write(root, env="A=1", yml="nonsense")
    write(folder, yml="formation: {web: 2}")
    plan = load(Options(root="root", procfile="Procfile"), {})
    assert (plan.root, plan.types["web"].cwd, plan.types["web"].environment()) == (str(root), str(root), {"A": "1"})
    assert plan.counts["web"] == 2


def test_files_are_called_as_the_user_calls_them(folder):
    sub = folder / "sub"
    sub.mkdir()
    write(sub, Procfile="ok: a\nx", env="FOO", yml="nope: 1")
    for options in (Options(procfile="sub/Procfile"), Options(root="sub")):
        assert [fault.split(":")[:2] for fault in faults_of(options)] == [
            ["sub/Procfile", "2"], ["sub/.env", "1"], ["sub/procman.yml", "1"],
        ]  # fmt: skip


def test_a_root_that_is_no_folder_is_a_fault(folder):
    assert only_fault(Options(root="nowhere")).startswith("cannot use nowhere as the root: no such folder")


def test_a_root_by_a_link_keeps_its_name(folder, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "current"
    link.symlink_to(folder)
    assert load(Options(root=str(link)), {}).root == str(link)


def test_dots_after_a_link_mean_what_the_system_means(folder, tmp_path_factory):
    (folder / "a" / "b").mkdir(parents=True)
    link = tmp_path_factory.mktemp("links") / "b"
    link.symlink_to(folder / "a" / "b")
    assert load(Options(procfile=f"{link}/../../Procfile"), {}).root == str(folder.resolve())


def test_standard_input_has_the_current_folder_as_its_root(folder):
    write(folder, env="A=1", yml="formation: {x: 2}")
    plan = load(Options(procfile="-"), {}, kept={"-": b"x: y\n"})
    assert (plan.root, plan.types["x"].environment(), plan.counts) == (str(folder), {"A": "1"}, {"x": 2})
    assert only_fault(Options(procfile="-"), kept={"-": b"x: y\nz"}).startswith("<stdin>:2: ")


def test_standard_input_is_read_where_it_was_not_yet(folder):
    code = (
        "from procman.config.load import Options, load\n"
        "print(list(load(Options(procfile='-'), {}).types))"
    )  # fmt: skip
    result = subprocess.run([sys.executable, "-c", code], input=b"x: y\nz: a\n", stdout=subprocess.PIPE, check=True)
    assert result.stdout == b"['x', 'z']\n"


def test_a_closed_standard_input_is_a_fault(folder):
    code = "from procman.config.load import Options, load; load(Options(procfile='-'), {})"
    run = subprocess.run(["/bin/sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, code], stderr=subprocess.PIPE)
    assert b"cannot read <stdin>: bad file descriptor" in run.stderr


def test_a_current_folder_that_is_gone_is_a_fault(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert only_fault().startswith("cannot find the current folder")
    monkeypatch.chdir(tmp_path)


# ---- all faults at once


def test_the_faults_of_all_inputs_come_in_one_run(folder):
    write(folder, Procfile="web: a\nx.y: b\n", env="FOO\nPORT=x\n", yml="processes:\n  web: {port: x}\n  wbe: {}\n")
    faults = faults_of(Options(formation=("web=x", "weeb=1"), timeout=-1, env_files=(".env", "gone")))
    assert [fault[: fault.index("cannot")] for fault in faults] == [
        "Procfile:2: ", ".env:1: ", "", "procman.yml:2: processes.web.port: ", ".env:2: ", "procman.yml:3: processes.wbe: ",
        "", "", "",
    ]  # fmt: skip


def test_without_a_procfile_the_other_inputs_are_still_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, env="FOO", yml="formation: {web: x}\nprocesses: {nobody: {}}")
    faults = faults_of(Options(types=("web",)))
    assert [fault.split(":")[0] for fault in faults[1:]] == [".env", "procman.yml"]


def test_nothing_heavy_is_imported_unless_the_inputs_need_it(folder):
    code = (
        "import sys; from procman.config.load import Options, load; load(Options(), {})\n"
        "heavy = 'yaml dotenv logging asyncio subprocess pathlib difflib psutil'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    environ = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    run = subprocess.run([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, check=True, env=environ)
    assert run.stdout == b"[]\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    procfile=st.binary(max_size=50), env=st.binary(max_size=50), yml=st.binary(max_size=50), words=st.text(max_size=9)
)
def test_any_inputs_give_a_plan_or_faults(folder, procfile, env, yml, words):
    write(folder, Procfile=b"web: a\n" + procfile, env=env, yml=yml)
    options = Options(types=(words,), formation=(words,), env_files=(".env",))
    with contextlib.suppress(ConfigError):
        load(options, {"PORT": words})


# ---- one-offs


def test_a_one_off_has_the_settings_of_its_type_and_no_port(folder):
    (folder / "sub").mkdir()
    write(folder, env="A=1", yml="processes: {release: {env: {B: 2}, cwd: sub, port: 80}}")
    inputs = load_one_off(Options(), {"PORT": "3000", "PS": "x"}, "release")
    assert (inputs.env, inputs.root) == ({"A": "1"}, str(folder))
    spec = inputs.spec
    assert spec is not None
    assert (spec.command, spec.cwd, spec.environment(), spec.port) == (
        "migrate",
        str(folder / "sub"),
        {"A": "1", "B": "2"},
        None,
    )


def test_a_one_off_in_a_worker_finds_the_ports_of_the_formation_and_not_its_own_as_the_base(folder):
    """`procman run` in worker.1 of `start -p 6000`."""
    write(folder, env="URL=http://localhost:${PORT}\nAPI=${PROCMAN_PORT_WORKER}\n")
    around = {"PORT": "6100", "PROCMAN_PORT_WEB": "6000", "PROCMAN_PORT_WORKER": "6100"}
    inputs = load_one_off(Options(), around, "bash")
    assert inputs.ports == {"PROCMAN_PORT_WEB": "6000", "PROCMAN_PORT_WORKER": "6100"}
    assert inputs.env == {"URL": "http://localhost:6000", "API": "6100"}


def test_a_one_off_may_be_no_type(folder):
    ports = {"PROCMAN_PORT_WEB": "5000", "PROCMAN_PORT_WORKER": "5100"}
    assert load_one_off(Options(), {"A": "1"}, "bash") == OneOffInputs(None, {"A": "1"}, str(folder), ports)


def test_a_one_off_needs_no_procfile_unless_it_was_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, env="A=1")
    assert load_one_off(Options(), {}, "bash") == OneOffInputs(None, {"A": "1"}, str(tmp_path))
    with pytest.raises(ConfigError, match="no such file"):
        load_one_off(Options(procfile="gone"), {}, "bash")


def test_a_one_off_minds_neither_ports_nor_counts(folder):
    write(folder, yml="formation: {web: 500}")
    assert load_one_off(Options(), {"PORT": "x"}, "web").spec is not None


def test_a_one_off_minds_faulty_inputs(folder):
    write(folder, Procfile="web: a\nx", env="FOO", yml="processes: {nobody: {}}")
    with pytest.raises(ConfigError) as caught:
        load_one_off(Options(), {}, "web")
    assert len(caught.value.faults) == 3


# ---- the ports of the others


def test_an_environment_file_can_name_the_port_of_a_type(folder):
    """`REDIS_URL=redis://localhost:${PROCMAN_PORT_WORKER}/0`: as everywhere `${NAME}` is what the child sees."""
    write(folder, env="URL=http://${PROCMAN_PORT_WORKER}/${PORT}\nKEPT='${PROCMAN_PORT_WEB}'\nNONE=${PROCMAN_PORT_X}\n")
    expected = {"URL": "http://7100/7000", "KEPT": "${PROCMAN_PORT_WEB}", "NONE": ""}
    assert load(Options(port=7000), {"PROCMAN_PORT_WEB": "1"}).types["web"].environment() == expected
    write(folder, yml="processes: {worker: {port: 9000}}", env="URL=${PROCMAN_PORT_WORKER}")
    assert load(Options(), {}).types["web"].environment() == {"URL": "9000"}
    assert load_one_off(Options(), {}, "bash").env == {"URL": "9000"}
    assert load_one_off(Options(), {}, "release").spec.environment() == {"URL": "9000"}

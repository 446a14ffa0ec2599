"""Inputs as people give them: from a pipe, in another folder, in another locale; and what of them reaches a process."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from harness import BIN, PYTHON, World
from upgrades import upgrade

pytestmark = pytest.mark.processes

BASH = "/bin/bash"
SHOW = (
    f'{PYTHON} -c "import os, time; print(*[os.environ.get(n) for n in os.environ[chr(83)].split()]); time.sleep(1000)"'
)
"""Prints the variables that S names, and stays."""


def bash(world: World, line: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([BASH, "-c", line], cwd=world.folder, env=world.env | more, capture_output=True, timeout=30)


def test_a_procfile_from_a_shells_pipe_runs_in_the_current_folder(world: World) -> None:
    world.file("Procfile", "css: false\nweb: echo it is $NAME; pwd\n")
    world.file(".env", "NAME=me\n")
    done = bash(world, "procman start --no-restart --no-prefix -f <(grep -v css Procfile)")
    assert f"it is me\n{os.path.realpath(world.folder)}\n" in done.stdout.decode()


@pytest.mark.parametrize("path", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_a_procfile_from_standard_input_by_its_path_does_so_too(world: World, path: str) -> None:
    done = bash(world, f"echo 'web: pwd; true' | procman start --no-restart --no-prefix -f {path}")
    assert f"{os.path.realpath(world.folder)}\n" in done.stdout.decode()


def test_settings_from_a_shells_pipe_can_be_checked_too(world: World) -> None:
    world.file("Procfile", "web: true\n")
    done = bash(world, "procman check --config <(echo 'formation: {web: 3}')")
    assert (done.returncode, b"web" in done.stdout, done.stderr) == (0, True, b"")


@pytest.mark.parametrize(
    ("option", "content"), [("-f", "web: true\n"), ("-e", "A=1\n"), ("--config", "formation: {web: 1}\n")]
)
def test_a_named_pipe_is_waited_for_and_a_line_says_so(world: World, option: str, content: str) -> None:
    world.file("Procfile", "web: true\n")
    pipe = world.folder / "pipe"
    os.mkfifo(pipe)
    check = subprocess.Popen(
        [BIN, "check", option, "pipe"], cwd=world.folder, env=world.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert check.stdout is not None
    assert check.stderr is not None
    line = check.stderr.readline()
    pipe.write_text(content)
    out, rest = check.communicate(timeout=30)
    assert re.fullmatch(rb"procman: waiting for \S*pipe: no process has written to it yet\n", line)
    assert (check.returncode, b"web" in out, rest) == (0, True, b"")


def test_a_reload_waits_for_no_pipe(world: World) -> None:
    """A file that has become a named pipe since the start would keep procman from everything else."""
    world.file("web.env", "A=1\n")
    world.procfile(web="sleep 1000")
    supervisor = world.start("-e", "web.env")
    supervisor.up("web.1")
    (world.folder / "web.env").unlink()
    os.mkfifo(world.folder / "web.env")
    done = world.run("reload")
    assert done.code != 0
    assert "cannot read web.env: it is a named pipe" in done.err


def test_what_could_be_read_once_is_there_after_a_reload_and_an_upgrade(world: World) -> None:
    world.file("Procfile", f"web: {SHOW}\n")
    world.env["S"] = "SECRET"
    reader, writer = os.pipe()
    os.write(writer, b"SECRET=hunter2\n")
    os.close(writer)
    supervisor = world.start("-e", f"/dev/fd/{reader}", pass_fds=(reader,))
    os.close(reader)
    supervisor.expect(r"web\.1 +\| hunter2")
    for _ in range(2):
        done = world.run("reload")
        assert (done.code, "affects no instance" in done.out) == (0, True), done
        upgrade(supervisor)
    world.run("restart", "web")
    supervisor.expect(r"web\.1 +\| hunter2")


@pytest.mark.parametrize("command", [f"{PYTHON} show.py", f"true && {PYTHON} show.py", f"{PYTHON} show.py $NONE"])
@pytest.mark.parametrize("settings", ["", "processes: {web: {cwd: deep}}"])
def test_pwd_is_the_working_directory_on_every_route(world: World, command: str, settings: str) -> None:
    script = "import os; print(os.environ['PWD'] == os.getcwd(), os.path.basename(os.getcwd()))"
    for folder in ("sub", "sub/deep"):
        world.file(f"{folder}/show.py", script)
    world.file("sub/Procfile", f"web: {command}\n")
    world.file("sub/procman.yml", settings)
    name = "deep" if settings else "sub"
    for line in ("start --no-restart --no-prefix -d sub", "run -d sub web"):
        done = bash(world, f"procman {line}", PWD=str(world.folder))
        assert f"True {name}\n" in done.stdout.decode(), done


@pytest.mark.parametrize("before", ["", "/usr"])
def test_oldpwd_is_that_of_the_start_also_where_a_shell_has_entered_the_folder(world: World, before: str) -> None:
    script = "import os; print('OLDPWD', os.environ.get('OLDPWD', 'none'))"
    world.file("deep/show.py", script)
    world.file("Procfile", f"web: {PYTHON} show.py\n")
    world.file("procman.yml", "processes: {web: {cwd: deep}}")
    change = "export OLDPWD=/usr" if before else "unset OLDPWD"
    for line in ("start --no-restart --no-prefix", "start --no-restart --no-prefix --tty", "run web"):
        done = bash(world, f"{change}; procman {line}")
        assert f"OLDPWD {before or 'none'}" in done.stdout.decode(), done


@pytest.mark.parametrize("option", ["--tty", "--no-tty"])
def test_a_shell_on_the_way_changes_no_variable_of_the_program(world: World, option: str) -> None:
    names = ("before", "pid", "name", "state", "parent", "rest", "go")
    world.file("deep/show.py", f"import os; print(*(os.environ.get(name) for name in {names}))")
    world.file("Procfile", f"web: {PYTHON} show.py\n")
    world.file("procman.yml", "processes: {web: {cwd: deep}}")
    done = bash(world, f"procman start --no-restart --no-prefix {option}", **dict.fromkeys(names, "mine"))
    assert " ".join(["mine"] * len(names)) in done.stdout.decode(), done


@pytest.mark.parametrize("locale", ["en_US.ISO-8859-1", "C", "POSIX", "C.UTF-8"])
@pytest.mark.parametrize("text", ["Zoë", "Łódź", "日本"])
def test_the_bytes_of_a_file_reach_the_process_in_any_locale(world: World, locale: str, text: str) -> None:
    world.file("show.py", "import os; print(os.environb[b'NAME'], os.environb[b'OTHER'], os.environb[b'ARG'])")
    world.file(".env", f"NAME={text}\nOTHER='{text}'\n")
    world.file("Procfile", f"web: ARG={text} {PYTHON} show.py\n")
    world.file("procman.yml", f"processes: {{web: {{env: {{THIRD: {text}}}}}}}")
    for line in ("start --no-restart --no-prefix", "run web"):
        done = bash(world, f"procman {line}", LC_ALL=locale, PYTHONCOERCECLOCALE="0")
        assert repr(text.encode()) in done.stdout.decode(), done
        assert done.stdout.decode().count(repr(text.encode())) == 3


def test_the_nearest_folder_with_a_procfile_is_taken_and_told(world: World) -> None:
    world.file("Procfile", "web: true\n")
    world.file(".env", "FOO=bar\n")
    (world.folder / "a" / "b").mkdir(parents=True)
    for line, shown in (("run 'echo =$FOO='", "=bar=\n"), ("check", "web "), ("start --no-restart", "web.1")):
        done = bash(world, f"cd a/b && procman {line}")
        assert shown in done.stdout.decode()
        assert f"using {os.path.realpath(world.folder)}, the nearest folder" in done.stderr.decode()


@pytest.mark.parametrize("beside", ["", "Procfile"])
def test_in_a_folder_entered_through_a_link_every_verb_finds_the_same_project(world: World, beside: str) -> None:
    """The folder of the link has a Procfile (`beside`), or only the folder that it leads to."""
    world.file("app/Procfile", "web: exec sleep 1000\n")
    (world.folder / "app" / "sub").mkdir()
    world.file(f"home/{beside or 'other'}", "web: exec sleep 1001\n")
    (world.folder / "home" / "jump").symlink_to(world.folder / "app" / "sub")
    here = {"cwd": world.folder / "home" / "jump", "env": {**world.env, "PWD": str(world.folder / "home" / "jump")}}
    world.start(cwd=world.folder / "app").up("web.1")
    assert ("1001" in world.run("check", **here).out) is bool(beside)
    ps = world.run("ps", **here)
    assert (ps.code, f"no procman runs for {world.folder / 'home'}" in ps.err) == ((3, True) if beside else (0, False))


def test_in_a_folder_that_was_removed_every_verb_says_so(world: World) -> None:
    world.file("app/Procfile", "web: true\n")
    for verb in ("ps", "check", "start", "shutdown"):
        done = bash(world, f"mkdir -p gone && cd gone && rmdir ../gone && procman {verb}")
        assert "cannot find the current folder" in done.stderr.decode()


def test_a_reload_finds_the_release_that_a_link_leads_to_now(world: World) -> None:
    for number in (1, 2):
        world.file(f"releases/{number}/Procfile", f"web{number}: pwd -P; exec sleep 1000\n")
    link = world.folder / "current"
    link.symlink_to("releases/1")
    supervisor = world.start("-d", str(link))
    supervisor.expect(r"web1\.1 +\| .*/releases/1$")
    link.unlink()
    link.symlink_to("releases/2")
    assert world.run("reload", "--socket", supervisor.address).code == 0
    supervisor.expect(r"web2\.1 +\| .*/releases/2$")


def test_a_folder_that_was_made_anew_is_the_root_after_a_reload(world: World) -> None:
    world.file("app/Procfile", "web: exec sleep 1000\n")
    supervisor = world.start(cwd=world.folder / "app")
    supervisor.up("web.1")
    (world.folder / "app").rename(world.folder / "old")
    world.file("app/Procfile", "job: pwd -P; exec sleep 1000\n")
    assert world.run("reload", "--socket", supervisor.address).code == 0
    assert Path(supervisor.expect(r"job\.1 +\| (.*)")[1]).name == "app"

"""One folder, one procman, on one machine; and two machines that share the folder are two."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest
from harness import World, alive, children_of, guardian_of, open_world

UP = "echo up from $(pwd -P); exec sleep 1000"


def moved(world: World, name: str) -> dict[str, str]:
    """The environment of one who shares no folder with the others, and has no runtime folder."""
    folder = world.folder / "tmp" / name
    folder.mkdir(parents=True, exist_ok=True)
    return {key: value for key, value in world.env.items() if key != "XDG_RUNTIME_DIR"} | {"TMPDIR": str(folder)}


def refused_with(world: World, pid: int, *args: str, **how: object) -> bool:
    done = world.run("start", *args, **how)
    assert f"cannot start: procman (pid {pid}" in done.err, done
    return done.code == 1


def test_whatever_tmpdir_says_there_is_one_and_it_is_found(world: World) -> None:
    world.procfile(a=UP)
    supervisor = world.start(env=moved(world, "A"))
    supervisor.expect("up from")
    assert refused_with(world, supervisor.pid, env=moved(world, "B"))
    assert "a.1" in world.run("ps", env=moved(world, "B")).out
    assert world.run("shutdown", env=moved(world, "C")).code == 0
    assert supervisor.wait() == 0


def test_a_start_after_a_kill_waits_for_the_guardian_whatever_tmpdir_says(world: World) -> None:
    world.procfile(a="trap 'sleep 0.5; exit' TERM; echo up; while :; do sleep 0.1; done")
    first = world.start("-t", "10", env=moved(world, "A"))
    first.expect("up")
    guardian_of(first)  # it runs, and is no longer on its way to its program
    (pid,) = children_of(first.pid)
    first.process.kill()
    second = world.start(env=moved(world, "B"))
    second.expect("up")
    assert not alive(pid)


def test_a_bind_mount_of_the_folder_is_the_same_folder(world: World) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare(1)")
    world.procfile(a=UP)
    supervisor = world.start(env=moved(world, "A"))
    supervisor.expect("up from")
    (world.folder / "bound").mkdir()
    mount = f"mount --bind {world.folder} {world.folder}/bound && exec {world.bin} "
    for verb, says in (("start", f"(pid {supervisor.pid})"), ("ps", "a.1")):
        command = ["unshare", "-m", "sh", "-c", f"{mount} {verb} -d {world.folder}/bound"]
        done = subprocess.run(command, env=moved(world, "B"), capture_output=True, text=True, timeout=20)
        assert says in done.stdout + done.stderr, done


def test_two_containers_that_share_the_folder_and_tmp_do_not_see_each_other(world: World) -> None:
    if subprocess.run(["unshare", "-p", "-f", "--mount-proc", "true"], capture_output=True).returncode != 0:
        pytest.skip("needs unshare(1) and the right to use it")
    world.procfile(a=UP)
    before = ("unshare", "-p", "-f", "--kill-child", "--mount-proc")
    both = [world.start(before=before) for _ in range(2)]
    for one in both:
        one.expect("procman .*: a 1")
        one.expect("up from")
    host = world.start()
    host.expect("up from")
    assert host.pids()["a.1"] in children_of(host.pid)
    assert world.run("shutdown").code == 0
    assert host.wait() == 0
    assert "a.1" in world.run("ps").out  # from outside, one of the inner ones
    for one in both:
        one.process.kill()  # and the namespace with it


def test_root_and_a_user_do_not_run_one_folder_side_by_side() -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv(1)")
    with open_world() as world:
        world.procfile(a=UP)
        user = ("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups")
        if subprocess.run([*user, world.bin, "--version"], capture_output=True).returncode != 0:
            pytest.skip("another user may not execute the procman that is tested")
        supervisor = world.start(before=user, env=world.env | {"XDG_RUNTIME_DIR": "", "TMPDIR": "/nonexistent"})
        supervisor.expect("up from")
        assert refused_with(world, supervisor.pid, env=moved(world, "B"))
        assert "a.1" in world.run("ps", env=moved(world, "B")).out


def test_a_user_is_told_whose_procman_runs_here() -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv(1)")
    with open_world() as world:
        world.procfile(a=UP)
        user = ("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", world.bin)
        if subprocess.run([*user, "--version"], capture_output=True).returncode != 0:
            pytest.skip("another user may not execute the procman that is tested")
        supervisor = world.start()
        supervisor.expect("up from")
        for verb in ("ps", "shutdown"):
            done = subprocess.run(
                [*user, verb], cwd=world.folder, env=moved(world, "B"), capture_output=True, text=True
            )
            assert f"pid {supervisor.pid} of user root runs for {world.folder}, and only that user" in done.stderr
            assert "start it with" not in done.stderr
        done = subprocess.run([*user, "start"], cwd=world.folder, env=moved(world, "B"), capture_output=True, text=True)
        assert f"procman (pid {supervisor.pid}, user root) already runs here" in done.stderr
        assert "procman ps" not in done.stderr


def test_a_start_as_root_of_a_user_namespace_is_refused_by_the_procman_outside(world: World) -> None:
    """The descriptors of that one are listed there and cannot be read, as if it had been killed."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-r", "true"]).returncode != 0:
        pytest.skip("needs user namespaces")
    world.procfile(a=UP)
    supervisor = world.start()
    supervisor.expect("up from")
    done = subprocess.run(["unshare", "-r", world.bin, "start"], cwd=world.folder, env=world.env, capture_output=True)
    assert (done.returncode, b"was killed" in done.stderr) == (1, False)
    assert b"already runs here" in done.stderr


def test_when_the_folder_of_the_socket_is_gone_a_start_names_the_pid_and_hup_makes_it_again(world: World) -> None:
    world.procfile(a=UP)
    supervisor = world.start()
    supervisor.expect("up from")
    shutil.rmtree(world.runtime / "procman")
    assert refused_with(world, supervisor.pid)
    assert "a.1" in world.run("ps").out  # by its name
    supervisor.signal(signal.SIGHUP)
    supervisor.expect("the socket .* was removed: it is created again")
    assert supervisor.ps()["a.1"]["pid"]


@pytest.mark.parametrize("how", ["-d", "cd"])
def test_a_reload_follows_a_link_to_the_next_release(world: World, how: str) -> None:
    for number in (1, 2):
        world.file(f"releases/{number}/Procfile", f"web: echo release-{number} from $(pwd -P); exec sleep 1000\n")
    current = world.folder / "current"
    current.symlink_to("releases/1")
    where = {"cwd": current, "env": world.env | {"PWD": str(current)}} if how == "cd" else {}
    supervisor = world.start(*(["-d", str(current)] if how == "-d" else []), **where)
    supervisor.expect("release-1 from .*releases/1$")
    current.unlink()
    current.symlink_to("releases/2")
    assert "web.1" in world.run("ps", "-d", str(current)).out
    assert refused_with(world, supervisor.pid, "-d", str(current))
    done = world.run("reload", "--wait", "-d", str(current))
    assert done.code == 0, done
    supervisor.expect("release-2 from .*releases/2$")
    for folder in (current, world.folder / "releases" / "1", world.folder / "releases" / "2"):
        assert "web.1" in world.run("ps", "-d", str(folder)).out
    assert os.readlink(f"/proc/{supervisor.pid}/cwd").endswith("releases/2")


def test_a_reload_says_that_unchanged_types_run_in_the_earlier_release(world: World) -> None:
    for number in (1, 2):
        world.file(f"releases/{number}/Procfile", f"web: echo from $(pwd -P); {UP}\n")
    current = world.folder / "current"
    current.symlink_to("releases/1")
    supervisor = world.start("-d", str(current))
    supervisor.expect("from .*releases/1$")
    assert "leads to" not in world.run("reload", "-d", str(current)).out
    current.unlink()
    current.symlink_to("releases/2")
    answer = world.run("reload", "-d", str(current)).out
    second = os.path.realpath(current)
    assert answer.splitlines() == [
        "reloaded; affects no instance",
        f"the folder now leads to {second}; `procman restart` moves what still runs in the earlier one",
    ]
    assert world.run("restart", "--wait", "-d", str(current)).code == 0
    supervisor.expect("from .*releases/2$")


def test_a_folder_removed_and_made_anew_is_where_a_reload_goes_on(world: World) -> None:
    app = world.folder / "app"
    world.file("app/Procfile", f"web: {UP}\n")
    supervisor = world.start("-d", str(app))
    supervisor.expect("up from")
    shutil.rmtree(app)
    gone = world.run("reload", "-d", str(app))
    assert gone.code == 2, gone
    assert "no such folder" in gone.err, gone
    world.file("app/Procfile", f"web: echo anew; {UP}\n")
    assert world.run("reload", "--wait", "-d", str(app)).code == 0
    supervisor.expect("anew")
    assert "(deleted)" not in os.readlink(f"/proc/{supervisor.pids()['web.1']}/cwd")


SERVER = "#!/bin/sh\necho release-{} in $(pwd -P), PWD=$PWD, at $0\nexec sleep 1000\n"


@pytest.mark.parametrize("tty", ["--tty", "--no-tty"])
def test_until_a_reload_everything_of_an_instance_is_of_one_release(world: World, tty: str) -> None:
    """Its folder, PWD and its program: also of a type with a folder of its own, which is found by its path."""
    for number in (1, 2):
        for folder in (f"releases/{number}", f"releases/{number}/sub"):
            world.file(f"{folder}/server", SERVER.format(number), 0o755)
        world.file(f"releases/{number}/Procfile", "web: ./server\napi: ./server\n")
        world.file(f"releases/{number}/procman.yml", "processes: {api: {cwd: sub}}\n")
    current = world.folder / "current"
    current.symlink_to("releases/1")
    supervisor = world.start("-d", str(current), tty)
    for _ in ("web", "api"):
        supervisor.expect(rf"release-1 in .*, PWD={current}\S*, at {current}/")
    current.unlink()
    current.symlink_to("releases/2")
    first = os.path.realpath(world.folder / "releases" / "1")
    for name, folder in (("web", first), ("api", f"{first}/sub")):
        assert world.run("restart", name, "-d", str(current)).code == 0
        supervisor.expect(rf"{name}\.1 .*release-1 in {folder}, PWD={folder}, at {folder}/")
    assert world.run("reload", "-d", str(current)).code == 0
    for name, folder in (("web", current), ("api", current / "sub")):
        assert world.run("restart", name, "-d", str(current)).code == 0
        supervisor.expect(rf"{name}\.1 .*release-2 in .*, PWD={folder}, at {folder}/")


@pytest.mark.parametrize("how", ["restart", "scale", "crash"])
def test_a_start_in_a_folder_that_was_removed_says_so_and_goes_on_in_the_one_of_its_name(
    world: World, how: str
) -> None:
    app = world.folder / "app"
    world.file("app/Procfile", f"web: {UP}\n")
    world.file("app/procman.yml", "defaults: {restart: {delay: 0.1}}\n")
    supervisor = world.start("-d", str(app))
    supervisor.expect("up from")
    pid = supervisor.pids()["web.1"]
    shutil.rmtree(app)
    if how == "crash":
        os.kill(pid, signal.SIGKILL)
    else:
        assert world.run(*{"restart": ("restart", "web"), "scale": ("scale", "web=2")}[how], "-d", str(app)).code == 0
    supervisor.expect(rf"web\.\d did not start: its folder {app} was removed")
    world.file("app/Procfile", f"web: {UP}\n")
    supervisor.expect(f"{app} is another folder now: new processes run there")
    supervisor.expect(rf"web\.\d .*up from {os.path.realpath(app)}$")
    assert "web." in world.run("ps", "-d", str(app)).out


def test_a_release_that_was_removed_is_left_for_the_one_that_the_link_leads_to(world: World) -> None:
    for number in (1, 2):
        world.file(f"releases/{number}/Procfile", f"web: {UP}\n")
    current = world.folder / "current"
    current.symlink_to("releases/1")
    supervisor = world.start("-d", str(current))
    supervisor.expect("up from .*releases/1$")
    current.unlink()
    current.symlink_to("releases/2")
    shutil.rmtree(world.folder / "releases" / "1")
    assert world.run("restart", "web", "-d", str(current)).code == 0
    supervisor.expect("another folder now, .*releases/2: .*`procman reload` reads its Procfile")
    supervisor.expect("up from .*releases/2$")
    assert refused_with(world, supervisor.pid, "-d", str(world.folder / "releases" / "2"))


def test_after_an_upgrade_it_is_found_by_its_name_as_before(world: World) -> None:
    world.procfile(a=UP)
    supervisor = world.start(env=moved(world, "A"))
    supervisor.expect("up from")
    assert world.run("upgrade", env=moved(world, "B")).code == 0
    assert "a.1" in world.run("ps", env=moved(world, "B")).out
    assert refused_with(world, supervisor.pid, env=moved(world, "B"))

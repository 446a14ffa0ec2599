"""`start --watch`: a change of a file restarts whom it concerns, and nothing that happens to the watcher disturbs."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

import pytest
from harness import PYTHON, Supervisor, World, children_of, eventually

pytest.importorskip("watchfiles")

IDLE = f"{PYTHON} -c 'import time; time.sleep(1000)'"
SETTINGS = "processes:\n  web: {watch: ['web/**/*.py']}\n  job: {watch: ['job/*']}\n"


@pytest.fixture
def watched(world: World) -> Supervisor:
    """web and job, each with a folder of its own, and a watcher that is ready."""
    for name in ("web/a.py", "web/deep/b.py", "job/list.txt"):
        world.file(name, "")
    world.file("procman.yml", SETTINGS)
    world.procfile(web=IDLE, job=IDLE)
    supervisor = world.start("--watch")
    supervisor.phase(web_1="ready", job_1="ready")
    supervisor.expect("@watch.1 +\\| watching")
    return supervisor


def changed(supervisor: Supervisor, *paths: str, text: str = "x") -> None:
    for path in paths:
        supervisor.world.file(path, text)


def first_change(supervisor: Supervisor, path: str) -> None:
    """Change it until that is seen: the watcher says that it watches just before it does."""

    def seen() -> bool:
        changed(supervisor, path)
        return supervisor.world.run("logs", "@watch").out.count("restarting") > 0

    eventually(seen, "the first change is seen")


def watcher_of(supervisor: Supervisor) -> int:
    def found() -> int | None:
        for pid in children_of(supervisor.pid):
            if b"procman.companions.watcher" in _arguments(pid):
                return pid
        return None

    pid = eventually(found, "a watcher")
    assert pid is not None
    return pid


def _arguments(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_change_restarts_the_type_that_it_concerns(watched: Supervisor) -> None:
    first_change(watched, "web/deep/b.py")
    watched.until(lambda rows: rows["web.1"]["generation"] > 1, "web is restarted")
    assert watched.ps()["job.1"]["generation"] == 1
    watched.expect(r"@watch\.1 +\| restarting web: web/deep/b\.py changed")
    assert not any("procman restart" in line for line in watched.own())  # nobody has typed that


def test_the_watcher_is_nobodys_business(watched: Supervisor) -> None:
    assert set(watched.ps()) == {"web.1", "job.1"}
    assert watched.ask("ps")["fleet"]["formation"] == {"web": 1, "job": 1}
    assert watched.world.run("scale").out == "web=1 job=1\n"


def test_a_watcher_that_is_killed_comes_back_and_disturbs_nobody(watched: Supervisor) -> None:
    before = watched.pids()
    os.kill(watcher_of(watched), signal.SIGKILL)
    watched.expect(r"@watch\.1 ended: SIGKILL")
    watched.expect(r"@watch\.1 +\| watching")
    assert watched.pids() == before
    first_change(watched, "job/list.txt")
    watched.until(lambda rows: rows["job.1"]["generation"] > 1, "job is restarted")


def test_who_was_stopped_stays_so(watched: Supervisor) -> None:
    watched.ask("scale", to={"web": 2})
    watched.phase(web_1="ready", web_2="ready")
    watched.ask("stop", names=["web.1"])
    watched.phase(web_1="stopped")
    first_change(watched, "web/a.py")
    watched.until(lambda rows: rows["web.2"]["generation"] > 1, "web.2 is restarted")
    assert watched.ps()["web.1"]["phase"] == "stopped"


def test_a_reload_changes_what_is_watched_and_restarts_no_worker(watched: Supervisor) -> None:
    watched.world.file("procman.yml", SETTINGS.replace("job/*", "web/*"))
    before = watched.pids()
    assert watched.world.run("reload").code == 0
    watched.expect(r"@watch\.1 +\| watching")
    assert watched.pids() == before
    first_change(watched, "web/a.py")
    watched.until(lambda rows: rows["job.1"]["generation"] > 1, "job is restarted")


def test_a_formation_that_is_done_ends_with_its_watcher(world: World) -> None:
    world.procfile(job=f"{PYTHON} -c 'import time; time.sleep(0.1)'")
    supervisor = world.start("--watch")
    assert supervisor.wait() == 0


def test_a_burst_of_changes_is_one_restart(watched: Supervisor) -> None:
    first_change(watched, "web/a.py")
    watched.phase(web_1="ready")
    told = watched.world.run("logs", "@watch").out.count("restarting web")
    changed(watched, *(f"web/new{n}.py" for n in range(100)))
    watched.expect(r"restarting web: web/new0\.py and 99 more changed")
    assert watched.world.run("logs", "@watch").out.count("restarting web") == told + 1


def test_without_watchfiles_it_is_refused(world: World) -> None:
    world.procfile(web=IDLE)
    world.file("hidden/sitecustomize.py", "import sys; sys.modules['watchfiles'] = None\n")
    done = world.run("start", "--watch", env={**world.env, "PYTHONPATH": str(world.folder / "hidden")})
    assert done.code == 2
    refused, hint = done.err.splitlines()
    assert refused == "procman: cannot watch files: watchfiles is not installed"
    assert re.fullmatch(r"procman: `/\S+ -m pip install 'watchfiles>=1'` installs it", hint)


def test_patterns_alone_watch_nothing(world: World) -> None:
    world.file("procman.yml", "processes: {web: {watch: ['**']}}")
    world.procfile(web=IDLE)
    supervisor = world.start()
    supervisor.up("web.1")
    assert not any(b"watcher" in _arguments(pid) for pid in children_of(supervisor.pid))


def test_a_change_while_it_restarts_is_one_more_restart(watched: Supervisor) -> None:
    first_change(watched, "web/a.py")
    seen = watched.until(lambda rows: rows["web.1"]["generation"] > 1, "web is restarted")["web.1"]["generation"]
    changed(watched, "web/a.py", text="again")
    watched.until(lambda rows: rows["web.1"]["generation"] > seen, "web is restarted again")


def test_the_watcher_goes_on_over_an_upgrade(watched: Supervisor) -> None:
    first_change(watched, "job/list.txt")
    before = watched.pids("web")
    watcher = watcher_of(watched)
    assert watched.world.run("upgrade").code == 0
    assert watcher_of(watched) == watcher
    changed(watched, "web/a.py")
    watched.until(lambda now: now["web.1"]["pid"] not in (None, before["web.1"]), "web is restarted")


def swap(link: Path, target: str) -> None:
    """Another link takes the name, as `ln -sfn` and Kubernetes do it."""
    new = link.with_name("..new")
    new.symlink_to(target)
    new.rename(link)


def test_a_config_map_that_is_swapped_restarts_whom_it_concerns_each_time(world: World) -> None:
    """Kubernetes mounts the files as links into `..data`, and swaps that link."""
    for release in range(4):
        world.file(f"config/..{release}/app.yml", f"a: {release}")
    folder = world.folder / "config"
    (folder / "..data").symlink_to("..0")
    (folder / "app.yml").symlink_to("..data/app.yml")
    world.file("procman.yml", "processes: {web: {watch: [config/*.yml]}}")
    world.procfile(web=IDLE, job=IDLE)
    supervisor = world.start("--watch")
    supervisor.phase(web_1="ready", job_1="ready")
    supervisor.expect("@watch.1 +\\| watching config")
    for release in (1, 2, 3):
        before = supervisor.ps()["web.1"]["generation"]
        swap(folder / "..data", f"..{release}")
        supervisor.until(lambda rows, old=before: rows["web.1"]["generation"] > old, "web is restarted")
    supervisor.expect(r"restarting web: config/app\.yml changed")
    assert supervisor.ps()["job.1"]["generation"] == 1


def test_a_file_behind_a_link_restarts_whom_it_concerns(watched: Supervisor) -> None:
    target = watched.world.file("elsewhere/shared.py", "1")

    def asked() -> int:
        return watched.world.run("logs", "@watch").out.count("restarting web: web/0.py")

    (watched.world.folder / "web" / "0.py").symlink_to(target)
    eventually(asked, "the link is seen")
    for text in ("12", "123"):
        before = asked()
        watched.world.file("elsewhere/shared.py", text)
        eventually(lambda before=before: asked() > before, "the change behind it is seen")
    watched.until(lambda rows: rows["web.1"]["generation"] > 1, "web is restarted")


def test_a_watched_folder_that_is_removed_and_made_again_is_watched_again(watched: Supervisor) -> None:
    first_change(watched, "job/list.txt")

    def asked() -> int:
        return watched.world.run("logs", "@watch").out.count("restarting job: job/")

    for name in ("job/c.txt", "job/b.txt"):  # each before what is removed, as the first is named
        shutil.rmtree(watched.world.folder / "job")
        changed(watched, name)
        eventually(lambda name=name: f"restarting job: {name}" in watched.world.run("logs", "@watch").out, "it is seen")
    before = asked()
    changed(watched, "job/a.txt", text="later")
    eventually(lambda: asked() > before, "a change in it is seen")


def test_a_file_that_is_written_under_another_name_first_restarts_whom_it_concerns(watched: Supervisor) -> None:
    """As editors do it."""
    first_change(watched, "web/a.py")
    seen = watched.until(lambda rows: rows["web.1"]["generation"] > 1, "web is restarted")["web.1"]["generation"]
    watched.world.file("web/.a.py.swp", "new").rename(watched.world.folder / "web" / "a.py")
    watched.until(lambda rows: rows["web.1"]["generation"] > seen, "web is restarted again")

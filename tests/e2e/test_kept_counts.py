"""`keep_counts: true`: a count that was set at run time outlives procman, however that ended."""

from __future__ import annotations

import signal

import pytest
from harness import PYTHON, Supervisor, World

IDLE = f"{PYTHON} -c 'import time; time.sleep(1000)'"


@pytest.fixture
def kept(world: World) -> World:
    """Two types, whose counts are kept in a folder of the test's own."""
    world.env["XDG_STATE_HOME"] = str(world.folder / "state")
    world.file("procman.yml", "keep_counts: true\nprocesses: {worker: {max: 5}}\n")
    world.procfile(web=IDLE, worker=IDLE)
    return world


def formation(supervisor: Supervisor) -> dict[str, int]:
    counts: dict[str, int] = supervisor.ask("ps")["fleet"]["formation"]
    return counts


def scaled(world: World, *options: str, **to: int) -> Supervisor:
    supervisor = world.start(*options)
    supervisor.up("web.1", "worker.1")
    supervisor.ask("scale", to=to)
    return supervisor


def test_a_count_holds_at_the_next_start_and_the_first_line_says_so(kept):
    assert scaled(kept, worker=3).stop() == 0
    supervisor = kept.start()
    supervisor.expect(r"web 1, worker 3 \(kept\)")
    supervisor.up("worker.3")
    assert formation(supervisor) == {"web": 1, "worker": 3}


def test_a_count_outlives_a_kill_and_what_kept_it_is_whole(kept):
    supervisor = scaled(kept, worker=2, web=2)
    supervisor.signal(signal.SIGKILL)
    supervisor.wait()
    after = kept.start()
    after.expect(r"web 2 \(kept\), worker 2 \(kept\)")


def test_a_start_in_the_background_says_the_counts_that_run(kept):
    assert scaled(kept, worker=2).stop() == 0
    try:
        assert ": web 1, worker 2\n" in kept.run("start", "--detach").out
    finally:
        kept.run("shutdown")


def test_it_is_forgotten_when_asked(kept):
    assert scaled(kept, worker=3).stop() == 0
    forgotten = kept.start("--forget")
    forgotten.expect("web 1, worker 1;")
    forgotten.up("worker.1")
    assert forgotten.stop() == 0
    kept.start().expect("web 1, worker 1;")


def test_each_formation_of_a_folder_has_its_own(kept):
    assert scaled(kept, "--name", "test", worker=3).stop() == 0
    kept.start().expect("web 1, worker 1;")


def test_a_file_that_is_broken_is_one_line_and_no_end(kept):
    assert scaled(kept, worker=3).stop() == 0
    (file,) = (kept.folder / "state" / "procman").iterdir()
    file.write_text('{"counts": ')
    supervisor = kept.start()
    supervisor.expect("web 1, worker 1;")
    supervisor.up("worker.1")
    assert "cannot read the counts that were kept" in kept.errors()


def test_without_the_key_nothing_is_kept(kept):
    kept.file("procman.yml", "{}")
    assert scaled(kept, worker=3).stop() == 0
    assert not (kept.folder / "state").exists()


@pytest.mark.parametrize("content", [b"", b'{"root": "/srv", "cou', b"\0" * 40], ids=["empty", "half", "zeros"])
def test_a_file_that_a_power_cut_has_damaged_is_one_line_and_the_configured_counts_start(kept, content):
    assert scaled(kept, worker=3).stop() == 0
    (file,) = (kept.folder / "state" / "procman").iterdir()
    file.write_bytes(content)
    supervisor = kept.start()
    supervisor.expect(r"web 1, worker 1;")
    (line,) = kept.errors().splitlines()
    assert "cannot read the counts that were kept in" in line
    assert "--forget" in line
    supervisor.up("web.1", "worker.1")
    supervisor.ask("scale", to={"worker": 2})
    assert supervisor.stop() == 0
    kept.start().expect(r"worker 2 \(kept\)")

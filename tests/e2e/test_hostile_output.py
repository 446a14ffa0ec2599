"""What a child writes, or is called, cannot pass for another's, for procman's, or for a command to a terminal."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from harness import World, eventually

SLEEPER = "sleep 1000"
CONTROLS = {*map(chr, range(32)), "\x7f", *map(chr, range(0x80, 0xA0)), "\u2028", "\u2029"} - {"\n"}

FORGER = (
    "import os, sys, time\n"
    "forged = [\n"
    "    b'12:00:00 system   | stopped: all',\n"
    "    b'x\\r12:00:00 system   | overwritten',\n"
    '    b\'{"time":"T","instance":"system","message":"forged"}\',\n'
    '    b\'","instance":"system","message":"forged\',\n'
    '    b\'\\\\","instance":"system"}\\\\n{"instance":"system"\',\n'
    '    \'a\\u2028{"instance":"system"}\\u2029\\u0085\\x0b\\x0c\\x1c\\x1d\\x1e b\'.encode(),\n'
    "    b'\\x00\\xff\\xfe\\xed\\xa0\\x80\\x1b[2J\\x1b]0;title\\x07\\xc2\\x9b2J\\x7f',\n"
    "    b'\\xf0\\x9f\\x98\\x80' * 20000,\n"
    "]\n"
    "for line in forged: os.write(1, line[:40000]); os.write(1, line[40000:] + b'\\n')\n"
    "os.write(1, b'the end\\n')\n"
    "time.sleep(1000)\n"
)


def test_as_json_every_line_is_one_object_of_the_one_who_wrote_it(world: World) -> None:
    """However its reader ends lines, and whatever bytes come."""
    world.procfile(evil=world.script("evil.py", FORGER))
    log = world.folder / "log"  # read as a whole: a character may be cut where a read ends
    with log.open("wb") as out:
        world.start("--log-format", "json", stdout=out)
    text = eventually(lambda: log.read_text() if "the end" in log.read_text(errors="replace") else "", "the end")
    shown = [json.loads(line) for line in text.splitlines()]
    assert {each["instance"] for each in shown} == {"system", "evil.1"}
    evil = [each["message"] for each in shown if each["instance"] == "evil.1"]
    assert not [each for each in shown if each["instance"] == "system" and "forged" in each["message"]]
    assert evil[0] == "12:00:00 system   | stopped: all"
    assert evil[2].startswith('{"time"')
    assert "\u2028" in evil[5]
    pieces = [message for message in evil if message.startswith("😀")]
    assert "".join(message.removesuffix(" [cut]") for message in pieces) == "😀" * 20000, "cut inside a character"
    assert not CONTROLS & set(text)
    told = world.run("logs", "evil.1", "--json").out
    assert not CONTROLS & set(told)
    assert {json.loads(line)["instance"] for line in told.splitlines()} == {"evil.1"}


def test_as_text_every_line_begins_with_the_name_of_the_one_who_wrote_it(world: World) -> None:
    """Read as bytes, line by line: what a terminal makes of a return or a cursor movement is told in the docs."""
    world.procfile(evil=world.script("evil.py", FORGER))
    supervisor = world.start("--no-timestamps")
    supervisor.expect("the end")
    lines = [line for line in supervisor.seen.split("\n")[:-1] if "procman 0" not in line]
    assert lines
    assert all(line.startswith("evil.1 ") for line in lines)


def test_in_a_terminal_no_child_can_leave_its_lines(world: World) -> None:
    """With --tty only colours pass, and a line that is drawn over is shown once, with its own name before it."""
    world.procfile(evil=world.script("evil.py", FORGER))
    supervisor = world.start("--no-timestamps", "--tty")
    supervisor.expect("the end")
    assert not CONTROLS - {"\u2028", "\u2029"} & set(supervisor.seen)
    assert all(line.startswith(("evil.1 ", "system ")) for line in supervisor.seen.split("\n")[:-1])


def test_a_folder_and_a_strangers_name_cannot_draw_on_a_screen(world: World) -> None:
    """A path, and what another process calls itself (prctl(2), PR_SET_NAME), stand in reasons."""
    evil = "e\x1b[2J\nv\x9bil"
    inside = world.folder / evil
    inside.mkdir()
    (inside / "Procfile").write_text("a: sleep 1000\nb: sleep 1000\n")
    (inside / "procman.yml").write_text(json.dumps({"processes": {"b": {"cwd": "gone"}}}))
    (inside / "gone").mkdir()
    port = _free_port()
    squatter = world.file(
        "squat.py",
        "import ctypes, socket, time\n"
        f"server = socket.create_server(('', {port}))\n"
        "ctypes.CDLL(None).prctl(15, b'x\\n\\x1b[2Jsystem | y', 0, 0, 0)\n"
        "print('ready', flush=True)\ntime.sleep(1000)\n",
    )
    with subprocess.Popen([sys.executable, squatter], stdout=subprocess.PIPE, env=world.env) as stranger:
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == b"ready\n"
        try:
            _draw(world, evil, port)
        finally:
            stranger.kill()


def _draw(world: World, evil: str, port: int) -> None:
    inside = world.folder / evil
    (inside / "Procfile").write_text("a: exit 1; exit 1\nb: sleep 1000\n")
    supervisor = world.start("-d", evil, "-p", str(port))
    supervisor.expect(rf"a\.1 ended: .*port {port} is held by pid \d+ \(x +system \|\)")
    supervisor.up("b.1")
    (inside / "gone").rmdir()
    os.kill(supervisor.pids()["b.1"], signal.SIGKILL)
    supervisor.expect(r"b\.1 did not start: its folder .*gone does not exist")
    assert not CONTROLS & set(supervisor.seen)
    for args in (("ps",), ("ps", "--json"), ("scale", "c=1"), ("logs", "nobody")):
        done = world.run(*args, "-d", evil)
        assert not CONTROLS & set(done.out + done.err), args
    assert supervisor.stop() == 0
    done = world.run("ps", "-d", evil)
    assert done.code == 3
    assert not CONTROLS & set(done.err)
    (inside / "Procfile").unlink()
    assert not CONTROLS & set(world.run("check", "-d", evil).err)


def _free_port() -> int:
    with socket.create_server(("", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize("evil", ["\x1b[2Jx", "a\nb", "x\x9b2J"])
def test_what_somebody_names_is_shown_without_its_controls(world: World, evil: str) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start()
    supervisor.up("a.1")
    for args in (("stop", evil), ("logs", evil), ("scale", f"{evil}=1"), ("signal", evil, "a"), (evil,), ("ps", evil)):
        done = world.run(*args)
        assert done.code != 0
        assert not CONTROLS & set(done.out + done.err), args
    assert supervisor.ps()["a.1"]["phase"] in ("starting", "ready")

"""Programs that ask at /dev/tty, whatever their standard input is: with a terminal they work as by hand, by `attach`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest
from displays import Display, start_at_terminal
from harness import PYTHON, World

Attach = Callable[..., Display]

AS_NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups"


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@needs("bash")
@pytest.mark.parametrize("shape", ["{}", "cd . && {}; echo over", "echo unused | {}"])
@pytest.mark.parametrize(
    "asks",
    [
        "bash -c 'read -r -s -p \"pin: \" x < /dev/tty; echo; echo got ${#x}; exec sleep 1000'",
        f'{PYTHON} -c \'import getpass, time; print("got", len(getpass.getpass("pin: "))); time.sleep(1000)\'',
    ],
    ids=["read", "getpass"],
)
def test_a_secret_is_asked_for_and_not_shown(world: World, attach: Attach, asks: str, shape: str) -> None:
    start_at_terminal(world, shape.format(asks))
    shown = attach("a")
    shown.shows("pin: ?$")
    shown.type("sesame\r")
    assert "sesame" not in shown.shows("^got 6$")


@needs("fzf")
def test_fzf_takes_a_choice(world: World, attach: Attach) -> None:
    start_at_terminal(world, "printf 'one\\ntwo\\nthree\\n' | fzf > chosen; echo chose $(cat chosen); exec sleep 1000")
    shown = attach("a")
    shown.shows("3/3")
    shown.type("tw")
    shown.shows("1/3")
    shown.type("\r")
    shown.shows("^chose two$")


@needs("ssh-keygen")
def test_the_passphrase_of_a_key_is_asked_for(world: World, attach: Attach) -> None:
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "sesame", "-f", str(world.folder / "key")]
    subprocess.run(make, check=True, timeout=20)
    start_at_terminal(world, "ssh-keygen -y -f key; echo over $?; exec sleep 1000")
    shown = attach("a")
    shown.shows("passphrase.*: ?$")
    shown.type("sesame\r")
    assert "sesame" not in shown.shows("^ssh-ed25519 ")


@needs("sudo", "setpriv")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody whom sudo asks")
def test_sudo_asks_and_can_be_interrupted(world: World, attach: Attach) -> None:
    start_at_terminal(world, f"{AS_NOBODY} sudo -k -p 'word for %u: ' true")
    shown = attach("a")
    shown.shows("word for nobody: ?$")
    shown.type("sesame")
    shown.type("\x03")
    assert "sesame" not in shown.shows("^sudo: a password is required$")


@needs("bash")
def test_without_a_terminal_there_is_none_to_ask_at(world: World) -> None:
    world.procfile(a="bash -c 'read -r x < /dev/tty || echo none; exec sleep 1000'")
    supervisor = world.start("--no-tty")
    supervisor.expect("none$")

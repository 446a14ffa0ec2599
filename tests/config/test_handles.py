"""Inputs that are handles and no places, or that can be read once: descriptors, a shell's `<(…)`, pipes, named pipes."""

from __future__ import annotations

import os
import socket
import threading

import pytest
from folders import only_fault, write

from procman.config.load import Kept, Options, load
from procman.config.location import is_handle


def piped(data: bytes) -> str:
    """The path of a pipe that holds this, as a shell makes one for `<(…)`. Its read end stays open."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return f"/dev/fd/{reader}"


def named_pipe(path, data: bytes) -> str:
    """A named pipe that somebody writes to once."""
    os.mkfifo(path)
    threading.Thread(target=lambda: path.write_bytes(data), daemon=True).start()
    return str(path)


@pytest.fixture(params=["/dev/fd", "/proc/self/fd", "/proc/PID/fd", "named pipe"])
def handle(request, tmp_path_factory):
    """Makes a path of each kind that leads to some bytes."""

    def make(data: bytes) -> str:
        if request.param == "named pipe":
            return named_pipe(tmp_path_factory.mktemp("pipes") / "p", data)
        return piped(data).replace("/dev/fd", request.param.replace("PID", str(os.getpid())))

    return make


def test_the_root_is_the_current_folder(folder, handle):
    write(folder, env="A=1", yml="formation: {x: 2}")
    plan = load(Options(procfile=handle(b"x: y\n")), {})
    assert (plan.root, plan.types["x"].environment(), plan.counts) == (str(folder), {"A": "1"}, {"x": 2})


def test_a_procfile_is_kept_for_the_next_reading(folder, handle):
    options, kept = Options(procfile=handle(b"x: y\n")), Kept()
    first = load(options, {}, kept=kept)
    assert load(options, {}, first.positions, kept) == first


def test_an_environment_file_is_kept_for_the_next_reading(folder, handle):
    write(folder, **{"other.env": "B=1\n"})
    options, kept = Options(env_files=(handle(b"SECRET=s3\n"), "other.env")), Kept()
    load(options, {}, kept=kept)
    write(folder, **{"other.env": "B=2\n"})
    assert load(options, {}, kept=kept).types["web"].environment() == {"SECRET": "s3", "B": "2"}


def test_settings_are_kept_for_the_next_reading(folder, handle):
    options, kept = Options(config=handle(b"formation: {web: 3}")), Kept()
    assert load(options, {}, kept=kept) == load(options, {}, kept=kept)
    assert load(options, {}, kept=kept).counts["web"] == 3


def test_a_pipe_that_two_options_name_is_refused_as_the_second_would_find_it_empty(folder):
    for option in ("env_files", "config"):
        path = piped(b"x: y\n")
        other = path.replace("/dev/fd", "/proc/self/fd")
        fault = only_fault(Options(procfile=path, **{option: (other,) if option == "env_files" else other}))
        assert f"cannot read {other} for -" in fault
        assert "-f has read the same pipe" in fault


@pytest.mark.parametrize("path", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_a_socket_is_read_although_its_path_cannot_be_opened(folder, path):
    """As a program of Node.js has as its standard input, if another one writes to it."""
    ours, theirs = socket.socketpair()
    ours.sendall(b"x: y\n")
    ours.close()
    options, kept = Options(procfile=path.format(theirs.fileno())), Kept()
    assert [*load(options, {}, kept=kept).types] == ["x"]
    theirs.close()
    assert [*load(options, {}, kept=kept).types] == ["x"]


def test_a_dash_for_an_environment_file_gets_the_name_of_standard_input_as_a_hint(folder):
    write(folder)
    for options in (Options(env_files=("-",)), Options(config="-")):
        assert "cannot read -: no such file or directory (/dev/stdin names" in only_fault(options)


def test_with_a_root_the_root_is_that(folder, handle):
    (folder / "sub").mkdir()
    assert load(Options(procfile=handle(b"x: y\n"), root="sub"), {}).root == str(folder / "sub")


@pytest.mark.parametrize(
    "path",
    [
        "-",
        "/dev/stdin",
        "/dev/fd/63",
        "/proc/self/fd/0",
        "/proc/1/fd/3",
        "/proc/thread-self/fd/3",
        "/dev//fd/5",
        "/dev/null",
    ],
)
def test_descriptors_and_devices_are_handles(path):
    assert is_handle(path)


def test_files_and_folders_are_places_and_so_is_what_is_not_there(tmp_path):
    (tmp_path / "Procfile").write_text("web: x\n")
    assert not any(is_handle(str(path)) for path in (tmp_path, tmp_path / "Procfile", tmp_path / "gone", "/dev/fd/x"))


@pytest.mark.parametrize(("name", "option"), [("Procfile", "-f"), (".env", "-e"), ("procman.yml", "--config")])
def test_a_named_pipe_that_nobody_named_gets_the_hint_how_it_is_read(folder, name, option):
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    fault = only_fault()
    assert "it is a named pipe" in fault
    assert f"{option} <(cat " in fault

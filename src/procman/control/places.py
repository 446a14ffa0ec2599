"""Where the control socket of a root folder may be: the candidates, best first, for the server and for clients.

Only computes names; opens, creates and asks nothing.
"""

# pathlib would add 5 ms to every verb:

from __future__ import annotations

import os
from collections.abc import Mapping

from msgspec import Struct

try:  # hashlib's own, without the OpenSSL that hashlib loads: 2-4 ms and 3.8 MB of every start
    from _blake2 import blake2b
except ImportError:  # not CPython
    from hashlib import blake2b

FIRST_NAMESPACE = 0xEFFFFFFC
"""The inode of the first PID namespace, on every Linux (PROC_PID_INIT_INO)."""


NAME_VARIABLE = "PROCMAN_NAME"
"""Stands for the option `--name` of every verb."""


class Place(Struct, frozen=True):
    """One candidate. `explicit`: the user named it, in a folder that need not be procman's own."""

    socket: str
    lock: str
    explicit: bool = False


def start_places(root: str, explicit: str | None, environ: Mapping[str, str], label: str = "") -> list[Place]:
    """Where procman may listen for this root, the best first. With an explicit place the others only guard the root.

    `label` is that of `--name`, here and below: one root may have several formations.
    """
    places = places_in(folders(environ, os.geteuid()), root, label)
    if explicit is None:
        return places
    path = os.path.abspath(explicit)
    return [Place(path, path + ".lock", explicit=True), *places]


def folders(environ: Mapping[str, str], uid: int) -> list[str]:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    first = [f"{runtime}/procman"] if os.path.isabs(runtime) else []  # XDG says that a relative one is to be ignored
    return [*first, f"/run/user/{uid}/procman", temporary(environ, uid)]


def temporary(environ: Mapping[str, str], uid: int) -> str:
    folder = environ.get("TMPDIR", "")
    return os.path.join(folder if os.path.isabs(folder) else "/tmp", f"procman-{uid}")  # noqa: S108  0700, checked


def places_in(folders: list[str], root: str, label: str = "") -> list[Place]:
    """The places in a folder. Containers that share /tmp have the same paths and different PIDs: outside the first PID
    namespace its number is part of the name.
    """
    number = pid_namespace()
    stem = _stem(root, label)
    return _named(folders, stem if number in (0, FIRST_NAMESPACE) else f"{stem}-{number:x}")


def older_places(folders: list[str], root: str, label: str = "") -> list[Place]:
    """Where an older procman, which left out the PID namespace, may listen; empty if that is the same name."""
    return [] if pid_namespace() in (0, FIRST_NAMESPACE) else _named(folders, _stem(root, label))


def inner_sockets(folder: str, root: str, label: str = "") -> list[str]:
    """The sockets in this folder that procmans of this root have in other PID namespaces."""
    start = _stem(root, label) + "-"
    try:
        names = os.listdir(folder)
    except OSError:  # missing, or not ours
        return []
    return [f"{folder}/{name}" for name in sorted(names) if name.startswith(start) and name.endswith(".sock")]


def _stem(root: str, label: str) -> str:
    return digest(os.fsencode(os.path.realpath(root)) + _suffix(label))


def _suffix(label: str) -> bytes:
    """A suffix for the label. No path contains a NUL, so that it cannot be mistaken for another folder."""
    return b"\0" + label.encode() if label else b""


def _named(folders: list[str], name: str) -> list[Place]:
    stems = (os.path.join(os.path.normpath(folder), name) for folder in folders)
    return [Place(f"{stem}.sock", f"{stem}.lock") for stem in dict.fromkeys(stems)]


def digest(path: bytes) -> str:
    return blake2b(path, digest_size=8).hexdigest()


def pid_namespace() -> int:
    """The number of our PID namespace; 0 if the system does not show it."""
    return _inode("/proc/self/ns/pid")


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:  # no /proc, or no namespaces
        return 0


def trace_file(socket: str | None) -> str:
    """Where traces of procman's decisions are written: beside its socket, else in the temporary directory."""
    if socket is None or socket.startswith("@"):
        return f"{temporary(os.environ, os.geteuid())}-{os.getpid()}.trace"
    return socket.removesuffix(".sock") + ".trace"


def state_files(environ: Mapping[str, str], root: str, label: str, socket: str) -> list[str]:
    """The folders for files that outlive procman, best first: what systemd gives a service (systemd.exec(5),
    StateDirectory=), what XDG has for state, and beside the control socket, where it does not outlive the machine.
    """
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    xdg, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    folders = [
        given if os.path.isabs(given) else "",
        f"{xdg}/procman" if os.path.isabs(xdg) else "",
        f"{home}/.local/state/procman" if os.path.isabs(home) else "",
        "" if socket.startswith("@") else os.path.dirname(socket),
    ]
    name = digest(os.fsencode(os.path.abspath(root)) + _suffix(label)) + ".counts.json"
    return [os.path.join(folder, name) for folder in dict.fromkeys(folders) if folder]


# ---- names in the system's own table


def names_of(root: str, label: str = "") -> list[str]:
    """The names of a root in the table of abstract sockets (unix(7)), each without the user at its end.

    There are two. One is made of the folder's device and inode, so that a bind mount or a link to the folder has the
    same name. The other is made of its path, so that `current -> releases/2` has the name that `current -> releases/1`
    had. A path is valid in one mount namespace and under one root only. The PID namespace is part of both: two
    containers that share a folder are two machines.
    """
    number = pid_namespace()
    names = []
    try:
        folder = os.stat(root)
    except OSError:  # deleted: the path may still identify it
        pass
    else:
        names.append(f"@procman/{number:x}/{folder.st_dev:x}:{folder.st_ino:x}{f':{label}' if label else ''}")
    try:
        top = os.stat("/")
    except OSError:  # forbidden to us: then nothing runs here at all
        return names
    where = f"{_inode('/proc/self/ns/mnt'):x}:{top.st_dev:x}:{top.st_ino:x}"
    return [*names, f"@procman/{number:x}/{where}:{digest(os.fsencode(os.path.abspath(root)) + _suffix(label))}"]


def logical(root: str, environ: Mapping[str, str]) -> str:
    """The folder as the user named it: PWD, where the root is the current folder and PWD is right."""
    named = environ.get("PWD", "")
    try:
        is_here = os.path.isabs(named) and os.path.samefile(named, root)
    except OSError:  # PWD is of another machine, or does not exist
        is_here = False
    return named if is_here and os.path.realpath(root) == os.path.abspath(root) else root

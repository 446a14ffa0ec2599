"""Who holds a port: one look at the system's tables, for the reason of a crash. Linux only."""

from __future__ import annotations

import os

LISTEN = b"0A"
"""State of a listening socket in /proc/net/tcp (proc(5))."""


def stranger_on(port: int, group: int) -> str:
    """`port 5000 is held by pid 77 (python3)` where a process outside this group listens on it, else ""."""
    inode = _listening_inode(port)
    if inode is None:
        return ""
    pid = _holder(inode)
    if pid is None:
        return f"port {port} is held by another user's process"
    try:
        if os.getpgid(pid) == group:
            return ""
        with open(f"/proc/{pid}/comm", "rb") as comm:
            name = comm.read().decode(errors="replace").strip()
    except OSError:  # it has just gone
        return ""
    return f"port {port} is held by pid {pid} ({name})"


def _listening_inode(port: int) -> bytes | None:
    wanted = b":%04X" % port
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, "rb") as lines:
                next(lines, None)
                for line in lines:
                    fields = line.split()
                    if fields[3] == LISTEN and fields[1].endswith(wanted):
                        return fields[9]
        except OSError:
            continue
    return None


def _holder(inode: bytes) -> int | None:
    link = f"socket:[{inode.decode()}]"
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            folder = f"/proc/{name}/fd"
            if any(os.readlink(f"{folder}/{fd}") == link for fd in os.listdir(folder)):
                return int(name)
        except OSError:  # gone, or another user's
            continue
    return None

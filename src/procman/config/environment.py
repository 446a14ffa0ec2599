"""The environment of children as far as it is procman's own, and one assignment of a file to it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

_OURS = frozenset({"PS", "PROCMAN_TYPE", "PROCMAN_INDEX", "PROCMAN_INSTANCE", "PROCMAN_SOCKET"})

PORT_VARIABLE = "PROCMAN_PORT_"
"""The start of the names of variables that hold the ports of the types."""

_OF_PROCMAN_ALONE = frozenset(
    # sd_notify(3), sd_listen_fds(3), systemd.exec(5): a child would report that procman is ready, and find descriptors
    # that it does not have; its output is procman's pipe, and not the journal
    "NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID LISTEN_PID LISTEN_FDS LISTEN_FDNAMES LISTEN_PIDFDID "  # noqa: SIM905  as a list of words
    "FDSTORE SYSTEMD_EXEC_PID JOURNAL_STREAM "
    # a parent that is Node.js (pm2, fork), gunicorn or Flask's reloader: descriptors of procman, and its part there
    "NODE_CHANNEL_FD NODE_CHANNEL_SERIALIZATION_MODE NODE_UNIQUE_ID GUNICORN_FD GUNICORN_PID "
    "WERKZEUG_SERVER_FD WERKZEUG_RUN_MAIN "
    # the numbers of sockets that einhorn, start_server and upstart opened, and the number of the instance in pm2
    "EINHORN_FDS EINHORN_SOCK_FD SERVER_STARTER_PORT SERVER_STARTER_GENERATION UPSTART_FDS pm_id".split()
)
"""Variables that procman's parent set for procman alone."""

_JOB_SERVER = r"--jobserver-(?:auth|fds)=-?\d+,-?\d+"
_JOBS = rf"(?:^|(?<=\s))(?:-j\d*|{_JOB_SERVER})(?:\s+|$)"
"""What `make -j` passes on: numbers of descriptors, which no child of procman has. A named pipe stays (GNU make 4.4).
"""

_MAKES = ("MAKEFLAGS", "MFLAGS", "CARGO_MAKEFLAGS")


_OF_A_SERVICE = re.compile(
    r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
"""What Kubernetes sets for each Service of a namespace in each of its containers, after the name of the Service."""


class Assignment(Struct, frozen=True):
    """`NAME=value` as it was written: without its quotes, and with its references unless it is `literal`.

    In the value, `dollar` replaces each `$` that was written as a literal one.
    """

    name: str
    value: str
    file: str
    line: int
    literal: bool = False
    dollar: str = ""


def is_ours(name: str) -> bool:
    """Whether procman sets this variable for its children, so that the value of an outer procman must not reach them."""
    return name in _OURS or (name.startswith(PORT_VARIABLE) and not _OF_A_SERVICE.fullmatch(name))


def is_of_a_service(name: str, value: str) -> bool:
    """Whether the variable is the address of a Service of Kubernetes, which may be named as procman's variables are: a
    Service `procman-start` sets PROCMAN_START_PORT to `tcp://10.0.0.1:80`.
    """
    address = name.endswith("PORT") and value.startswith(("tcp://", "udp://", "sctp://"))
    return address or _OF_A_SERVICE.fullmatch(name) is not None


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Procman's own environment as far as it is its children's too."""
    found = {name: value for name, value in environ.items() if name not in _OF_PROCMAN_ALONE}
    for name in _MAKES:
        if name in found and re.search(_JOB_SERVER, found[name]):
            found[name] = re.sub(_JOBS, "", found[name]).rstrip()
    return found

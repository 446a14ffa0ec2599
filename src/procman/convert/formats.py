"""The files that `procman init --from` reads: one row each."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from os.path import basename
from typing import NamedTuple

from procman.convert import compose, mprocs, pitchfork, pm2, process_compose, supervisord, systemd
from procman.convert.result import Converted


class Format(NamedTuple):
    """`names`: shell patterns of file names in lower case. `node`: the text is what node prints of the file (pm2.py)."""

    title: str
    names: tuple[str, ...]
    convert: Callable[[str, str], Converted]
    node: bool = False


FORMATS = (
    Format("Docker Compose", ("docker-compose*.y*ml", "compose*.y*ml"), compose.convert),
    Format("Supervisor", ("supervisord*.conf", "supervisor*.conf", "supervisor*.ini"), supervisord.convert),
    Format("process-compose", ("process-compose*.y*ml",), process_compose.convert),
    Format(
        "PM2", ("*.config.js", "*.config.cjs", "pm2*.js", "ecosystem*.js", "ecosystem*.cjs"), pm2.convert, node=True
    ),
    Format("PM2", ("ecosystem*.json", "pm2*.json", "process.json"), pm2.convert),
    Format("mprocs", ("mprocs*.y*ml", "mprocs*.json"), mprocs.convert),
    Format("pitchfork", ("pitchfork*.toml",), pitchfork.convert),
    Format("systemd", ("*.service",), systemd.convert),
)


def format_of(path: str) -> Format | None:
    """The format of a file, by its name."""
    name = basename(path).lower()
    return next((one for one in FORMATS if any(fnmatchcase(name, pattern) for pattern in one.names)), None)

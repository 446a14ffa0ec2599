"""The files that `procman init --from` reads: one row each."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from os.path import basename
from typing import NamedTuple

from procman.convert import compose, mprocs, pitchfork, pm2, process_compose, supervisord, systemd
from procman.convert.result import Converted

_NO_SIGN = "(?!)"


class SourceFormat(NamedTuple):
    """`names`: shell patterns of file names in lower case; `sign`: a text in files of another name.

    `node`: the text is what node prints of the file (pm2.py). `beside` names further files that matter, by their paths from
    this one, or shell patterns of them; `convert` then gets the texts of those that exist.
    """

    title: str
    names: tuple[str, ...]
    convert: Callable[..., Converted]
    sign: str = _NO_SIGN
    node: bool = False
    beside: Callable[[str, str], list[str]] | None = None


FORMATS = (
    SourceFormat(
        "Docker Compose",
        ("docker-compose*.y*ml", "compose*.y*ml"),
        compose.convert,
        r"^services:",
        beside=compose.dockerfiles,
    ),
    SourceFormat(
        "Supervisor",
        ("supervisord*.conf", "supervisor*.conf", "supervisor*.ini"),
        supervisord.convert,
        r"^\[(program:|supervisord\])",
        beside=supervisord.included,
    ),
    SourceFormat("process-compose", ("process-compose*.y*ml",), process_compose.convert, r"^processes:"),
    SourceFormat(
        "PM2", ("*.config.js", "*.config.cjs", "pm2*.js", "ecosystem*.js", "ecosystem*.cjs"), pm2.convert, node=True
    ),
    SourceFormat("PM2", ("ecosystem*.json", "pm2*.json", "process.json"), pm2.convert),
    SourceFormat("PM2", (), pm2.convert, r'^[{\s]*"apps"\s*:\s*\['),
    SourceFormat("mprocs", ("mprocs*.y*ml", "mprocs*.json"), mprocs.convert, r"^procs:"),
    SourceFormat("pitchfork", ("pitchfork*.toml",), pitchfork.convert, r"^\[daemons\."),
    SourceFormat("systemd", ("*.service",), systemd.convert, r"^\[Service\]"),
)


def format_of(path: str, text: str) -> SourceFormat | None:
    """The format of a file, by its name, else by its content."""
    name = basename(path).lower()
    named = next((one for one in FORMATS if any(fnmatchcase(name, pattern) for pattern in one.names)), None)
    if named is not None and (named.sign == _NO_SIGN or _signed(named, text)):
        return named
    return next((one for one in FORMATS if _signed(one, text)), named)  # process-compose also reads compose.yaml


def _signed(one: SourceFormat, text: str) -> bool:
    return re.search(one.sign, text, re.MULTILINE) is not None

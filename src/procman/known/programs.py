"""The table of known programs: the shape of programs.toml, and its reader. Knows no command line and no YAML.

People write programs.toml, of which `python docs/generate.py` makes programs.json: reading TOML would take a fifth of
`procman check`.
"""

from __future__ import annotations

import os
from functools import cache

import msgspec
from msgspec import Struct

Value = str | int | float | bool | dict[str, int] | list[str]
"""The value of an advised key."""


class AdviceRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One piece of advice. With a `key` it is for procman.yml; otherwise it is about the command, and `say` tells what
    to write.

    `when`: the command must contain at least one of these; `unless`: none of these. A word that starts with `-` is an
    option of the command (`--daemonize` also matches `--daemonize=yes`), any other is a part of its text. `several`:
    only where more than one instance runs. `measured`: seen under procman with the real program; otherwise its documentation
    says so.
    """

    key: str = ""
    value: Value | None = None
    say: str = ""
    why: str
    several: bool = False
    measured: bool = False
    when: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


class Listens(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the program listens: the options that name the port, else PORT (`env`), else its `default` port (0:
    unknown). With one of `unless` there may be no port at all; with one of `config` it is in a file that only an option
    overrides.
    """

    flags: tuple[str, ...] = ()
    env: bool = False
    default: int = 0
    unless: tuple[str, ...] = ()
    config: tuple[str, ...] = ()


class ReloadSignal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the running program is made to read its configuration again."""

    signal: str
    to: str = "leader"
    note: str = ""


class KnownProgram(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One program or tool.

    `match`: patterns of words. The first is the command's name (`python*`: any that starts so); the others follow in this
    order; `bin/*` is any file in a `bin` of the application's own; `!word` must be absent, and `$` means that only options follow. A program that `uses` what another type of the
    formation `provides` (`redis`, `amqp`) should depend on that type. `measured` holds what was seen of it under procman,
    with its version, and `note` what its documentation says.
    """

    name: str
    group: str
    match: tuple[str, ...]
    rules: tuple[AdviceRule, ...] = ()
    listens: Listens | None = None
    reload: ReloadSignal | None = None
    provides: str = ""
    uses: tuple[str, ...] = ()
    measured: str = ""
    note: str = ""


class ProgramTable(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. Of two programs that match the same words the first counts."""

    program: tuple[KnownProgram, ...]


@cache
def programs() -> tuple[KnownProgram, ...]:
    """Every known program, in the order of the file."""
    with open(os.path.join(os.path.dirname(__file__), "programs.json"), "rb") as stream:
        return msgspec.json.decode(stream.read(), type=ProgramTable).program

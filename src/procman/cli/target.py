"""Which running procman a verb talks to: `-d/--root`, `--socket` and `--name`, passed to the verb as one
`TargetOptions`.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, TypeAlias

import click
from msgspec import Struct

from procman.cli.option_types import NameOption
from procman.control.client import Client
from procman.control.find import find

if TYPE_CHECKING:
    from collections.abc import Callable

    Verb: TypeAlias = Callable[..., Any]


class TargetOptions(Struct, frozen=True):
    """A folder to search from (the current one where None), or a socket."""

    root: str | None = None
    socket: str | None = None
    name: str = ""

    def find(self) -> str:
        """The path of the socket. A folder or a formation on the command line wins over an inherited PROCMAN_SOCKET."""
        environ = dict(os.environ)
        if self.root is not None or self.name:
            environ.pop("PROCMAN_SOCKET", None)
        return find(self.root or os.curdir, self.socket, environ, self.name)

    def connect(self) -> Client:
        return Client(self.find())


ROOT = click.option(
    *("-d", "--root"),
    metavar="DIR",
    show_envvar=True,
    help="Talk to the procman of this folder, or of one above it.  [default: the current folder]",
)
SOCKET = click.option(
    "--socket", metavar="PATH", help="Talk to the procman behind this socket.  [env var: PROCMAN_SOCKET]"
)


NAME = click.option(
    "--name",
    cls=NameOption,
    metavar="NAME",
    default="",
    show_envvar=True,
    help="Talk to the formation that was started with this --name; PROCMAN_NAME sets it for all verbs.",
)


def client_options(verb: Verb) -> Verb:
    """Declares these options; the verb is called with `target: TargetOptions` instead."""

    @functools.wraps(verb)
    def call(root: str | None, socket: str | None, name: str, **values: Any) -> Any:  # noqa: ANN401  click's own types
        return verb(target=TargetOptions(root, socket, name), **values)

    return ROOT(SOCKET(NAME(call)))

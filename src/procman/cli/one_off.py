"""A one-off command as a value, and how this process becomes it: for `procman run` and `start --then`."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from msgspec import Struct

from procman.errors import ProcmanError
from procman.text.shell import argv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procman.config.load import OneOffInputs

SHELL = "/bin/sh"


class NotFoundError(ProcmanError):
    exit_code = 127


class NotExecutableError(ProcmanError):
    exit_code = 126


class OneOff(Struct, frozen=True):
    """What to execute: the words, the folder, the environment, and the shell for a script without `#!`."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    shell: str = SHELL


def one_off(inputs: OneOffInputs, shell: str, words: tuple[str, ...]) -> OneOff:
    """The command of `words`: of a process type if the first word names one, else by `shell` where needed."""
    command, *args = words
    spec = inputs.spec
    if spec is None:
        environment = {**inputs.env, **inputs.ports, "PS": "run.1", "PWD": inputs.root}
        return OneOff([*words] if args else argv(command, shell, env=environment), inputs.root, environment, shell)
    environment = {**spec.environment(), **inputs.ports, "PS": "run.1", "PWD": spec.cwd}
    return OneOff(argv(spec.command, spec.shell, args, command, environment), spec.cwd, environment, spec.shell)


def takes_port(command: str) -> bool:
    """Whether the command reads PORT, which a one-off does not have, unless it says what to do without one
    (`${PORT:-80}`).
    """
    return re.search(r"\$PORT\b|\$\{PORT\}", command) is not None


def execute(what: OneOff) -> NoReturn:
    """Become the command. Python ignores PIPE and XFSZ, which exec would pass on; its descriptors close by themselves."""
    for name in ("SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # None where the descriptor was closed (`>&-`)
            stream.flush()
    try:
        os.chdir(what.cwd)
    except OSError as error:
        raise ProcmanError(f"cannot use the folder {what.cwd}: {error.strerror}") from None
    program = what.argv[0]
    try:
        os.execvpe(program, what.argv, what.env)  # noqa: S606  the purpose of the verb
    except ValueError as error:  # a NUL, or a '=' in the name of a variable
        raise ProcmanError(f"cannot run '{program}': {error}") from None
    except (FileNotFoundError, NotADirectoryError):
        if why := _why_not(program):
            raise NotFoundError(f"cannot run '{program}': {why}") from None
        raise NotFoundError(f"cannot find '{program}'", _where(program, what.env)) from None
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # a script without #!: run it in a shell, as execvp(3) does
            os.execve(what.shell, [what.shell, error.filename, *what.argv[1:]], what.env)  # noqa: S606  as above
        why = _why_not(program)
        hint = "" if why else "is it executable? (chmod +x)"
        raise NotExecutableError(f"cannot run '{program}': {why or error.strerror}", hint) from None


def _why_not(program: str) -> str:
    """Why an existing program cannot be executed; empty if nothing about it shows why."""
    if "/" not in program or not os.path.lexists(program):
        return ""
    from procman.executables import why_not  # noqa: PLC0415  only on the way to an error

    return why_not(program)


def _where(program: str, env: Mapping[str, str]) -> str:
    return "" if "/" in program else f"it is neither a process type nor in PATH ({env.get('PATH', os.defpath)})"

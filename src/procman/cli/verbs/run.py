"""`procman run`: become a one-off command, in the environment that an instance would have."""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import click
from msgspec import Struct

from procman.cli.line.click_options import file_options
from procman.cli.line.completion import complete_types
from procman.app.usage import UsageError
from procman.config.load import load_one_off
from procman.config.options import Options
from procman.text.shell import is_plain
from procman.errors import ProcmanError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procman.core.spec import ProcessSpec

SHELL = "/bin/sh"


class NotFoundError(ProcmanError):
    exit_code = 127


class NotExecutableError(ProcmanError):
    exit_code = 126


class OneOff(Struct, frozen=True):
    """What is executed: the words, where, in which environment, and the shell for a script without `#!`."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    shell: str = SHELL


class Root(Struct, frozen=True):
    """The application's folder, and the shell for commands that are no process type's."""

    folder: str
    shell: str = SHELL


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("command", metavar="NAME_OR_COMMAND", shell_complete=complete_types)
@click.argument("args", metavar="[ARG]...", nargs=-1, type=click.UNPROCESSED)
@file_options
def run(options: Options, command: str, args: tuple[str, ...]) -> None:
    """Run one command in the application's folder and environment, and end as it ends.

    A process type's name runs its command from the Procfile, with the ARGs added to it; anything else is a command of
    its own. No running procman is needed and none notices: PS is run.1 and there is no PORT. Options come before the
    command; all that follows it is the command's.

    \b
    Examples:
      procman run release
      procman run python manage.py migrate --noinput
      procman run 'env | sort'
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    if not command.strip():
        raise UsageError("cannot run an empty command", "try 'procman run --help'")
    spec, env, root = load_one_off(options, os.environ, command)
    execute(one_off(spec, env, Root(root, options.shell or SHELL), (command, *args)))


def one_off(spec: ProcessSpec | None, env: Mapping[str, str], root: Root, words: tuple[str, ...]) -> OneOff:
    """`words` as they were typed; `spec` where the first of them is a process type, else `root` says where and how."""
    command, *args = words
    environment = {**(spec.env if spec else env), "PS": "run.1"}
    if spec is None:
        argv = words if args else command.split() if is_plain(command) else (root.shell, "-c", command)
        return OneOff([*argv], root.folder, environment, root.shell)
    if is_plain(spec.command):
        argv = [*spec.command.split(), *args]
    elif args:
        argv = [spec.shell, "-c", f'{spec.command} "$@"', command, *args]
    else:
        argv = [spec.shell, "-c", spec.command]
    return OneOff(argv, spec.cwd, environment, spec.shell)


def execute(what: OneOff) -> NoReturn:
    """Become the command. Python ignores PIPE and XFSZ, and exec would hand that down; its descriptors close by themselves."""
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
    except ValueError as error:  # a NUL, or a '=' in a name of the environment
        raise ProcmanError(f"cannot run '{program}': {error}") from None
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"cannot find '{program}'", _where(program, what.env)) from None
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # a script without #!: a shell runs it, as execvp(3) does
            os.execve(what.shell, [what.shell, error.filename, *what.argv[1:]], what.env)  # noqa: S606  as above
        raise NotExecutableError(f"cannot run '{program}': {error.strerror}", "is it executable? (chmod +x)") from None


def _where(program: str, env: Mapping[str, str]) -> str:
    return "" if "/" in program else f"it is no process type, and not in PATH ({env.get('PATH', os.defpath)})"

"""Where the inputs are: the root, the Procfile and procman.yml as paths, for what the command line says. Reads no file.

A path may be a handle and no place: `-`, `/dev/stdin`, a shell's `<(…)`, a named pipe. The application's folder is then
the current one, and what it holds can be read once.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from procman.config.source import absolute
from procman.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procman.config.options import Options

STDIN = "-"
STDIN_NAME = "<stdin>"
PROCFILE = "Procfile"
SETTINGS = "procman.yml"

_DESCRIPTOR = r"/dev/(stdin|fd/\d+)|/proc/(self|thread-self|\d+)/fd/\d+"
"""Names of open descriptors, such as a shell makes for `<(…)`."""


class Location(Struct, frozen=True, kw_only=True):
    """Where everything is, as absolute paths, and as the user would name it. `here` is the current folder."""

    here: str
    root: str
    root_name: str
    procfile: str
    procfile_name: str
    config: str
    config_name: str


def is_handle(path: str) -> bool:
    """Whether this is an open descriptor, a pipe or a device: no place, and what it holds may be readable only once."""
    named = os.path.normpath(path)
    if path == STDIN or (named.startswith(("/dev/", "/proc/")) and re.fullmatch(_DESCRIPTOR, named)):
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # not there, or not to be read: told by whoever reads it
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def current_folder(environ: Mapping[str, str]) -> str:
    """Where procman was started, by the name that the shell has for it: PWD, where that is the same folder.

    So a link such as `/srv/app/current` keeps its name, and may lead to another release by the next reload. Raises
    ConfigError where the folder is gone.
    """
    named = environ.get("PWD", "")
    try:
        if os.path.isabs(named) and ".." not in named.split(os.sep) and os.path.samefile(named, os.curdir):
            return os.path.normpath(named)
    except (OSError, ValueError):  # PWD is of another folder's time
        pass
    try:
        return os.getcwd()
    except OSError as error:
        raise ConfigError(f"cannot tell the current folder: {error.strerror}", "change into one that exists") from None


def look_upwards(options: Options, environ: Mapping[str, str]) -> tuple[Options, str | None]:
    """The options with the nearest folder that has a Procfile as the root, where nothing says which it is.

    Also that folder, where it is not the current one. Where none has a Procfile, all stays as it is.
    """
    if options.root is not None or options.procfile is not None:
        return options, None
    here = folder = current_folder(environ)
    while not os.path.lexists(os.path.join(folder, PROCFILE)):
        above = os.path.dirname(folder)
        if above == folder:
            return options, None
        folder = above
    return (options, None) if folder == here else (replace(options, root=folder), folder)


def note_of(folder: str) -> str:
    """What a person is told who did not name the folder that was taken."""
    return f"using {folder}, the nearest folder with a Procfile"


def locate(options: Options, environ: Mapping[str, str]) -> Location:
    """Raises ConfigError where the current folder or the root is not there."""
    here = current_folder(environ)
    if options.root is not None and not os.path.isdir(os.path.join(here, options.root)):
        raise ConfigError(f"cannot use {options.root} as the root: no such folder", "-d names the application's folder")
    beside = options.root or ""
    if options.procfile == STDIN:
        name = STDIN_NAME
    elif options.procfile is None:
        name = os.path.join(beside, PROCFILE)
    else:
        name = options.procfile
        if not is_handle(name):
            beside = os.path.dirname(name)
    root = beside if options.root is None else options.root
    config = os.path.join(beside, SETTINGS) if options.config is None else options.config
    return Location(
        here=here,
        root=absolute(root, here),
        root_name=root,
        procfile=absolute(name, here),
        procfile_name=name,
        config=absolute(config, here),
        config_name=config,
    )

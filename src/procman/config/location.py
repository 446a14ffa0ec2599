"""Where the inputs are: the paths of the root, the Procfile and procman.yml, by what the command line says. Reads no
file.

A path may name an open descriptor or a pipe: `-`, `/dev/stdin`, a shell's `<(…)`, a named pipe. Then the current folder
is the root, and the content can be read only once.
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
"""Names of open descriptors, as shells create for `<(…)`."""


class Location(Struct, frozen=True, kw_only=True):
    """Where everything is: absolute paths, and the names that the user would use. `start_dir` is the current folder."""

    start_dir: str
    root: str
    root_name: str
    procfile: str
    procfile_name: str
    config: str
    config_name: str


def is_handle(path: str) -> bool:
    """Whether the path names an open descriptor, a pipe or a device: no folder, and perhaps readable only once."""
    named = os.path.normpath(path)
    if path == STDIN or (named.startswith(("/dev/", "/proc/")) and re.fullmatch(_DESCRIPTOR, named)):
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # missing or unreadable: reported when it is read
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def pipe_of(path: str) -> str:
    """What a handle leads to: the same for two names of one pipe or socket."""
    try:
        status = os.fstat(0) if path == STDIN else os.stat(path)
    except (OSError, ValueError):  # reported when it is read
        return path
    is_read_once = stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode)
    return f"{status.st_dev} {status.st_ino}" if is_read_once else path


def current_folder(environ: Mapping[str, str]) -> str:
    """The folder that procman was started in, by the shell's name for it: PWD, where that is the same folder.

    So a link such as `/srv/app/current` keeps its name, and may lead to another release at the next reload. Raises
    ConfigError where the folder no longer exists.
    """
    named = environ.get("PWD", "")
    try:
        if os.path.isabs(named) and ".." not in named.split(os.sep) and os.path.samefile(named, os.curdir):
            return os.path.normpath(named)
    except (OSError, ValueError):  # PWD has not been updated
        pass
    try:
        return os.getcwd()
    except OSError as error:
        raise ConfigError(f"cannot find the current folder: {error.strerror}", "change into one that exists") from None


def search_upwards(options: Options, environ: Mapping[str, str]) -> tuple[Options, str | None]:
    """The options with the nearest folder above that has a Procfile as the root, where the user named no root; also
    that folder, unless it is the current one. Without such a folder the options stay as they are.
    """
    if options.root is not None or options.procfile is not None:
        return options, None
    start_dir = current_folder(environ)
    # a folder that was entered through a link has two above it: the one that the user sees comes first
    folder = _nearest(start_dir) or _nearest(os.path.realpath(start_dir))
    return (options, None) if folder in (start_dir, None) else (replace(options, root=folder), folder)


def _nearest(folder: str) -> str | None:
    """The folder itself, or the nearest one above it, that has a Procfile."""
    while not os.path.lexists(os.path.join(folder, PROCFILE)):
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
    return folder


def note_of(folder: str) -> str:
    """The note for a user who did not name the folder that was chosen."""
    return f"using {folder}, the nearest folder with a Procfile"


def locate(options: Options, environ: Mapping[str, str]) -> Location:
    """Raises ConfigError if the current folder or the root does not exist."""
    start_dir = current_folder(environ)
    if options.root is not None and not os.path.isdir(os.path.join(start_dir, options.root)):
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
        start_dir=start_dir,
        root=absolute(root, start_dir),
        root_name=root,
        procfile=absolute(name, start_dir),
        procfile_name=name,
        config=absolute(config, start_dir),
        config_name=config,
    )

"""`procman init`: write a Procfile and a procman.yml, from the files of a folder or from another supervisor's file.

Reads the files and writes them, never over an existing one. `convert` decides their content.
"""

from __future__ import annotations

import glob
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator

import click

from procman.cli.show.scripts import command_of
from procman.config.location import PROCFILE
from procman.config.procfile import Entry, parse_procfile
from procman.config.source import absolute, decode, plain, read
from procman.convert import pm2, render
from procman.convert.folder import MAX_DEPTH, READ, SETTABLE, SKIP, Folder
from procman.convert.formats import FORMATS, format_of
from procman.convert.inspection import inspect
from procman.convert.result import Converted, ProcessType
from procman.errors import ConfigError, Fault, RefusedError
from procman.known.advice import Finding, TypeInput, advise
from procman.known.yamltext import insert

MAX_FILES = 5000
"""Most files of a folder that are looked at: more would say nothing new."""

NODE_TIMEOUT = 20.0


@click.command()
@click.option("--from", "source", metavar="FILE", help="Convert this file of another supervisor.", show_envvar=True)
@click.option("-d", "--root", metavar="DIR", help="The project's folder.  [default: the current one]", show_envvar=True)
def init(source: str | None, root: str | None) -> int:
    """Write a Procfile and a procman.yml for the project in this folder, or convert another supervisor's file.

    It reads package.json, manage.py, Gemfile, mix.exs, pom.xml, go.mod, Cargo.toml and similar files. With --from it
    converts docker-compose.yml, supervisord.conf, process-compose.yaml, ecosystem.config.js, mprocs.yaml, pitchfork.toml
    or a systemd unit. It never overwrites a file. The exit code is 0 if files were written or none were needed.

    \b
    Examples:
      procman init
      procman init --from docker-compose.yml
      procman init --from /etc/systemd/system/app.service
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    folder = absolute(root or ".", os.getcwd())
    if not os.path.isdir(folder):
        raise ConfigError(f"cannot use {root} as the root: no such folder", "-d names the application's folder")
    if source is not None:
        _convert(source, folder)
    elif procfiles := _existing(folder):
        _advise(folder, procfiles)
    else:
        _inspect(folder)
    return 0


def _convert(source: str, folder: str) -> None:
    converted = converted_file(source)
    click.echo(f"read {source}: {_count(len(converted.types), 'process type')}")
    origin = f"Made from {os.path.basename(source)} by `procman init`."
    if not converted.types:
        _print_left(converted, source)
        raise RefusedError(f"cannot find a process type in {source} that can be carried over")
    _write(folder, converted, origin)
    _print_left(converted, source)


def converted_file(path: str) -> Converted:
    """The conversion of a file of another supervisor. Raises ConfigError."""
    data = read(path, path)
    text = data if isinstance(data, Fault) else decode(data, path)
    if isinstance(text, Fault):
        raise ConfigError([text])
    kind = format_of(path, text)
    if kind is None:
        known = ", ".join(dict.fromkeys(one.title for one in FORMATS))
        raise ConfigError(f"cannot tell what {path} is", f"known: the files of {known}")
    if kind.node:
        return pm2.convert_printed(_printed(path), text, path)
    return kind.convert(text, path, _beside(path, kind.beside(text, path))) if kind.beside else kind.convert(text, path)


def _beside(path: str, names: list[str]) -> dict[str, str]:
    """The texts of these files that can be read, by their names; files that are missing are left out. A name may be a shell
    pattern.
    """
    folder = os.path.dirname(path) or os.curdir
    texts = {}
    for name in (found for one in names for found in sorted(glob.glob(one, root_dir=folder)) or [one]):
        data = read(os.path.join(folder, name), name)
        text = data if isinstance(data, Fault) else decode(data, name)
        if not isinstance(text, Fault):
            texts[name] = text
    return texts


def _printed(path: str) -> str:
    """What a JavaScript file exports, as JSON. node runs the file, as PM2 would."""
    node = shutil.which("node")
    if node is None:
        raise RefusedError(
            f"cannot read {path}: it is a program, and Node.js is not installed",
            "install Node.js, or write it as .json",
        )
    try:
        done = subprocess.run(  # noqa: S603  the user named the file to run
            [node, "-p", pm2.PRINT, path],
            capture_output=True,
            check=False,
            timeout=NODE_TIMEOUT,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise RefusedError(f"cannot read {path}: node did not end within {NODE_TIMEOUT:.0f} s") from None
    if done.returncode:
        why = next((line for line in done.stderr.splitlines() if "Error" in line), "node failed")
        raise ConfigError([Fault(path, 0, f"cannot run it: {plain(why, 200)}", "PM2 could not, either")])
    return done.stdout


def _existing(folder: str) -> dict[str, list[Entry]]:
    """The Procfile and the Procfile.dev that exist here, with their entries."""
    found = {}
    for name in (PROCFILE, "Procfile.dev"):
        path = os.path.join(folder, name)
        if os.path.lexists(path):
            data = read(path, name)
            entries, faults = ([], [data]) if isinstance(data, Fault) else parse_procfile(data, name)
            if faults:
                raise ConfigError(faults)
            found[name] = entries
    return found


def _advise(folder: str, procfiles: dict[str, list[Entry]]) -> None:
    """Keep the Procfiles that exist, and write a procman.yml for them."""
    text = f"# How to run the process types of {' and '.join(procfiles)}. Made by `procman init`.\n\n"
    advised: dict[str, list[Finding]] = {}
    for procfile, entries in procfiles.items():
        click.echo(f"found {procfile}: {_count(len(entries), 'process type')}; it stays as it is")
        types = [TypeInput(name=one.name, command=command_of(one.command, folder), line=one.line) for one in entries]
        advised[procfile] = advise(types, SETTABLE)
        for finding in advised[procfile]:
            if not finding.key:
                where = f"{procfile}:{finding.line}"
                click.echo(f"  {where}: {finding.type} ({finding.program}): {finding.say}: {finding.why}")
    for finding in _for_all(procfiles, advised):
        text = insert(text, finding.path, finding.value if finding.value is not None else "", finding.why)
    if any(line.startswith("processes:") for line in text.splitlines()):
        _put(folder, {"procman.yml": text})
    else:
        click.echo("its programs need no procman.yml")
    for procfile in procfiles:
        _print_next(folder, procfile)
    if "Procfile.dev" in procfiles and os.path.lexists(os.path.join(folder, "bin/dev")):
        click.echo('note: bin/dev starts foreman; in its place: exec procman start -f Procfile.dev "$@"')


def _for_all(procfiles: dict[str, list[Entry]], advised: dict[str, list[Finding]]) -> Iterator[Finding]:
    """The settings that are advised in each Procfile that has the type, as all share one procman.yml."""
    done = set()
    for finding in (one for found in advised.values() for one in found if one.key):
        having = [name for name, entries in procfiles.items() if any(one.name == finding.type for one in entries)]
        same = (
            any(one.path == finding.path and one.value == finding.value for one in advised[name]) for name in having
        )
        if finding.path not in done and all(same):
            done.add(finding.path)
            yield finding


def _inspect(folder: str) -> None:
    found = inspect(read_folder(folder))
    for one in found.found:
        click.echo(f"found {one}")
    for hint in found.hints:
        click.echo(f"note: {hint}")
    if not found.converted.types:
        raise RefusedError(
            f"cannot find anything to run in {folder}", "write a Procfile: a line of it looks like 'web: python app.py'"
        )
    _write(folder, found.converted, "Made by `procman init`: change it as you like.")


def read_folder(folder: str) -> Folder:
    """The files of a folder to a small depth, and the texts of those that matter."""
    paths = set(_walk(folder))
    texts = {}
    for path in paths:
        if READ.fullmatch(path):
            data = read(os.path.join(folder, path), path)
            text = data if isinstance(data, Fault) else decode(data, path)
            texts[path] = "" if isinstance(text, Fault) else text
    return Folder(frozenset(paths), texts)


def _walk(folder: str) -> Iterator[str]:
    count = 0
    for place, folders, files in os.walk(folder):
        inside = os.path.relpath(place, folder)
        depth = 0 if inside == "." else inside.count(os.sep) + 1
        folders[:] = (
            sorted(name for name in folders if name not in SKIP and not name.startswith("."))
            if depth < MAX_DEPTH
            else []
        )
        for name in sorted(files):
            count += 1
            if count > MAX_FILES:
                return
            yield name if inside == "." else f"{inside}/{name}".replace(os.sep, "/")


def _write(folder: str, converted: Converted, origin: str) -> None:
    _put(folder, {
        "Procfile": render.procfile(converted, origin),
        "procman.yml": render.procman_yml(converted, origin),
        ".env": render.env(converted, origin),
        **converted.scripts,
    })  # fmt: skip
    for made in converted.types:
        click.echo(f"  {_shown(made)}")
    _print_next(folder)


def _shown(made: ProcessType) -> str:
    what = "" if isinstance(made.count, int) else "; cpus is the number of processors"
    return f"{made.name}: {made.command}" + (f"  ({made.count} instances{what})" if made.count != 1 else "")


def _put(folder: str, files: dict[str, str]) -> None:
    """Write all files that have a text, or none. Raises RefusedError if one of them exists."""
    files = {name: text for name, text in files.items() if text}
    taken = [name for name in files if os.path.lexists(os.path.join(folder, name))]
    if taken:
        raise RefusedError(
            f"cannot write {', '.join(taken)}: it already exists",
            "move it away, or name another folder with -d; `procman check --fix` adds to a procman.yml",
        )
    for name, text in files.items():
        path = os.path.join(folder, name)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if name == ".env" else 0o666)
            with open(fd, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
        except OSError as error:
            raise RefusedError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from None
        click.echo(f"wrote {name}")


def _print_left(converted: Converted, source: str) -> None:
    if converted.left:
        click.echo(f"not carried over ({len(converted.left)}):")
    for left in converted.left:
        file = os.path.join(os.path.dirname(source), left.file) if left.file else source
        where = f"{file}:{left.line}" if left.line else file
        click.echo(f"  {where}: {left.what}" + (f" ({left.hint})" if left.hint else ""))


def _print_next(folder: str, procfile: str = PROCFILE) -> None:
    """The options are those that find the file from the current folder."""
    inside = os.path.relpath(folder)
    options = "" if inside == os.curdir else f" -d {shlex.quote(inside)}"
    if procfile != PROCFILE:
        options += f" -f {shlex.quote(os.path.normpath(os.path.join(inside, procfile)))}"
    click.echo(f"next: `procman check{options}`, then `procman start{options}`")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

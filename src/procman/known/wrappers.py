"""Programs that run another program, and which of their words are their own. Pure; `recognise` looks through them."""

from __future__ import annotations

from itertools import pairwise
from os.path import basename, dirname, isabs

from msgspec import Struct


class Wrapper(Struct, frozen=True):
    """The words between a wrapper and the command that it runs. `verbs`: one of these comes first (`bundle exec`), none
    if empty. `valued`: options that take the next word. `words`: number of plain words before the command (`timeout
    10`). `dashes`: the command follows a `--`.
    """

    verbs: tuple[str, ...] = ()
    valued: frozenset[str] = frozenset()
    words: int = 0
    dashes: bool = False


_PROJECT = Wrapper(
    verbs=("run", "exec"),
    valued=frozenset({"--with", "-p", "--python", "--project", "--directory", "-e", "--env-file"}),
)
_AS_USER = Wrapper(valued=frozenset({"-u", "--user", "-g", "--group", "-h", "-C", "-D", "-r", "-t"}))
_FOREMAN = Wrapper(verbs=("run",), valued=frozenset({"-e", "--env", "-f", "--procfile", "-d", "--root", "--app-root"}))
_PLAIN = (
    "command time nohup setsid dumb-init docker-entrypoint.sh cross-env with-contenv spring bunx ddtrace-run "
    "opentelemetry-instrument unbuffer catatonit je jemalloc.sh"
)

WRAPPERS: dict[str, Wrapper] = {
    **dict.fromkeys(_PLAIN.split(), Wrapper()),
    **dict.fromkeys(("chrt", "taskset", "gosu", "su-exec", "flock", "s6-setuidgid"), Wrapper(words=1)),
    **dict.fromkeys(("sudo", "doas", "runuser"), _AS_USER),
    **dict.fromkeys(("poetry", "pipenv", "uv", "hatch", "pdm", "rye"), _PROJECT),
    **dict.fromkeys(("bundle", "rbenv", "npm"), Wrapper(verbs=("exec", "x"))),
    **dict.fromkeys(("foreman", "honcho"), _FOREMAN),
    **dict.fromkeys(("dotenvx", "doppler", "op", "infisical"), Wrapper(verbs=("run",), dashes=True)),
    **dict.fromkeys(("wait-for-it", "wait-for-it.sh", "wait-for"), Wrapper(dashes=True)),
    "exec": Wrapper(valued=frozenset({"-a"})),
    "nice": Wrapper(valued=frozenset({"-n", "--adjustment"})),
    "ionice": Wrapper(valued=frozenset({"-c", "-n", "--class", "--classdata"})),
    "env": Wrapper(valued=frozenset({"-u", "--unset", "-C", "--chdir"})),
    "timeout": Wrapper(valued=frozenset({"-s", "--signal", "-k", "--kill-after"}), words=1),
    "stdbuf": Wrapper(valued=frozenset({"-o", "-e", "-i"})),
    "tini": Wrapper(valued=frozenset({"-p", "-e"})),
    "heroku": Wrapper(verbs=("local:run",), valued=frozenset({"-e", "--env", "-p", "--port"})),
    "asdf": Wrapper(verbs=("exec",)),
    "mise": Wrapper(verbs=("exec", "x"), dashes=True),
    "direnv": Wrapper(verbs=("exec",), words=1),
    "npx": Wrapper(valued=frozenset({"-p", "--package"})),
    "pnpm": Wrapper(verbs=("exec", "dlx", "")),
    "yarn": Wrapper(verbs=("exec", "run", "dlx", "")),
    "bun": Wrapper(verbs=("x",)),
    "dotenv": Wrapper(valued=frozenset({"-e", "-c", "-f"})),
    "uvx": Wrapper(valued=frozenset({"--from", "--with"})),
    "conda": Wrapper(verbs=("run",), valued=frozenset({"-n", "--name", "-p", "--prefix"})),
    "coverage": Wrapper(verbs=("run",)),
    "watchmedo": Wrapper(verbs=("auto-restart",), dashes=True),
    "newrelic-admin": Wrapper(verbs=("run-program",)),
    "chamber": Wrapper(verbs=("exec",), dashes=True),
    "env-cmd": Wrapper(valued=frozenset({"-f", "--file", "-e", "--environments"})),
    "dockerize": Wrapper(
        valued=frozenset({"-wait", "-timeout", "-template", "-stdout", "-stderr", "-wait-retry-interval"})
    ),
    "xvfb-run": Wrapper(valued=frozenset({"-s", "--server-args", "-n", "--server-num"})),
}
_SCRIPTS = ("bin", "script", "scripts")
"""Folders of a project's own scripts, such as a buildpack's `bin/start-pgbouncer bundle exec puma`."""

_PROXIES = ("thrust",)
"""Programs that start another one and are the server that others see."""
INTERPRETERS = ("python", "pypy", "ruby", "node", "nodejs", "php", "perl", "bash", "sh", "dash", "zsh")
_OPTION_WITH_VALUE = frozenset({"-W", "-X", "-r", "--require", "--import", "-I", "-d", "-c"})


def assignments(words: tuple[str, ...]) -> int:
    """How many words at the start are `NAME=value`."""
    for number, word in enumerate(words):
        name, sign, _ = word.partition("=")
        if not (sign and name.isidentifier() and name.isascii()):
            return number
    return len(words)


def inner(words: tuple[str, ...]) -> tuple[str, ...]:
    """The command that these words run in turn, empty if none is visible."""
    name = basename(words[0])
    wrapper = WRAPPERS.get(name)
    if wrapper is not None:
        return _wrapped(wrapper, words[1:])
    if name.rstrip("0123456789.") in INTERPRETERS:
        return _interpreted(words[1:])
    if basename(dirname(words[0])) in _SCRIPTS and not isabs(words[0]) and name not in _PROXIES:
        return _wrapped(Wrapper(dashes="--" in words), words[1:])
    return ()


def removed(words: tuple[str, ...]) -> tuple[str, ...]:
    """The variables that `env -u NAME` takes out of the environment."""
    if basename(words[0]) != "env":
        return ()
    after = [name for option, name in pairwise(words) if option in ("-u", "--unset")]
    return (*after, *(word.partition("=")[2] for word in words if word.startswith("--unset=")))


def _wrapped(wrapper: Wrapper, rest: tuple[str, ...]) -> tuple[str, ...]:
    if wrapper.verbs:
        if rest and rest[0] in wrapper.verbs:
            rest = rest[1:]
        elif "" not in wrapper.verbs:
            return ()
    if wrapper.dashes:
        return rest[rest.index("--") + 1 :] if "--" in rest else ()
    rest = _after_options(rest, wrapper.valued)
    return rest[wrapper.words :]


def _interpreted(rest: tuple[str, ...]) -> tuple[str, ...]:
    """`python -m celery …` as `celery …`; `python manage.py …` as `manage.py …`; empty for `python -c …`."""
    for number, word in enumerate(rest):
        if word == "-m":
            return rest[number + 1 :]
        if not word.startswith("-"):
            break
        if word in ("-c", "-e", "-i", "-"):
            return ()
    return _after_options(rest, _OPTION_WITH_VALUE)


def _after_options(rest: tuple[str, ...], valued: frozenset[str]) -> tuple[str, ...]:
    number = 0
    while number < len(rest) and rest[number].startswith("-"):
        if rest[number] == "--":
            return rest[number + 1 :]
        number += 2 if rest[number] in valued else 1
    return rest[number:]

"""Which known program a command runs. Pure: words in, a `Known` out.

It looks through programs that only start another one: `exec`, `env A=1`, `bundle exec`, `npx`, `poetry run`, `python
-m` … (wrappers.py), and through a shell's operators: of `cd app && exec gunicorn app` the first known command counts.
"""

from __future__ import annotations

import shlex
from os.path import basename

from msgspec import Struct

from procman.known.programs import KnownProgram, programs
from procman.known.wrappers import assignments, inner

_OPERATORS = "();<>|&"
_JOINS = frozenset({";", "&", "&&", "||", "|", "|&", "(", ")"})
_MAX_DEPTH = 16
"""Most wrappers around a command: nobody writes more, and a command may be hostile."""


class Known(Struct, frozen=True, kw_only=True):
    """A recognised program, its words (the program's own first), and the variables set before it. `shell_leads`: the
    leader of the process group is a shell with the program as its child, so the stop signal reaches it later.
    """

    program: KnownProgram
    words: tuple[str, ...]
    env: dict[str, str]
    shell_leads: bool


def recognise(command: str) -> Known | None:
    """The first known program that the command runs, None where there is none."""
    return _search(command, 0)


def _search(command: str, depth: int) -> Known | None:
    try:
        commands = _split(command)
    except ValueError:  # a quotation mark is missing: the shell will report it
        return None
    for words in commands:
        known = _known(words, several=len(commands) > 1, last=words is commands[-1], depth=depth)
        if known is not None:
            return known
    return None


def _split(command: str) -> list[tuple[str, ...]]:
    """The simple commands of a line, without redirections."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace_split = True
    lexer.commenters = ""
    commands: list[list[str]] = [[]]
    redirected = False
    for token in lexer:
        if token in _JOINS:
            commands.append([])
        elif token[:1] in ("<", ">") and not token.strip(_OPERATORS):
            redirected = True
        elif redirected:
            redirected = False
        elif token.strip(_OPERATORS):
            commands[-1].append(token)
    return [tuple(words) for words in commands if words]


def _known(words: tuple[str, ...], *, several: bool, last: bool, depth: int) -> Known | None:
    """The innermost known command in one simple command."""
    executed = words[assignments(words) :][:1] == ("exec",)
    env: dict[str, str] = {}
    stages: list[tuple[str, ...]] = []
    while words and len(stages) < _MAX_DEPTH:
        count = assignments(words)
        env |= dict(word.split("=", 1) for word in words[:count])
        words = words[count:]
        if words:
            stages.append(words)
            words = inner(words)
    for stage in reversed(stages):
        scripted = _in_shell(stage, depth)
        if scripted is not None:
            return scripted
        for program in programs():
            if any(matches(pattern, stage) for pattern in program.match):
                leads = several and not (executed and last)
                return Known(program=program, words=stage, env=env, shell_leads=leads)
    return None


def _in_shell(words: tuple[str, ...], depth: int) -> Known | None:
    """The command in `sh -c 'COMMAND'`."""
    if basename(words[0]) not in ("sh", "bash", "dash", "zsh") or depth >= _MAX_DEPTH:
        return None
    for number, word in enumerate(words[1:-1], 1):
        if word.startswith("-") and word.endswith("c") and not word.startswith("--"):
            return _search(words[number + 1], depth + 1)
    return None


def matches(pattern: str, words: tuple[str, ...]) -> bool:
    """Whether a pattern of programs.toml matches a command; see `KnownProgram`."""
    name, *others = pattern.split()
    given = words[0].rpartition("/")[2]
    if name not in (given, words[0]) and not (name.endswith("*") and given.startswith(name[:-1])):
        return False
    rest = list(words[1:])
    for other in others:
        if other == "$":
            return all(word.startswith("-") for word in rest)
        if other.startswith("!"):
            if other[1:] in words:
                return False
        elif other in rest:
            del rest[: rest.index(other) + 1]
        else:
            return False
    return True

"""Which known program a command runs. Pure: words in, a `Known` out.

It looks through programs that only start another one: `exec`, `env A=1`, `bundle exec`, `npx`, `poetry run`, `python
-m` … (wrappers.py), and through a shell's operators and keywords: of `npm run setup && exec gunicorn app` the last
known command with anything to say counts, as what goes before it has ended by then.
"""

from __future__ import annotations

import shlex
from itertools import dropwhile
from os.path import basename

from msgspec import Struct

from procman.known.programs import KnownProgram, programs
from procman.known.wrappers import assignments, inner, removed

_OPERATORS = "();<>|&"
_JOINS = frozenset({";", "&", "&&", "||", "|", "|&", "(", ")"})
_KEYWORDS = frozenset({"if", "then", "elif", "else", "while", "until", "do", "{", "!", "time"})
"""Words of a shell after which a command follows."""
_MAX_DEPTH = 16
"""Most wrappers around a command: nobody writes more, and a command may be hostile."""


class Known(Struct, frozen=True, kw_only=True):
    """A recognised program, its words (the program's own first), and the variables set before it ("": removed).
    `shell_leads`: the leader of the process group is a shell with the program as its child, so the stop signal reaches
    it later.
    """

    program: KnownProgram
    words: tuple[str, ...]
    env: dict[str, str]
    shell_leads: bool
    start: str
    """The first word of its command, such as `bundle`."""


def recognise(command: str) -> Known | None:
    """The known program that the command runs, None if there is none."""
    return _search(command, 0)


def fixed_port(command: str) -> str:
    """The value that a command sets PORT to for what it runs at last, "" if it leaves it alone."""
    port, commands = "", split(command)
    for words, before in zip(commands, _set_before(commands), strict=True):
        port = (before | unwrapped(words)[0]).get("PORT", port)
    return port


def _search(command: str, depth: int) -> Known | None:
    commands = split(command)
    found = [
        known
        for words, before in zip(commands, _set_before(commands), strict=True)
        if (known := _known(words, before, alone=len(commands) == 1, last=words is commands[-1], depth=depth))
    ]
    telling = [known for known in found if tells(known.program)]
    best = telling[-1:] or found[:1]
    return best[0] if best else None


def tells(program: KnownProgram) -> bool:
    """Whether there is anything to advise for it."""
    listens = program.listens
    return bool(program.rules or (listens is not None and (listens.env or listens.default)))


def _set_before(commands: list[tuple[str, ...]]) -> list[dict[str, str]]:
    """The variables that the line has set by itself before each of its commands: `export A=1; unset B; cmd`."""
    env: dict[str, str] = {}
    kept = []
    for words in commands:
        kept.append(dict(env))
        match words:
            case ("export", *rest) if assignments(tuple(rest)):
                env |= _values(tuple(rest))
            case ("unset", *names):
                env |= dict.fromkeys(names, "")
            case _ if assignments(words) == len(words):
                env |= _values(words)
            case _:
                pass
    return kept


def _values(words: tuple[str, ...]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words[: assignments(words)])


def split(command: str) -> list[tuple[str, ...]]:
    """The simple commands of a line, without redirections; none if a quotation mark is missing, which the shell reports."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        tokens = list(lexer)
    except ValueError:
        return []
    commands: list[list[str]] = [[]]
    redirected = False
    for token in tokens:
        if token in _JOINS:
            commands.append([])
        elif token[:1] in ("<", ">") and not token.strip(_OPERATORS):
            redirected = True
        elif redirected:
            redirected = False
        elif token.strip(_OPERATORS):
            commands[-1].append(token)
    bare = (tuple(dropwhile(_KEYWORDS.__contains__, words)) for words in commands)
    return [words for words in bare if words]


def _known(words: tuple[str, ...], before: dict[str, str], *, alone: bool, last: bool, depth: int) -> Known | None:
    """The innermost known command in one simple command."""
    executed = words[assignments(words) :][:1] == ("exec",)
    env, stages = unwrapped(words)
    for stage in reversed(stages):
        scripted = _in_shell(stage, depth)
        if scripted is not None:
            return scripted
        for program in programs():
            if any(matches(pattern, stage) for pattern in program.match):
                leads = not alone and not (executed and last)
                return Known(program=program, words=stage, env=before | env, shell_leads=leads, start=stages[0][0])
    return None


def unwrapped(words: tuple[str, ...]) -> tuple[dict[str, str], list[tuple[str, ...]]]:
    """The variables that are set for a simple command, and what it runs: the whole command, then without its first
    wrapper, then without the second, and so on.
    """
    env: dict[str, str] = {}
    stages: list[tuple[str, ...]] = []
    while words and len(stages) < _MAX_DEPTH:
        env |= _values(words)
        words = words[assignments(words) :]
        if words:
            stages.append(words)
            env |= dict.fromkeys(removed(words), "")
            words = inner(words)
    return env, stages


def _in_shell(words: tuple[str, ...], depth: int) -> Known | None:
    """The command in `sh -c 'COMMAND'`."""
    if basename(words[0]) not in ("sh", "bash", "dash", "zsh") or depth >= _MAX_DEPTH:
        return None
    for number, word in enumerate(words[1:-1], 1):
        if word.startswith("-") and word.endswith("c") and not word.startswith("--"):
            return _search(words[number + 1], depth + 1)
    return None


OWN_BIN = "bin/*"
"""The name in a pattern that stands for any file in a folder `bin` of the application's own: a release of Mix has one."""


def _in_own_bin(word: str) -> bool:
    """Whether the file is in a folder `bin` that is not the system's."""
    folder = word.rpartition("/")[0]
    return basename(folder) == "bin" and folder not in ("/bin", "/usr/bin", "/usr/local/bin")


def matches(pattern: str, words: tuple[str, ...]) -> bool:
    """Whether a pattern of programs.toml matches a command; see `KnownProgram`."""
    name, *others = pattern.split()
    given = words[0].rpartition("/")[2]
    if name == OWN_BIN:
        name = given if _in_own_bin(words[0]) else ""
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

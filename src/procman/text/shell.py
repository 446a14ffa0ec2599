"""How a command line becomes the words to execute. Pure: knows the language of shells, reads no files."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from functools import lru_cache

from procman.text.shellwords import SHELL_WORDS

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+,./:- \t")
"""A command of only these characters means the same with and without a shell, except where it starts with one of the
words below.
"""


def begins_with_shell_word(command: str) -> bool:
    """Whether the command line starts with a word that the shell itself carries out, so that no `exec` may precede it."""
    return command.lstrip(" \t").replace("\t", " ").partition(" ")[0] in SHELL_WORDS


@lru_cache(maxsize=1)  # asked three times for each start
def is_plain(command: str) -> bool:
    """Whether the command can be executed directly, word by word."""
    return command != "" and _PLAIN.issuperset(command) and command.split(maxsplit=1)[0] not in SHELL_WORDS


SHELLS = frozenset({"sh", "ash", "bash", "dash", "ksh", "mksh", "yash", "zsh", "fish"})

_OPERATORS = frozenset("|&;\n")


def is_led_by_shell(command: str, shell: str = "/bin/sh") -> bool:
    """Whether a shell stays the leader of this command's processes. Such a shell passes no signal on to the program
    that it waits for.
    """
    words = command.split(maxsplit=2)
    if is_plain(command):
        return _is_shell(words[0])
    if words[0] == "exec" and _OPERATORS.isdisjoint(command):
        return len(words) > 1 and _is_shell(words[1])
    if not begins_with_shell_word(command):
        from procman.text.shellline import may_exec, program_of  # noqa: PLC0415  most lines need none of it

        if may_exec(command, shell) and (at := program_of(command)) is not None:
            return _is_shell(at[1])
    return not _becomes_program(command)


def _is_shell(program: str) -> bool:
    return program.rpartition("/")[2] in SHELLS


def _becomes_program(command: str) -> bool:
    """Whether the shell becomes the program of its last command, as in `cd app && exec celery worker`.

    Where it stays, as in `(exec a)`, `exec a | b` and `if …; then exec a; fi`, this is False.
    """
    line = _bare(command)
    last = re.split(rf"\|\||{_NEXT_COMMAND}", line.rstrip(" \t\n;"))[-1]
    found = re.match(r"\s*(?:[A-Za-z_]\w*=\S*\s+)*exec\s+([^\s|<>&]+)[^|]*$", last)
    return found is not None and not re.search(r"[()]|(?:^|[\s;&|])\{\s", line) and not _is_shell(found[1])


def argv(
    command: str, shell: str, args: Sequence[str] = (), name: str = "", env: Container[str] = frozenset()
) -> list[str]:
    """The words to execute for a command line: its own, or a shell with the line as its argument. The first word is
    still to be looked up in PATH.

    `args` are appended to the command; `name` is what the shell calls itself in messages; `env` holds the names of the
    command's variables.
    """
    if is_plain(command):
        return [*command.split(), *args]
    line = f'{command} "$@"' if args else command
    if not begins_with_shell_word(command):
        from procman.text.shellline import may_exec, with_exec  # noqa: PLC0415  as above

        line = with_exec(line) if may_exec(line, shell, env) else line
    return [shell, "-c", line, name or shell, *args] if args else [shell, "-c", line]


_NO_OPERATOR = r"""(?s)\$\([^()]*\)|'[^']*'|"(?:\\.|[^"\\])*"|`[^`]*`|\\.|>\||(?<![^\s;&|])\#[^\n]*"""
"""Places whose characters are not operators of the line itself: `$(…)`, quotes, what is escaped, `>|`, a comment."""

_NEXT_COMMAND = r"&&|;|\n|(?<![<>|&])&(?![>&])"


def is_pipeline(command: str) -> bool:
    """Whether the status of the line is only that of the last command of a pipeline, which hides how the others ended."""
    if "|" not in command or "pipefail" in command:
        return False
    text = _bare(command)
    if re.search(r"\bcase\b", text):
        return False
    last = re.split(_NEXT_COMMAND, text.rstrip(" \t\n;"))[-1]
    return any("|" in part for part in last.split("||"))


def ends_in_background(command: str) -> bool:
    """Whether the shell does not wait for the last command of the line (`server &`), and so ends before it."""
    return "&" in command and re.search(r"(?<![&<>|])&[\s;)}]*\Z", _bare(command, " ")) is not None


def _bare(command: str, instead: str = "_") -> str:
    """The command line with `instead` for the places whose characters are not operators."""
    while (text := re.sub(_NO_OPERATOR, instead, command)) != command:  # removes brackets from the inside out
        command = text
    return text

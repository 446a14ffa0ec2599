"""Puts `exec` before the program of a command line where that changes nothing except which process runs it. Pure;
loaded only for lines that need a shell.
"""

from __future__ import annotations

import re
from collections.abc import Container
from functools import lru_cache

from procman.text.shellwords import SHELL_WORDS

POSIX_SHELLS = frozenset({"sh", "dash", "ash", "bash", "busybox", "ksh", "mksh"})
"""Shells whose grammar is the one below. Lines for other shells are left alone."""

_OTHER_BUILTINS = frozenset({"chdir", "print", "whence"})
"""Reserved words of dash and ksh; other shells look for programs of these names."""

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_NOT_A_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\+=|\[)")
"""bash reads `A+=1` and `A[1]=1` as assignments, dash as commands."""

_BELOW_A_VARIABLE = re.compile(r'"?\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})"?/[A-Za-z0-9_@%+,./:"-]+')
"""A program such as `$HOME/bin/web`: with its slash it is not a builtin, whatever the variable contains."""

_ORDINARY = re.compile(r"[^\s\\'\"$`;&|<>()#*?\[\]{}~!\n]+")
_REDIRECTION = re.compile(r"\d*(?:>>|>&|<&|<>|>|<)[ \t]*(?![<>&|(])")


class _UnsafeError(Exception):
    """The line cannot be changed safely."""


def may_exec(command: str, shell: str, env: Container[str] = frozenset()) -> bool:
    """Whether `exec` before the program changes nothing except which process runs it.

    Not where the name of the program may be that of a function: bash imports functions from the environment, and from
    the file in BASH_ENV.
    """
    if shell.rpartition("/")[2] not in POSIX_SHELLS or "BASH_ENV" in env:
        return False
    at = program_of(command)
    return at is not None and f"BASH_FUNC_{at[1]}%%" not in env


def with_exec(command: str) -> str:
    """The line with `exec` before its program, after any assignments, so that the shell becomes the program.

    Unlike bash, dash does not do this by itself: dash would stay the leader, get the signals, report the status, and
    die of HUP.
    """
    at = program_of(command)
    return command if at is None else f"{command[: at[0]]}exec {command[at[0] :]}"


@lru_cache(maxsize=2048)
def program_of(command: str) -> tuple[int, str] | None:
    """Where the program of a line starts, and its name; None if the line needs its shell.

    A line needs its shell for operators, several lines, builtins and keywords, for a program whose name is that of a
    variable, and where an assignment before the program is used in the same line: shells differ in when it takes
    effect.
    """
    try:
        return _CommandLine(command).program()
    except _UnsafeError:
        return None


class _CommandLine:
    """One command line, read as POSIX.1-2024 2.2 to 2.6 describes it. Anything that is not certain is unsafe."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def program(self) -> tuple[int, str]:
        if "\n" in self._text or "\0" in self._text:
            raise _UnsafeError
        assigned: list[str] = []
        found: tuple[int, str] | None = None
        while self._skip_blanks():
            start = self._at
            if self._redirected():
                continue
            name, literal = self._word()
            if found is None and name is not None:
                assigned.append(name)
            elif found is None:
                word = self._text[start : self._at]
                found = (start, word if _BELOW_A_VARIABLE.fullmatch(word) else self._refuse_program(literal))
        if found is None or any(re.search(rf"\$\{{?#?{name}\b", self._text) for name in assigned):
            raise _UnsafeError
        return found

    @staticmethod
    def _refuse_program(word: str | None) -> str:
        """Raise unless the word is certainly the name of a program."""
        if not word or word in SHELL_WORDS or word in _OTHER_BUILTINS or word[0] in "-!{}[" or _NOT_A_NAME.match(word):
            raise _UnsafeError
        return word

    def _skip_blanks(self) -> bool:
        """Skip blanks; returns whether a word follows. A comment ends the line."""
        while self._at < len(self._text) and self._text[self._at] in " \t":
            self._at += 1
        return self._at < len(self._text) and self._text[self._at] != "#"

    def _redirected(self) -> bool:
        match = _REDIRECTION.match(self._text, self._at)
        if match is None:
            return False
        self._at = match.end()
        self._word()
        return True

    def _word(self) -> tuple[str | None, str | None]:
        """The name that the word assigns to, if any, and the word unquoted if the shell replaces nothing in it."""
        text, start = self._text, self._at
        assignment = _ASSIGNMENT.match(text, start)
        literal: str | None = ""
        while self._at < len(text) and text[self._at] not in " \t":
            part = self._part()
            literal = literal + part if literal is not None and part is not None else None
        if self._at == start:
            raise _UnsafeError
        return (assignment[1] if assignment else None), literal

    def _part(self) -> str | None:
        """The next piece of a word; None if the shell replaces it."""
        text, at = self._text, self._at
        match text[at]:
            case "'":
                self._at = self._after("'", at + 1)
                return text[at + 1 : self._at - 1]
            case '"':
                self._at = self._quoted(at + 1)
                inner = text[at + 1 : self._at - 1]
                return None if re.search(r"[$`\\]", inner) else inner
            case "\\":
                if at + 1 >= len(text):
                    raise _UnsafeError
                self._at = at + 2
                return text[at + 1]
            case "$" | "`":
                if text[at + 1 : at + 2] in ("'", '"'):  # quotes text in bash, and not in dash
                    raise _UnsafeError
                self._at = self._replaced(at)
                return None
            case ";" | "&" | "|" | "<" | ">" | "(" | ")":
                raise _UnsafeError
            case "*" | "?" | "[" | "]" | "{" | "}" | "~" | "!" | "#":
                self._at = at + 1
                return text[at] if text[at] in "~!#{}]" else None
        ordinary = _ORDINARY.match(text, at)
        if ordinary is None:  # counts as a blank in some shells
            raise _UnsafeError
        self._at = ordinary.end()
        return ordinary[0]

    def _after(self, end: str, at: int) -> int:
        found = self._text.find(end, at)
        if found < 0:
            raise _UnsafeError
        return found + 1

    def _quoted(self, at: int) -> int:
        """The position after the closing double quotation mark."""
        while (character := self._text[at : at + 1]) != '"':
            if character == "\\":
                at += 2
            elif character in ("$", "`"):
                at = self._replaced(at)
            elif not character:
                raise _UnsafeError
            else:
                at += 1
        return at + 1

    def _replaced(self, at: int) -> int:
        """The position after `$NAME`, `${…}`, `$(…)` or a command in backquotes."""
        if self._text[at] == "`":
            return self._after("`", at + 1)
        match self._text[at + 1 : at + 2]:
            case "(":
                return self._nested(at + 2, ")")
            case "{":
                return self._nested(at + 2, "}")
            case _:
                return at + 1

    def _nested(self, at: int, end: str) -> int:
        """The position after the closing bracket. Only brackets are understood in between; anything else is unsafe."""
        text = self._text
        while (character := text[at : at + 1]) != end:
            if character in ("", "#", "\\", "`") or (end == "}" and character in "'\"") or text.startswith("case", at):
                raise _UnsafeError
            if character == "$":
                at = self._replaced(at)
            elif character == "(":
                at = self._nested(at + 1, ")")
            elif character == "'":
                at = self._after("'", at + 1)
            elif character == '"':
                at = self._quoted(at + 1)
            else:
                at += 1
        return at + 1

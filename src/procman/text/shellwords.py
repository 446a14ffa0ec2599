"""Words that have a meaning to the shell itself. Pure."""

from __future__ import annotations

SHELL_WORDS = frozenset(
    # POSIX.1-2024 2.4 reserved words, 2.15 special built-ins, 1.7 and the further built-ins of dash and bash
    "case do done elif else esac fi for function if in select then time until while coproc "  # noqa: SIM905  85 quoted words would be no easier to read
    ". : break continue eval exec exit export readonly return set shift times trap unset source "
    "alias bg bind builtin caller cd command compgen complete compopt declare dirs disown echo enable false fc fg "
    "getopts hash help history jobs kill let local logout mapfile popd printf pushd pwd read readarray shopt suspend "
    "test true type typeset ulimit umask unalias wait".split()
)

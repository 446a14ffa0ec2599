"""Modules that a start does not need before its first process: each is loaded where it is first used.

What is not used soon is loaded all the same, by `load_all` when nobody waits: later the files may be the next version's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

_waiting: list[Later] = []
_room: list[Callable[[], None]] = []


class Later:
    """Stands for a module in the names of the one that uses it, until somebody asks for something in it."""

    def __init__(self, user: str, module: str) -> None:
        self._user = user
        self._module = module

    def __getattr__(self, name: str) -> object:
        return getattr(_load(self), name)


def later(user: str, module: str) -> Later:
    """To be bound in the module `user` to the last part of the module's name."""
    one = Later(user, module)
    _waiting.append(one)
    return one


def keep_room(make_room: Callable[[], None]) -> None:
    """`make_room` is called once where one cannot be loaded, as for want of a descriptor; then it is tried again."""
    _room[:] = [make_room]


def load_all() -> None:
    """Load what has not been used yet. Raises ImportError, OSError and MemoryError."""
    while _waiting:
        _load(_waiting[-1])


def _load(one: Later) -> object:
    user, name = one._user, one._module  # noqa: SLF001  Later has no other names than those of its module
    try:
        __import__(name)
    except OSError:
        if not _room:
            raise
        _room.pop()()
        __import__(name)
    module = vars(sys.modules[user])[name.rpartition(".")[2]] = sys.modules[name]
    if one in _waiting:
        _waiting.remove(one)
    return module

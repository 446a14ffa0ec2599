"""Loads modules that a start does not need before its first process: each when it is first used.

`keep_all` holds the rest in memory once procman is idle, because later the files may be those of another version.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

_waiting: list[Later] = []
_room: list[Callable[[], None]] = []


class Later:
    """Stands for a module in the namespace of the module that uses it, until one of its attributes is read."""

    __slots__ = ("_module", "_user")

    def __init__(self, user: str, module: str) -> None:
        self._user = user
        self._module = module

    def __getattr__(self, name: str) -> object:
        return getattr(_load(self), name)


def later(user: str, module: str) -> Later:
    """A placeholder, to be bound in the module `user` to the last part of the module's name."""
    one = Later(user, module)
    _waiting.append(one)
    return one


def keep_room(make_room: Callable[[], None]) -> None:
    """Register a function that is called once before a failed load is tried again, for example to free a descriptor."""
    _room[:] = [make_room]


def keep_all(soon: Iterable[str], hold: Callable[[str], bool]) -> None:
    """Need no file any more: load the modules that are used soon, and hold the code of all others that have not been used
    yet, or load those that cannot be held. Raises what an import raises.
    """
    for name in soon:
        __import__(name)
    kept = set(sys.modules)
    while names := {one._module for one in _waiting} - kept:  # noqa: SLF001  as below
        for name in names:
            if not hold(name):
                __import__(name)
        kept |= names


def _load(one: Later) -> object:
    user, name = one._user, one._module  # noqa: SLF001  Later has no public attributes besides those of its module
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

"""Which types are in a crash loop. The arithmetic is restart.CrashWatch; this keeps one for each type and tells changes."""

from __future__ import annotations

from procman.core.actions import Action, Publish, SetTimer
from procman.core.restart import WINDOW, CrashWatch
from procman.core.state import Instance
from procman.core.view import Change, Kind

KEY = "crash:"
"""Begins the key of a type's timer."""


class Crashes:
    """The deaths of every type, as far back as they count."""

    def __init__(self, watches: dict[str, CrashWatch] | None = None) -> None:
        self._watches: dict[str, CrashWatch] = dict(watches or {})

    def state(self) -> dict[str, CrashWatch]:
        """What another one can be made of."""
        return dict(self._watches)

    def looping(self, type_name: str) -> bool:
        watch = self._watches.get(type_name)
        return watch is not None and watch.looping

    def death(self, i: Instance, now: float) -> list[Action]:
        """An instance has died. While its type is in a crash loop each death puts the end of that off by a minute."""
        type_name = i.spec.type
        before = self._watches.get(type_name, CrashWatch())
        watch = self._watches[type_name] = before.death(now, i.early)
        actions: list[Action] = []
        if watch.looping:
            actions.append(SetTimer(KEY + type_name, watch.token, now + WINDOW))
        if watch.looping and not before.looping:
            text = f"{type_name} is in a crash loop; procman keeps trying (last: {i.name} {i.reason})"
            actions.append(_told(Kind.CRASH_LOOP, text, type_name))
        return actions

    def quiet(self, key: str, token: int) -> list[Action]:
        """A minute has passed since the death that set this timer: out of the loop, unless there was another."""
        type_name = key.removeprefix(KEY)
        watch = self._watches.get(type_name)
        if watch is None or watch.token != token:
            return []
        self._watches[type_name] = CrashWatch(token=token)
        text = f"{type_name} is out of its crash loop: a minute without a death"
        return [_told(Kind.RECOVERED, text, type_name)]

    def forget(self, type_name: str) -> None:
        """The type is gone; should it come back, old timers mean nothing to it."""
        watch = self._watches.get(type_name)
        if watch is not None:
            self._watches[type_name] = CrashWatch(token=watch.token + 1)


def _told(kind: Kind, text: str, type_name: str) -> Publish:
    return Publish(Change(event=kind, text=text, type=type_name))

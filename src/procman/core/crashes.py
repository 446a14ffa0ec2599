"""Which types are in a crash loop, and which of their instances. The arithmetic is in restart.CrashWatch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.core.actions import Action, Publish, SetTimer
from procman.core.facts import Died
from procman.core.phases import AT_REST, Instance
from procman.core.restart import EARLY_DEATHS, WINDOW, CrashWatch
from procman.core.timers import CrashLoopTimer
from procman.core.view import Change, Kind
from procman.later import later

if TYPE_CHECKING:
    from procman.core import wording
else:
    wording = later(__name__, "procman.core.wording")


class Crashes:
    """The deaths of every type, as far back as they count."""

    def __init__(self, watches: dict[str, CrashWatch] | None = None) -> None:
        self._watches: dict[str, CrashWatch] = dict(watches or {})

    def state(self) -> dict[str, CrashWatch]:
        """The state from which it can be continued."""
        return dict(self._watches)

    def looping(self, type_name: str) -> bool:
        watch = self._watches.get(type_name)
        return watch is not None and watch.looping

    def loops(self, i: Instance, now: float) -> bool:
        """Whether it is in the crash loop of its type: it is being restarted, died within the last minute, and not for the
        first time. One that dies once while a sibling dies again and again is not.
        """
        died_at, before = i.record.died_at, i.record.died_before
        if died_at is None or now - died_at >= WINDOW or isinstance(i.phase, AT_REST):
            return False
        again = before is not None and died_at - before < WINDOW
        return (again or i.record.early_exits >= EARLY_DEATHS) and self.looping(i.spec.type)

    def death(self, i: Instance, died: Died, now: float) -> list[Action]:
        """An instance has died. While its type is in a crash loop, each death postpones the end of that by a minute."""
        type_name = i.spec.type
        before = self._watches.get(type_name, CrashWatch())
        watch = before.death(now, i.record.early_exits, retried=died.retried)
        self._watches[type_name] = watch
        actions: list[Action] = []
        if watch.looping:
            actions.append(SetTimer(CrashLoopTimer(type_name), watch.token, now + WINDOW))
        if watch.looping and not before.looping:
            actions.append(_publish(Kind.CRASH_LOOP, wording.crash_loop_line(i), type_name))
        return actions

    def deadline(self, type_name: str, token: int) -> list[Action]:
        """A minute after the death that set this timer: the crash loop is over, unless there was another death."""
        watch = self._watches.get(type_name)
        if watch is None or watch.token != token:
            return []
        self._watches[type_name] = CrashWatch(token=token)
        return [_publish(Kind.RECOVERED, wording.recovered_line(type_name), type_name)]

    def forget(self, type_name: str) -> None:
        """The type has been removed; if it comes back, old timers do not apply to it."""
        watch = self._watches.get(type_name)
        if watch is not None:
            self._watches[type_name] = CrashWatch(token=watch.token + 1)


def _publish(kind: Kind, text: str, type_name: str) -> Publish:
    return Publish(Change(event=kind, text=text, type=type_name))

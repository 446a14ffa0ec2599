"""Who waits for the answer to a command: numbers in, answers out."""

from __future__ import annotations

from collections.abc import Callable

from procman.core.actions import Refuse, Reply
from procman.core.events import Command, Commanded

Answer = Callable[[Reply | Refuse], None]


class Requests:
    """Every command has a number, and is answered once."""

    def __init__(self) -> None:
        self._answers: dict[int, Answer] = {}
        self._last = 0

    def add(self, command: Command, answer: Answer) -> Commanded:
        self._last += 1
        self._answers[self._last] = answer
        return Commanded(command, self._last)

    def answer(self, outcome: Reply | Refuse) -> None:
        """The core has answered; nothing where nobody waits (any more)."""
        answer = self._answers.pop(outcome.request, None)
        if answer is not None:
            answer(outcome)

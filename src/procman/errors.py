"""What can go wrong, by whose fault it is.

* `ConfigError`: the user's inputs. Carries every fault found in one run; exit 2, nothing started.
* `UsageError`: the command line; exit 2, too.
* `RefusedError`: a request that is understood and not granted; exit 1.
* `NotRunningError`: no procman runs for this folder; exit 3.

The machine's faults (no process, no descriptor, a full disk) are events of the core with a reason, never exceptions
that reach a user. Ours are ordinary Python exceptions: they crash a test and are logged in production.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class ProcmanError(Exception):
    """Base of every error that a user sees. `message` starts with "cannot"; `hint` says what to do next."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def lines(self) -> list[str]:
        """The message and the hint, as they are printed after `procman: `."""
        return [self.message, self.hint] if self.hint else [self.message]


class Fault:
    """One fault in an input: its file and line (from 1; 0 if there is none), what cannot be done, and a hint."""

    __slots__ = ("file", "hint", "line", "message")

    def __init__(self, file: str, line: int, message: str, hint: str = "") -> None:
        self.file = file
        self.line = line
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")

    def __repr__(self) -> str:
        return f"Fault({str(self)!r})"


class ConfigError(ProcmanError):
    """All faults in the inputs that one run can find. `faults` is never empty."""

    exit_code = 2

    def __init__(self, faults: Iterable[Fault] | str, hint: str = "") -> None:
        self.faults = [Fault("", 0, faults, hint)] if isinstance(faults, str) else list(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def lines(self) -> list[str]:
        return [str(fault) for fault in self.faults]


class UsageError(ProcmanError):
    """The command line is wrong."""

    exit_code = 2


class RefusedError(ProcmanError):
    """procman understood a request and did not grant it."""


class NotRunningError(ProcmanError):
    """No procman answers for this folder."""

    exit_code = 3


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'web'?` where a known name is similar to the word, else the list of known names, else "".

    Similarity is difflib's ratio with its default cutoff of 0.6, without regard to case.
    """
    import difflib  # noqa: PLC0415  8 ms at import, and only needed on the way to an error

    names = list(known)
    folded = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), folded, n=1)
    if close:
        return f"did you mean '{folded[close[0]]}'?"
    return f"known: {', '.join(names[:12])}{', …' if len(names) > 12 else ''}" if names else ""


NO_MEMORY = "cannot continue: no memory is left; `ulimit -v` or the cgroup's limit may be too low"


def fault_of_system(error: BaseException) -> str:
    """The message where the system lacks what procman needs, or refuses a call itself, as a seccomp filter does; else ""."""
    if isinstance(error, MemoryError):
        return NO_MEMORY
    if not isinstance(error, OSError):
        return ""
    from errno import EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM  # noqa: PLC0415  only on the way to an error

    if error.errno in (EMFILE, ENFILE):
        return (
            "cannot continue: no descriptor is left; `ulimit -n` says how many there may be, 64 are enough for a start"
        )
    if error.errno == ENOMEM:
        return NO_MEMORY
    if error.errno not in (EPERM, ENOSYS) or error.filename:
        return ""
    text = f"cannot continue: the system refuses a call that procman needs ({error.strerror})"
    return f"{text}; a seccomp filter that allows it helps"

"""Calls functions of the C library that Python has no name for: prctl(2) and signalfd(2)."""

from __future__ import annotations


def call(function: str, *arguments: int | bytes) -> int:
    """What the function returns, a C int. Raises ImportError, OSError and AttributeError if Python has no ctypes, or
    the C library no such function.

    `_ctypes` is what ctypes itself calls; without the types of ctypes it takes 0.5 ms of a start instead of 2, and 0.15 MB
    less.
    """
    try:
        from _ctypes import call_function, dlopen, dlsym  # noqa: PLC0415  PID 1 does not need it
    except ImportError:  # it is not documented, so another Python may do without
        import ctypes  # noqa: PLC0415  as above

        return int(getattr(ctypes.CDLL(None), function)(*arguments))
    program = dlopen(None)  # type: ignore[arg-type]  # None is the program with all that it has loaded
    return int(call_function(dlsym(program, function), arguments))

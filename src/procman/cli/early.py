"""The first milliseconds of a run: signals that come before there are handlers, imports without garbage collection, and
a faster import of a library.

Without a handler PID 1 never sees a signal (pid_namespaces(7)), and any other process is ended by it; `start` loses
none from its first line on. Imports nothing but what every verb needs anyhow.
"""

from __future__ import annotations

import gc
import os
import sys
from types import ModuleType

TYPE_CHECKING = False  # as in procman.cli
if TYPE_CHECKING:
    from collections.abc import Callable

HELD = ("HUP", "QUIT", "USR1", "USR2", "TTIN", "TTOU", "ALRM", "VTALRM", "PROF", "POLL", "PWR", "XCPU")
"""Signals that would end or stop a procman without handlers, and have a meaning once it has them."""


def hold_signals() -> None:
    """TERM and INT end a start at once, as it has started nothing; the other signals wait for their handlers."""
    import signal  # noqa: PLC0415  1 ms, for `start` alone

    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a shell's job in the background
        signal.signal(signal.SIGINT, _end)
    signal.pthread_sigmask(signal.SIG_BLOCK, _held())


def release_signals() -> None:
    """Undo `hold_signals` in a process that does not become procman after all."""
    import signal  # noqa: PLC0415  as above

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _held())


def _held() -> set[int]:
    import signal  # noqa: PLC0415  as above

    return {getattr(signal, f"SIG{name}") for name in HELD if hasattr(signal, f"SIG{name}")}


def _end(number: int, _frame: object) -> None:
    """Exit at once: there is nothing to undo yet, and an exception in the middle of an import has crashed libraries."""
    os._exit(130 if number == 2 else 0)  # SIGINT; as after any TERM


def _later(module: str, name: str) -> Callable[..., object]:
    """Stands for a function of a module that is put off."""

    def call(*args: object, **options: object) -> object:
        function: Callable[..., object] = getattr(__import__(module, fromlist=(name,)), name)
        return function(*args, **options)

    return call


SCHEMA = "msgspec._json_schema"

PUT_OFF: dict[str, dict[str, object]] = {
    "decimal": {"Decimal": type("Decimal", (), {})},
    "uuid": {"UUID": type("UUID", (), {}), "SafeUUID": type("SafeUUID", (), {"unknown": None})},
    "textwrap": {},  # three patterns would be compiled
    SCHEMA: {name: _later(SCHEMA, name) for name in ("schema", "schema_components")},
    "msgspec.inspect": {},
    "msgspec.toml": {},
    "msgspec.yaml": {},
}
"""Modules that msgspec imports for types and formats that procman does not use with it, each with the attributes that
are known without loading it.
"""

HIDDEN = "typing_extensions"
"""msgspec prefers it to `typing`, which has the same from Python 3.11 on. It loads `inspect`, which is 1.2 MB."""


def load_msgspec() -> None:
    """Import msgspec without what is put off. Only in a process of the command line: msgspec cannot encode a UUID or a
    Decimal afterwards, which a program that uses procman as a library may want to.
    """
    if "msgspec" in sys.modules:
        return
    if sys.version_info < (3, 12) and "datetime" not in sys.modules:
        sys.modules["datetime"] = __import__("_datetime")  # the same classes, as from 3.12 on, without those in Python
    put_off = [_put_off(name, known) for name, known in PUT_OFF.items() if name not in sys.modules]
    hidden = HIDDEN not in sys.modules
    if hidden:
        sys.modules[HIDDEN] = None  # type: ignore[assignment]  # None is how its import is made to fail
    try:
        import msgspec  # noqa: PLC0415, F401  a verb needs it, help and version do not
    finally:
        if hidden:
            del sys.modules[HIDDEN]
        for module in put_off:
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]


def _put_off(name: str, known: dict[str, object]) -> ModuleType:
    """Let imports of a module find a stand-in, which loads the real module when it is asked for an unknown attribute."""
    module = sys.modules[name] = ModuleType(name)

    def load(attribute: str) -> object:
        if attribute == "__path__":  # which `from … import` asks for first: it is not a package
            raise AttributeError(attribute)
        if sys.modules.get(name) is module:
            del sys.modules[name]
        __import__(name)
        return getattr(sys.modules[name], attribute)

    vars(module).update(known, __getattr__=load)
    return module


def loaded() -> None:
    """Turn the garbage collector on again, except for what is loaded by now: saves `procman scale` 10 of its 64 ms."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()

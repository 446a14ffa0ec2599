"""Types whose count follows demand: which those are, and `procman scale worker=2..6`, which sets their bounds."""

from __future__ import annotations

import re

from procman.companions.autoscaler.store import AutoscaleStore
from procman.control.client import Client
from procman.core.demand import Bounds
from procman.core.requests import MAX_COUNT
from procman.errors import ConfigError, Fault, RefusedError, nearest

_BOUNDS = re.compile(r"(?P<type>[^=]+)=(?P<min>[0-9]{1,4})\.\.(?P<max>[0-9]{1,4})")


def set_bounds(socket: str, words: list[str]) -> list[str]:
    """Set the bounds, all or none; returns a line for each. Raises ConfigError, RefusedError."""
    wanted = [_read(word) for word in words]
    store = AutoscaleStore.beside(socket)
    known = autoscaled_types(socket, store)
    for name, _ in wanted:
        if name not in known:
            text = f"cannot set bounds of {name}: its count does not follow demand"
            raise RefusedError(text, nearest(name, known) if known else "`autoscale:` in procman.yml lets it")
    for name, bounds in wanted:
        store.control(name, bounds=bounds)
    return [f"{name} between {bounds.min} and {bounds.max}" for name, bounds in wanted]


def autoscaled_types(socket: str, store: AutoscaleStore) -> list[str]:
    """Their names, also before the autoscaler has decided anything. An older procman reports only those that were decided."""
    with Client(socket) as client:
        types = client.ps().fleet.types
    return list(dict.fromkeys([*(one.type for one in types if one.autoscaled), *store.status().types]))


def _read(word: str) -> tuple[str, Bounds]:
    match = _BOUNDS.fullmatch(word)
    if match is None:
        raise ConfigError([Fault("", 0, f"cannot use '{word}' as bounds", "write TYPE=MIN..MAX, such as worker=2..6")])
    low, high = int(match["min"]), int(match["max"])
    if low > high or high > MAX_COUNT:
        why = f"{low} is more than {high}" if low > high else f"at most {MAX_COUNT} instances of a type"
        raise ConfigError([Fault("", 0, f"cannot use '{word}' as bounds: {why}", "write TYPE=MIN..MAX")])
    return match["type"], Bounds(min=low, max=high, origin=f"procman scale {word}")

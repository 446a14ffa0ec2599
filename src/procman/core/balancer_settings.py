"""The keys of `balancer:` under a process type of procman.yml, and faults of values that have the right type.

One definition serves the file, its schema and the companion that gets the value. Pure.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import UNSET, Struct, UnsetType

from procman.core.autoscale_settings import Duration, Word
from procman.core.spec import LAST_PORT
from procman.text.quantities import about


class HaproxyBalancer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backend of HAProxy 2.6 or newer: by its runtime API, or by answers to its agent checks."""

    backend: Annotated[Word | UnsetType, about("Name of the backend; default: that of the type")] = UNSET
    socket: Annotated[Word | UnsetType, about("HAProxy's `stats socket` with `level admin`, relative to the root")] = (
        UNSET
    )
    slots: Annotated[
        Word | UnsetType, about("Prefix of the backend's `server-template`; default: the name of the type")
    ] = UNSET
    file: Annotated[
        Word | UnsetType,
        about(
            "With slots: HAProxy's `server-state-file`. Without: a file with the backend, with which HAProxy is started besides its own configuration"
        ),
    ] = UNSET
    options: Annotated[str, about("Without slots: the options after the address of a server")] = "check"
    section: Annotated[tuple[Word, ...], about("Without slots: the lines of the backend before its servers")] = ()
    agent: Annotated[Word | UnsetType, about("HOST:PORT on which agent checks are answered")] = UNSET


class Balancer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The load balancer that is kept in step with the ready instances: HAProxy, or any other by a file."""

    haproxy: Annotated[HaproxyBalancer | UnsetType, about("A backend of HAProxy")] = UNSET
    file: Annotated[Word | UnsetType, about("The file that is written, relative to the root")] = UNSET
    template: Annotated[Word | UnsetType, about("The Jinja template that the file is made from")] = UNSET
    reload: Annotated[Word | UnsetType, about("The command that makes the balancer read the file")] = UNSET
    gather: Annotated[Duration, about("Seconds for which changes are collected before they are passed on")] = 0.1
    drain: Annotated[Duration, about("Most seconds that a leaving instance may take to finish its requests")] = 10.0


def short(text: str) -> Balancer:
    """`run/haproxy.sock`: HAProxy's socket; the backend has the type's name."""
    if not text or ":" in text:
        raise ValueError("expected the path of HAProxy's socket, or a mapping")
    return Balancer(haproxy=HaproxyBalancer(socket=text))


def settings_of(value: str | Balancer) -> Balancer:
    """The section in procman.yml as one value. Raises ValueError for a text that is not of the short form."""
    return short(value) if isinstance(value, str) else value


def faults_of(settings: Balancer) -> list[tuple[str, str]]:
    """What does not go together: where, below `balancer`, and what is wrong, as a message continues after the path."""
    faults = []
    by_file = [name for name in ("file", "template", "reload") if getattr(settings, name) is not UNSET]
    if (settings.haproxy is UNSET) == (not by_file):
        faults.append(("", "expected either haproxy, or file, template and reload"))
    elif (by_file and len(by_file) < 2) or ("reload" in by_file and "file" not in by_file):
        faults.append(("", "expected file and template, and reload where a command is needed"))
    if isinstance(settings.haproxy, HaproxyBalancer):
        faults += _haproxy_faults(settings.haproxy)
    return faults


def _haproxy_faults(haproxy: HaproxyBalancer) -> list[tuple[str, str]]:
    faults = []
    if (haproxy.socket is UNSET) == (haproxy.agent is UNSET):
        faults.append(("haproxy", "expected either socket or agent"))
    if haproxy.agent is not UNSET and host_and_port(haproxy.agent) is None:
        faults.append(("haproxy.agent", "expected HOST:PORT"))
    for key in ("backend", "slots"):
        name = getattr(haproxy, key)
        if name is not UNSET and not re.fullmatch(r"[A-Za-z0-9_.:-]+", name):
            faults.append((f"haproxy.{key}", "expected letters, digits and any of _ . : -"))
    if any(character in haproxy.options for character in "\n;\r"):
        faults.append(("haproxy.options", "expected one line"))
    return faults


def host_and_port(text: str) -> tuple[str, int] | None:
    """`127.0.0.1:9000` or `[::1]:9000`."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})", text)
    if match is None or not 0 < int(match[2]) <= LAST_PORT:
        return None
    return match[1].strip("[]"), int(match[2])

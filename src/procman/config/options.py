"""What the command line says about the inputs; the verbs fill it in and load.py reads it. Knows no file."""

from __future__ import annotations

from msgspec import Struct

YEAR = 365 * 86400
"""Longest time that can be set. JSON has no infinity, and poll(2) counts milliseconds in about 31 bits."""


class Options(Struct, frozen=True, kw_only=True):
    """The options of `start`, a field each; None or empty if it was not given. Paths are as given, times in seconds."""

    procfile: str | None = None
    """`-f`; "-" is standard input."""
    root: str | None = None
    config: str | None = None
    env_files: tuple[str, ...] = ()
    """`-e`; each may be several, separated by commas."""
    env_overrides: bool = False
    types: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    """`--except`"""
    formation: tuple[str, ...] = ()
    release: bool = False
    port: int | None = None
    port_step: int | None = None
    no_port: bool = False
    shell: str | None = None
    timeout: float | None = None
    """The grace of every type. Like every option it wins over procman.yml."""
    max_restarts: int | None = None
    no_restart: bool = False
    exit_on: tuple[str, ...] = ()
    tty: bool | None = None
    """Whether instances have terminals of their own."""
    split_streams: bool = False
    """Each instance has two pipes, and so no terminal."""
    terminal: bool = False
    """Whether procman writes to a terminal: then each instance has one, unless something else says otherwise."""
    init: bool = False
    """Whether procman is PID 1: then the default grace is that of a container."""

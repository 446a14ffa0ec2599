"""Mistakes on the command line."""

from __future__ import annotations

from procman.errors import ProcmanError


class UsageError(ProcmanError):
    """The command line is wrong."""

    exit_code = 2

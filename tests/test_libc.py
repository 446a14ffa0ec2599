"""Functions of the C library, with and without the undocumented half of ctypes."""

from __future__ import annotations

import _ctypes

import pytest

from procman import libc

PR_GET_TIMERSLACK = 30
"""An option of prctl(2) that changes nothing, and whose value other tests of the same process do not change, either."""


@pytest.mark.parametrize("missing", [None, "call_function"], ids=["_ctypes", "ctypes"])
def test_a_function_is_called(missing: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing:
        monkeypatch.delattr(_ctypes, missing)
    assert libc.call("prctl", PR_GET_TIMERSLACK, 0, 0, 0, 0) > 0
    assert libc.call("strlen", b"four") == 4


def test_a_function_that_is_missing_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="no_such_function"):
        libc.call("no_such_function")

"""What the system lacks is not reported as a fault of procman."""

from __future__ import annotations

import errno
import os

import pytest

from procman.errors import NO_MEMORY, fault_of_system


def error_of(number: int, name: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), name)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
@pytest.mark.parametrize("name", [None, "/usr/lib/module.py"])
def test_a_lack_of_descriptors_says_how_many_there_may_be(number: int, name: str | None) -> None:
    assert "no descriptor is left; `ulimit -n`" in fault_of_system(error_of(number, name))


@pytest.mark.parametrize("error", [MemoryError(), error_of(errno.ENOMEM), error_of(errno.ENOMEM, "/dev/null")])
def test_a_lack_of_memory_names_the_limits(error: BaseException) -> None:
    assert fault_of_system(error) == NO_MEMORY


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS])
def test_a_refused_call_names_the_filter(number: int) -> None:
    assert "a seccomp filter" in fault_of_system(error_of(number))
    assert fault_of_system(error_of(number, "Procfile")) == ""


@pytest.mark.parametrize("error", [error_of(errno.EIO), ValueError("x"), KeyError("y"), RecursionError()])
def test_nothing_is_said_of_other_errors(error: BaseException) -> None:
    assert fault_of_system(error) == ""

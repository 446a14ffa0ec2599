"""One key press is one request, however often its signal comes."""

import pytest

from procman.core.interrupts import AS_TERM, TERMINAL, Sender, heard


def presses(*told):
    """How many presses these are: each a sender and a time. From 70 on they are programs in front of procman, from 90 on
    helpers of those.
    """
    press, count = None, 0
    for pid, at in told:
        sender = None if pid is None else Sender(pid, above=70 <= pid < 90, helper=pid >= 90)
        press, is_new = heard(press, sender, at)
        count += is_new
    return count


@pytest.mark.parametrize(
    ("count", "told"),
    [
        pytest.param(1, [(TERMINAL, 0.0)], id="a key"),
        pytest.param(1, [(TERMINAL, 0.0), (70, 0.001)], id="a key and one who passes it on"),
        pytest.param(1, [(70, 0.0), (TERMINAL, 0.001)], id="the other way round"),
        pytest.param(1, [(TERMINAL, 0.0), (70, 0.001), (70, 0.02)], id="a key and one who passes it on twice"),
        pytest.param(2, [(TERMINAL, 0.0), (70, 0.1), (70, 1.5)], id="a key, and one who insists later"),
        pytest.param(2, [(70, 0.0), (70, 0.02)], id="a program in front that sends two without a key"),
        pytest.param(1, [(TERMINAL, 0.0), (70, 0.001), (71, 0.4)], id="two in a row who pass it on, on a slow machine"),
        pytest.param(1, [(50, 0.0), (70, 0.002)], id="kill of a whole group, and one who passes it on"),
        pytest.param(2, [(TERMINAL, 0.0), (TERMINAL, 0.1)], id="a person in a hurry"),
        pytest.param(2, [(TERMINAL, 0.0), (70, 0.001), (TERMINAL, 0.2), (70, 0.201)], id="two keys, each passed on"),
        pytest.param(2, [(50, 0.0), (50, 0.0001)], id="a program that sends two"),
        pytest.param(2, [(50, 0.0), (51, 0.1)], id="two programs that have nothing to do with procman"),
        pytest.param(2, [(TERMINAL, 0.0), (50, 0.1)], id="a key, and a program that insists"),
        pytest.param(2, [(TERMINAL, 0.0), (70, 5.0)], id="another, much later"),
        pytest.param(1, [(None, 0.0), (None, 0.1)], id="nobody tells who, and it is soon"),
        pytest.param(1, [(None, 0.0), (70, 0.3), (71, 0.6)], id="nobody tells who, and two who pass it on"),
        pytest.param(1, [(AS_TERM, 0.0), (TERMINAL, 0.001)], id="a TERM that stands for the key, and the key"),
        pytest.param(1, [(AS_TERM, 0.0), (TERMINAL, 0.001), (70, 0.1)], id="the same, and one who passes the key on"),
        pytest.param(2, [(AS_TERM, 0.0), (TERMINAL, 0.001), (TERMINAL, 0.2)], id="the same, and another key"),
        pytest.param(2, [(AS_TERM, 0.0), (TERMINAL, 0.5)], id="a TERM, and a key that has nothing to do with it"),
        pytest.param(2, [(AS_TERM, 0.0), (70, 0.1)], id="a TERM, and a program that insists"),
        pytest.param(1, [(TERMINAL, 0.0), (90, 0.1)], id="a key, and a helper that passes it on"),
        pytest.param(1, [(TERMINAL, 0.0), (70, 0.1), (90, 0.5)], id="the same, behind one who passes it on"),
        pytest.param(2, [(TERMINAL, 0.0), (90, 1.5)], id="a key, and a helper much later"),
        pytest.param(2, [(90, 0.0), (91, 0.1)], id="two helpers without a key"),
        pytest.param(2, [(TERMINAL, 0.0), (90, 0.1), (TERMINAL, 0.2), (91, 0.3)], id="two keys, each by a helper too"),
        pytest.param(2, [(None, 0.0), (None, 0.5)], id="nobody tells who, and it is late"),
    ],
)
def test_presses_are_counted_and_not_deliveries(count, told):
    assert presses(*told) == count

"""Profiles of the property tests: `PROCMAN_HYPOTHESIS=long` looks ten times as far as `ci`; and Ctrl-C for what tests start.

This folder is on the import path of every test below it, as `simulation` shows.
"""

from __future__ import annotations

import os
import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a job that a script has put into the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else whatever is started here would ignore it too

try:
    from hypothesis import HealthCheck, settings
except ModuleNotFoundError:  # the built wheel is tested end to end without it
    pass
else:
    settings.register_profile(
        "ci",
        derandomize=True,  # a red run is red again, with the same modules loaded: their constants are among the examples
        print_blob=True,  # and this repeats its example whatever is loaded
        database=None,
        deadline=None,  # a shared machine stalls
        max_examples=400,
        stateful_step_count=60,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    settings.register_profile("long", settings.get_profile("ci"), derandomize=False, max_examples=5000)
    settings.load_profile(os.environ.get("PROCMAN_HYPOTHESIS", "ci"))

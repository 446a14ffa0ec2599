"""procman as it is installed, but for one signal more: it then tells how many deadlines wait in its reactor, and how many
objects the collector tracks. Neither is seen from outside, and neither is worth a verb.

python observed.py FIFO start …
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import Any

ASK = signal.SIGRTMIN + 3
"""Which would end procman like any signal that it has no use for."""


def run(fifo: str) -> None:
    from procman.cli import main
    from procman.core.trace import Trace
    from procman.kernel import signals

    Trace.__init__.__defaults__ = (20,)  # full after a moment, and not only at the end of a short run

    install = signals.install

    def installed(reactor: Any, kernel: Any) -> None:
        install(reactor, kernel)
        signal.signal(ASK, lambda *_: tell(fifo, len(reactor._timers)))

    signals.install = installed
    main()


def tell(fifo: str, timers: int) -> None:
    gc.collect()
    fd = os.open(fifo, os.O_WRONLY)
    os.write(fd, b"%d %d\n" % (timers, len(gc.get_objects())))
    os.close(fd)


if __name__ == "__main__":
    run(sys.argv.pop(1))

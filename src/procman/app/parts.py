"""What a running procman is made of, as values: what its inputs are read with, and all of its parts for an upgrade."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from procman.app.options import OutputOptions
from procman.config.options import Options

if TYPE_CHECKING:
    from procman.control.claim import Claim
    from procman.kernel.kernel import Kernel
    from procman.kernel.loop.reactor import Reactor
    from procman.kernel.output.logfiles import LogFiles
    from procman.serve.lazyserver import LazyServer


class ReloadInputs(Struct, frozen=True, kw_only=True):
    """What a reload reads again with: all as it was at the start.

    `kept` is what can be read once only. `start_dir` is the folder that procman was started in, by name and, as it may be
    renamed, as the descriptor `here`; `root` is the descriptor of the one it works in. `inherited` are the descriptors
    that whoever started procman meant it to hold; `companions` the options that ask for one,
    None where no companion can run, as there is no control socket.
    """

    options: Options
    environ: dict[str, str]
    kept: dict[str, bytes]
    start_dir: str
    here: int
    root: int
    inherited: tuple[int, ...] = ()
    companions: tuple[str, ...] | None = ()


class RunningParts(Struct, frozen=True):
    """All that a running procman is made of, for the program that takes its place."""

    output: OutputOptions
    inputs: ReloadInputs
    claimed: Claim | None
    files: LogFiles | None
    reactor: Reactor
    kernel: Kernel
    server: LazyServer | None

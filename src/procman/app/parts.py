"""The parts of a running procman as values: what its inputs are read with, and everything that an upgrade needs."""

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


class ReloadInputs(Struct, frozen=True, kw_only=True, rename={"start_fd": "here"}):
    """What a reload reads the inputs with: everything as it was at the start.

    `kept` holds inputs that can be read only once. `start_dir` is the folder that procman was started in, by name and,
    as it may be renamed, as the descriptor `start_fd`; `root` is the descriptor of the folder that it works in. `inherited`
    are descriptors that procman's parent wants it to hold. `companions` are the options that ask for one; None where no
    companion can run, as there is no control socket.
    """

    options: Options
    environ: dict[str, str]
    kept: dict[str, bytes]
    start_dir: str
    start_fd: int
    root: int
    inherited: tuple[int, ...] = ()
    companions: tuple[str, ...] | None = ()


class RunningParts(Struct, frozen=True):
    """All parts of a running procman, for an upgrade."""

    output: OutputOptions
    inputs: ReloadInputs
    claimed: Claim | None
    files: LogFiles | None
    reactor: Reactor
    kernel: Kernel
    server: LazyServer | None

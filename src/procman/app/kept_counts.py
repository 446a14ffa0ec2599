"""`keep_counts: true`: stores counts that are set at run time in a file, for the next procman.

The file is replaced by rename, so that a kill at any moment leaves the last one. Its content never prevents a start:
what cannot be read or used is reported and ignored.

There is no fsync: procman's loop would wait for the disk (measured: 1 to 14 ms, 180 ms while another process writes).
The kernel is only asked to begin writing, which takes no time. A power cut can leave an empty file only if it comes in
the milliseconds that this takes, not in the 30 s of the page cache; on ext4 and btrfs a rename never leaves one.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from procman.config.formation import RequestedCounts, count_asked, parse_formation
from procman.control.places import logical, state_files
from procman.core.autoscale_settings import Autoscale, settings_of
from procman.core.spec import refuse_count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from procman.app.parts import ReloadInputs
    from procman.config.options import Options
    from procman.control.claim import Claim
    from procman.core.spec import Plan


class KeptCounts(Struct, frozen=True):
    """The content of the file: its formation, for people, and the counts by type."""

    root: str
    counts: dict[str, int]


class CountsFile:
    """The file of one formation: the first of `paths` that can be written, and the first that exists."""

    def __init__(self, paths: Sequence[str], root: str, log: Callable[[str], None]) -> None:
        self._paths = paths
        self._root = root
        self._log = log
        self._failed = False

    def read(self) -> dict[str, int]:
        """The stored counts; none, after a line in the log, where the file cannot be read."""
        for path in self._paths:
            try:
                with open(path, "rb") as file:
                    return msgspec.json.decode(file.read(), type=KeptCounts).counts
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                why = error.strerror or str(error)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                why = str(error)
            self._log(f"cannot read the counts that were kept in {path}: {why} (`procman start --forget` removes it)")
            return {}
        return {}

    def write(self, counts: Mapping[str, int]) -> None:
        """Store these counts. A line is logged when that fails, and when it works again."""
        content = msgspec.json.encode(KeptCounts(self._root, dict(counts)), order="deterministic")
        why = ""
        for path in self._paths:
            try:
                _write_whole(path, content)
            except OSError as error:
                why = why or f"{path}: {error.strerror or error}"
            else:
                why = ""
                break
        if why and not self._failed:
            self._log(f"cannot keep the counts in {why}")
        elif self._failed and not why:
            self._log("the counts are kept again")
        self._failed = bool(why)

    def forget(self) -> None:
        """Remove the file. A failure is logged."""
        for path in self._paths:
            try:
                os.unlink(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self._log(f"cannot forget the counts that were kept in {path}: {error.strerror or error}")


def _write_whole(path: str, content: bytes) -> None:
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    handle, new = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=folder)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            if hasattr(os, "posix_fadvise"):  # not on macOS
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)  # begins to write without waiting for the end
        os.replace(new, path)
    except OSError:
        os.unlink(new)
        raise


def counts_file(claimed: Claim, inputs: ReloadInputs, root: str, log: Callable[[str], None]) -> CountsFile:
    """The file of this procman's formation, by the path that people use for the folder: `current`, whichever release it
    leads to.
    """
    named = logical(root, inputs.environ)
    return CountsFile(state_files(inputs.environ, named, claimed.label, claimed.place.socket), named, log)


def with_kept(plan: Plan, counts: Mapping[str, int], options: Options, log: Callable[[str], None]) -> Plan:
    """The plan with the stored counts, where the command line says nothing else and bounds and `max` allow them."""
    formation, _ = parse_formation(options.formation)
    asked = RequestedCounts(
        types=options.types, leave_out=options.leave_out, formation=formation, release=options.release
    )
    kept = {}
    for name, count in counts.items():
        if name not in plan.types or count_asked(name, asked) is not None:
            continue
        count = _within_bounds(plan, name, count)  # noqa: PLW2901  the count within the bounds
        refused = refuse_count(plan, name, count)
        if refused:
            log(f"{refused[0]}, as was kept")
        else:
            kept[name] = count
    return replace(plan, counts=plan.counts | kept, kept=tuple(sorted(kept)))


def _within_bounds(plan: Plan, name: str, count: int) -> int:
    most = plan.types[name].max
    count = count if most is None else min(count, most)
    section = plan.autoscaled.get(name)
    if section is None:
        return count
    bounds = settings_of(msgspec.convert(section, str | Autoscale))
    return max(bounds.min, min(count, bounds.max))

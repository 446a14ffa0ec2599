#!/usr/bin/env python3
"""Measures procman, the floor in C, and the peers that are found, interleaved round by round.

    python tests/bench/run.py                              every row; medians of five
    python tests/bench/run.py --only start-1,idle          these rows
    python tests/bench/run.py --peers-in /tmp/peers/bin    peers that are not in PATH
    python tests/bench/run.py --peers none --runs 9
    python tests/bench/run.py --json new.json              and --tables new.json: as Markdown
    python tests/bench/run.py --compare old.json new.json  two runs
    python tests/bench/run.py --compare ../other/bin/procman --only output-1
                                                           two versions, measured by turns

Linux; needs nothing but the standard library, and a C compiler for the floor. A figure is worth something only where
nothing else runs: the load is in the JSON. It exits with 1 where something that is wanted was not reached.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import rows_control
import rows_idle
import rows_output
import rows_start
from programs import PEERS, find_peers
from stage import Stage, prepare
from tally import Experiment, Result, claims, compared, machine, markdown, table, verdicts
from trial import TrialError

ROWS = {row.name: row for module in (rows_start, rows_output, rows_idle, rows_control) for row in module.ROWS}


def measure(experiment: Experiment, stage: Stage, runs: int) -> Result:
    """Every entrant once in each round, another one first each time. Who fails is out, and says why."""
    entrants = experiment.entrants(stage)
    peers = {peer.name for peer in stage.peers}
    result = Result(experiment, {}, {name: note for name, note in stage.notes.items() if name not in entrants})
    for round_ in range(-experiment.warm_up, runs):
        names = list(entrants)
        shift = round_ % len(names)
        for name in names[shift:] + names[:shift]:
            if name in result.notes or (name in peers and round_ >= (experiment.peer_runs or runs)):
                continue
            show(f"{experiment.name}: round {round_ + 1} of {runs}, {name}")
            try:
                numbers = entrants[name]()
            except (TrialError, OSError) as error:
                result.notes[name] = str(error)
                continue
            if round_ < 0:
                continue
            samples = result.samples.setdefault(name, {})
            for figure, value in numbers.items():
                samples.setdefault(figure, []).append(value)
    show("")
    return result._replace(samples={name: result.samples[name] for name in entrants if name in result.samples})


def show(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def everything(stage: Stage, chosen: list[str], runs: int) -> dict[str, Any]:
    """The JSON value; each row is printed as soon as it is known."""
    value: dict[str, Any] = {
        "machine": machine(),
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "runs": runs,
        "programs": {program.name: program.executable for program in stage.everyone()},
        "experiments": {},
    }
    print(" ".join(f"{name}: {told}" for name, told in value["machine"].items()), flush=True)
    for name in chosen:
        load = os.getloadavg()[0]
        result = measure(ROWS[name], stage, runs)
        told = claims(result)
        value["experiments"][name] = {
            "load": load,
            "about": ROWS[name].about,
            "units": {figure.name: figure.unit for figure in ROWS[name].figures},
            "samples": result.samples,
            "notes": result.notes,
            "claims": told,
        }
        print(f"\n{name}: {ROWS[name].about} (load {load:.1f})\n{table(result)}\n{verdicts(told)}", flush=True)
    return value


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="ROW,...", default=",".join(ROWS), help=f"of: {', '.join(ROWS)}")
    parser.add_argument("--runs", type=int, default=5, metavar="N")
    parser.add_argument(
        "--peers", metavar="NAME,...", default="all", help=f"none, all, or of: {', '.join(p.name for p in PEERS)}"
    )
    parser.add_argument("--peers-in", metavar="FOLDER", action="append", default=[], help="also look for them here")
    parser.add_argument("--no-floor", action="store_true", help="without the floor in C")
    parser.add_argument("--idle", type=float, default=20.0, metavar="SECONDS", help="how long the row 'idle' looks")
    parser.add_argument("--procman", metavar="PATH", help="default: beside this interpreter, else in PATH")
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured")
    parser.add_argument("--tables", metavar="FILE", help="measure nothing; the JSON of a run as Markdown")
    parser.add_argument("--compare", nargs="+", metavar="FILE", help="two JSON files, or another procman")
    given = parser.parse_args()
    given.only = given.only.split(",")
    unknown = [name for name in given.only if name not in ROWS]
    if unknown:
        parser.error(f"cannot find the row '{unknown[0]}'; there are {', '.join(ROWS)}")
    return given


def main() -> int:
    given = arguments()
    if given.tables:
        print(markdown(json.loads(Path(given.tables).read_text())))
        return 0
    if given.compare and len(given.compare) == 2:
        old, new = (json.loads(Path(path).read_text()) for path in given.compare)
        print(compared(old, new))
        return 0
    beside = Path(sys.executable).with_name("procman")
    executable = given.procman or (str(beside) if beside.exists() else shutil.which("procman"))
    if executable is None:
        print("cannot find procman: install it, or name it with --procman", file=sys.stderr)
        return 2
    names = None if given.peers == "all" else given.peers.split(",")
    peers = () if given.compare else tuple(find_peers(names, given.peers_in))
    with tempfile.TemporaryDirectory(prefix="procman-bench-") as folder:
        executables = [os.path.abspath(path) for path in (executable, *(given.compare or []))]
        stage = prepare(Path(folder), executables, peers, not given.no_floor, given.idle)
        value = everything(stage, given.only, given.runs)
    if given.compare:
        print(f"\nold: {executables[1]}\nnew: {executables[0]}\n{compared(value, value, 'other', 'procman')}")
    if given.json:
        Path(given.json).write_text(json.dumps(value, indent=1) + "\n")
    told = [claim for experiment in value["experiments"].values() for claim in experiment["claims"]]
    return int(any(claim["reached"] is False for claim in told))


if __name__ == "__main__":
    sys.exit(main())

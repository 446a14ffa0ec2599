"""`procman autoscale`: which types follow demand, what was read and decided, and why; `pause` and `resume`."""

from __future__ import annotations

import os
import time

import click

from procman.cli.bounds import autoscaled_types
from procman.cli.line.completion import complete_types
from procman.cli.show import autoscale as show
from procman.cli.target import TargetOptions, client_options
from procman.companions.autoscaler.store import AutoscaleStatus, AutoscaleStore
from procman.core.autoscale import replay
from procman.errors import RefusedError, nearest
from procman.text.lines import clean, json_object

ACTIONS = ("pause", "resume")

APART = 1.0
"""Seconds between the two readings of --dry-run, as CPU is a difference."""


@click.command(short_help="Show, pause or resume automatic scaling.")
@click.argument("words", metavar="[pause|resume] [TYPE]...", nargs=-1, shell_complete=complete_types)
@click.option("--json", is_flag=True, show_envvar=True, help="Print one JSON object.")
@click.option("--dry-run", is_flag=True, help="Read procman.yml and the metrics now, decide, and change nothing.")
@click.option("--replay", is_flag=True, help="Repeat the recorded decisions from their inputs, and compare.")
@client_options
def autoscale(target: TargetOptions, words: tuple[str, ...], **flags: bool) -> int:
    """Show the types whose count follows demand: the reading of each metric, the count it asks for, and the decision.

    With a TYPE it also draws the last hour. `pause` keeps the counts of the types that are named, or of all, as they
    are; metrics are still read and shown. `resume` lets them follow demand again. A pause lasts until procman ends.

    --dry-run reads procman.yml and every metric again, and shows what it would do, without doing it. That takes two
    seconds.

    procman records every decision that changed a count, or had another reason than the previous one, with its inputs.
    --replay repeats the recorded decisions and shows each. It ends with 1 if one comes out differently: then another
    version of procman made it.

    \b
    Examples:
      procman autoscale
      procman autoscale worker
      procman autoscale pause worker
      procman autoscale --dry-run
    """  # noqa: D301  click knows lines that are not to be wrapped by this character
    path = target.find()
    store = AutoscaleStore.beside(path)
    action, names = (words[0], words[1:]) if words[:1] and words[0] in ACTIONS else ("", words)
    if flags["replay"] and not action:
        return _replay(store, names)
    known = autoscaled_types(path, store)
    for name in names:
        _refuse_unknown(name, known)
    if action:
        if not known:
            raise RefusedError(f"cannot {action}: no type has `autoscale:` in procman.yml")
        for name in names or known:
            store.control(name, paused=action == "pause")
            click.echo(f"{name}: {'paused' if action == 'pause' else 'follows demand again'}")
    else:
        status = _decided_now(target, path) if flags["dry_run"] else store.status()
        _show(status, known, names, json=flags["json"])
    return 0


def _show(status: AutoscaleStatus, known: list[str], names: tuple[str, ...], *, json: bool) -> None:
    """All types, or those that were named with their last hour as a chart."""
    chosen = {name: of_type for name, of_type in status.types.items() if not names or name in names}
    if json:
        click.echo(json_object(AutoscaleStatus(types=chosen)).decode())
        return
    now = time.time()
    lines = show.table(chosen, now, [name for name in names or known if name not in chosen])
    for name in [name for name in names if name in chosen]:
        lines += ["", *show.chart(name, chosen[name].history, now)]
    for line in lines:
        click.echo(clean(line))


def _replay(store: AutoscaleStore, names: tuple[str, ...]) -> int:
    """Repeat the decisions, the oldest first; returns 1 if one comes out differently."""
    code = 0
    for at, decided in store.decisions():
        if names and decided.type not in names:
            continue
        again = replay(decided)
        same = again == decided.decision
        code = code if same else 1
        clock = time.strftime("%H:%M:%S", time.localtime(at))
        click.echo(clean(f"{clock}  {show.in_words(decided.type, decided.decision)}"))
        if not same:
            click.echo(clean(f"          now: {show.in_words(decided.type, again)}"))
    return code


def _refuse_unknown(name: str, known: list[str]) -> None:
    if name not in known:
        hint = (
            nearest(name, known)
            if known
            else "write `autoscale:` under the type in procman.yml (docs/how-to/autoscaling.md)"
        )
        raise RefusedError(f"cannot find an autoscaled process type '{name}'", hint)


def _decided_now(target: TargetOptions, path: str) -> AutoscaleStatus:
    from procman.companions.autoscaler.dry_run import decide_once  # noqa: PLC0415  reads metrics; only needed here
    from procman.config.load import load  # noqa: PLC0415  as above
    from procman.config.options import Options  # noqa: PLC0415  as above

    with target.connect() as client:
        root = client.hello().root
    plan = load(Options(root=root), dict(os.environ))
    os.chdir(root)
    return decide_once(plan, path, APART)

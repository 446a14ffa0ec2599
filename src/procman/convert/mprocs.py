"""Makes process types of an mprocs.yaml or .json (github.com/pvolok/mprocs)."""

from __future__ import annotations

from shlex import join, quote

from procman.convert.result import Builder, Converted, Draft
from procman.convert.tree import Item, Section, fail, read_yaml

_REASONS = {
    "add_path": "set PATH in .env: PATH=/that/folder:${PATH}",
    "depends_on": "mprocs itself does not know it; procman does: depends_on",
    "log": "start with `procman start --log-dir DIR`",
}
_SILENT = frozenset({"mouse_scroll_speed", "scrollback", "tty"})


def convert(text: str, file: str) -> Converted:
    """Raises ConfigError."""
    whole = Section(file, _selected(read_yaml(text, file)), "")
    procs = whole.section("procs")
    if procs is None:
        fail(file, whole.line, "cannot find 'procs' in the file", "is it an mprocs file?")
    builder = Builder()
    for name in procs.names():
        item = procs.take(name)
        if item is not None:
            _proc(builder.draft(name, procs.line_of(name)), procs, name, item)
    return builder.build()


def _selected(item: Item) -> Item:
    """The value, with each `{$select: os, linux: …, $else: …}` replaced by what it chooses on Linux."""
    if isinstance(item.value, list):
        return Item([_selected(one) for one in item.value], item.line)
    if not isinstance(item.value, dict):
        return item
    asked = item.value.get("$select")
    if asked is not None and asked.value == "os":
        chosen = item.value.get("linux") or item.value.get("$else")
        return Item(None, item.line) if chosen is None else Item(_selected(chosen).value, item.line)
    return Item({key: _selected(one) for key, one in item.value.items()}, item.line)


def _proc(draft: Draft, procs: Section, name: str, item: Item) -> None:
    if isinstance(item.value, list):
        draft.command = join(procs.texts(name) or [])
        return
    if not isinstance(item.value, dict):
        draft.command = procs.as_text(item, name)
        return
    proc = Section(procs.file, item, f"procs.{name}")
    draft.command = proc.text("shell") or join(proc.texts("cmd") or [])
    folder = proc.text("cwd").replace("<CONFIG_DIR>", ".")
    if folder not in ("", ".", "./"):
        draft.put("cwd", folder)
    _environment(draft, proc)
    if "autostart" in proc and not proc.flag("autostart"):
        draft.count = 0
    if proc.flag("autorestart"):
        draft.put("restart.policy", "always")
    _stop(draft, proc)
    order = proc.take("depends_on")
    if order is not None and isinstance(order.value, list):
        draft.depends = dict.fromkeys(proc.texts("depends_on") or [], "ready")
    for key, number in proc.rest():
        if key not in _SILENT:
            draft.leave(number, key, _REASONS.get(key, ""))


def _environment(draft: Draft, proc: Section) -> None:
    item = proc.take("env")
    if item is not None and isinstance(item.value, dict):
        removed = [name for name, one in item.value.items() if one.value is None and name.isidentifier()]
        if removed:
            draft.command = f"env {' '.join('-u ' + quote(name) for name in removed)} {draft.command}"
    draft.put_env(proc.line_of("env"), proc.variables("env"))


def _stop(draft: Draft, proc: Section) -> None:
    item = proc.take("stop")
    if item is None:
        return
    word = item.value if isinstance(item.value, str) else ""
    if word.startswith("SIG"):
        draft.put_signal(item.line, word)
    elif word == "hard-kill":
        draft.put_signal(item.line, "KILL")
    else:
        draft.leave(item.line, "stop: keys that are typed", "procman stops by signals")

"""Write the generated parts of the documentation; with --check, say which are stale and which links lead nowhere.

A page is written by hand except for its blocks, each between `<!-- generated: NAME -->` and `<!-- end: NAME -->`; what
stands between them is made from the program itself by the function that `BLOCKS` names. `FILES` are made as a whole.
"""
# ruff: noqa: INP001  a script

from __future__ import annotations

import sys
from pathlib import Path

from generator import commands, diagram, links, listings, messages, pages, programs, settings

DOCS = Path(__file__).resolve().parent

BLOCKS = {
    "verbs": commands.verbs,
    "completion": commands.completion,
    "settings": settings.keys,
    "methods": messages.methods,
    "notifications": messages.notifications,
    "values": messages.values,
    "errors": messages.errors,
    "state-diagram": diagram.render,
    "known-programs": programs.known,
}
FILES = {
    "reference/protocol.schema.json": messages.schema,
    "reference/ps.schema.json": listings.ps_schema,
    "../src/procman/config/procman.schema.json": settings.schema_text,
    "../src/procman/known/programs.json": programs.compiled,
}


def wanted() -> dict[Path, str]:
    """Every page and file that has something generated in it, with the content that it should have."""
    contents = {DOCS / name: make() for name, make in FILES.items()}
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        filled = pages.fill(text, BLOCKS)
        if filled is not None:
            contents[path] = filled
    return contents


def stale() -> list[str]:
    """What --check says of generated content: a line for each page or file that is not as it should be."""
    return [
        f"{path.relative_to(DOCS.parent)}: is stale; run `python docs/generate.py`"
        for path, text in wanted().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main(args: list[str]) -> int:
    if args not in ([], ["--check"]):
        print("usage: python docs/generate.py [--check]", file=sys.stderr)
        return 2
    if not args:
        for path, text in wanted().items():
            path.write_text(text, encoding="utf-8")
    complaints = stale() + links.broken(DOCS.parent)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

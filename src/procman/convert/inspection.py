"""All rules over a folder, in order. Pure."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from procman.convert import compose, find_node, find_others, find_python
from procman.convert.folder import Finds, Folder
from procman.convert.result import Converted
from procman.errors import ConfigError

RULES: tuple[Callable[[Finds], None], ...] = (
    find_others.ruby,
    find_python.find,
    find_others.php,
    find_others.elixir,
    find_others.jvm,
    find_others.go,
    find_others.rust,
    find_others.deno,
)
_COMPOSE = ("docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml")
_CONVERTIBLE = (
    *_COMPOSE, "process-compose.yaml", "process-compose.yml", "supervisord.conf", "ecosystem.config.js", "ecosystem.config.cjs",
    "mprocs.yaml", "pitchfork.toml",
)  # fmt: skip
"""What `procman init --from` reads, where the folder itself does not say what it runs."""


class Inspected(Struct, frozen=True):
    """What to write, what was found (`Django (manage.py)`), and what else a person should know."""

    converted: Converted
    found: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


def inspect(folder: Folder) -> Inspected:
    """Never fails: files that cannot be read are ignored."""
    finds = Finds(folder)
    _rule(finds)
    _inside(finds, folder)
    finds.enter(folder, "")
    _containers(finds)
    made = finds.builder.build()
    source = next((path for path in _CONVERTIBLE if folder.has(path)), "")
    if not made.types and source:
        finds.hint(f"found {source}: `procman init --from {source}` converts it")
    if folder.has(".env.example") and not folder.has(".env"):
        finds.hint(".env.example exists, but no .env: copy it and fill it in")
    return Inspected(made, tuple(finds.said), tuple(finds.hints))


def _rule(finds: Finds) -> None:
    """Add what the searched folder runs."""
    before = len(finds.said)
    for rule in RULES:
        rule(finds)
    if not any(said.startswith("Rails") for said in finds.said[before:]):  # Rails has its own use for package.json
        find_node.find(finds)


def _inside(finds: Finds, folder: Folder) -> None:
    """Search the folders inside: all of them if the folder itself runs nothing, else only a front end."""
    whole = bool(finds.said)
    for place in folder.places():
        part = folder.below(place)
        if whole and (folder.has("package.json") or not part.has("package.json")):
            continue
        finds.enter(part, place)
        if whole:
            find_node.find(finds)
        else:
            _rule(finds)


def _containers(finds: Finds) -> None:
    """The services of a Compose file that would stay containers: databases and the like."""
    for path in _COMPOSE:
        if not finds.folder.has(path):
            continue
        try:
            made = compose.convert(finds.folder.text(path), path)
        except ConfigError:
            return
        own = {left.what.partition(":")[0] for left in made.left if left.what.endswith("in its Dockerfile")}
        for one in made.types:
            if one.command.startswith("docker compose") and one.name not in own:
                finds.hint(f"{path} has {one.name}; as a type: `{one.name}: {one.command}`")
        return

"""Node.js applications and monorepos, by package.json. Pure."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from os.path import basename, dirname
from typing import Any

from procman.convert.folder import Finds, Folder
from procman.known.scripts import scripts_of

_SERVERS = frozenset({
    "express", "fastify", "koa", "@hapi/hapi", "hapi", "@nestjs/core", "hono", "@hono/node-server", "restify", "polka", "next",
    "nuxt", "@remix-run/node", "@remix-run/serve", "apollo-server", "@apollo/server", "socket.io", "ws", "strapi", "@strapi/strapi", "@sveltejs/kit",
    "astro", "vite", "react-scripts",
})  # fmt: skip
_BUILT = frozenset({"next", "nuxt", "vite", "astro", "@remix-run/serve", "@sveltejs/kit", "react-scripts"})
"""Frameworks whose `start` needs a build before it: `dev` works in a fresh folder."""
_OUTPUT = re.compile(r"\b(dist|build|out|\.output|\.next)/")
_TAKES_PORT_OPTION = re.compile(
    r"^(vite(?! build)|astro dev|ng serve|vue-cli-service serve|svelte-kit dev|remix vite:dev|webpack serve|webpack-dev-server)\b"
)
_FIXED_PORT = re.compile(r"(?:--port|-p|\bPORT)[ =](\d{1,5})\b")
_NODE = re.compile(r"node [\w./-]+")
_WORKER = re.compile(r"(?:start:)?(worker|workers|queue|jobs|scheduler|cron)")
_WATCHES = re.compile(
    r"\b(?:tailwindcss|@tailwindcss/cli|esbuild|sass|postcss|rollup|webpack|parcel|tsc|tsup|swc|babel|vite build)\b.* (?:--watch|-w|watch)\b"
)
_NO_BUILD = re.compile(r"test|spec|e2e|lint|types?|check|storybook", re.IGNORECASE)
"""Names of scripts that watch for a person, and build nothing that the application needs."""
_MAINS = ("server.js", "index.js", "app.js", "src/server.js", "src/index.js")
_ORCHESTRATED = re.compile(
    r"\b(turbo|nx|lerna|concurrently|npm-run-all2?|run-p|wsrun|moon|rush|foreman|overmind|yarn workspaces?|pnpm -r|pnpm run -r)\b|"
    r" (--workspaces?|--filter|--parallel|--recursive|-ws?)\b"
)
"""Programs that run the scripts of other packages."""


def find(finds: Finds) -> None:
    folder = finds.folder
    packages = workspaces(finds)
    if not folder.has("package.json"):
        return
    root = scripts_of(folder.json("package.json"))
    orchestrated = any(_ORCHESTRATED.search(root.get(name, "")) for name in ("dev", "start"))
    if not packages or not (orchestrated or "web" in finds):
        _package(finds, "package.json", _tool(folder))


def workspaces(finds: Finds) -> list[str]:
    """The types of each package of a monorepo except its root; returns the packages."""
    packages = _workspaces(finds.folder)
    if packages:
        finds.say(
            f"a monorepo of {len(packages)} package{'s' * (len(packages) > 1)} that run{'s' * (len(packages) == 1)} (package.json)"
        )
    for path in packages:
        _package(finds, path, _tool(finds.folder))
    return packages


def _tool(folder: Folder) -> str:
    given = str(folder.json("package.json").get("packageManager", ""))
    if given.startswith("pnpm") or folder.has("pnpm-lock.yaml", "pnpm-workspace.yaml"):
        return "pnpm"
    if given.startswith("yarn") or folder.has("yarn.lock"):
        return "yarn"
    return "bun" if folder.has("bun.lockb", "bun.lock") else "npm"


def _workspaces(folder: Folder) -> list[str]:
    """The package.json of each package of a monorepo that has a `dev` or `start` of its own."""
    given = folder.json("package.json").get("workspaces")
    given = given.get("packages") if isinstance(given, dict) else given
    patterns = [str(pattern).removeprefix("./").rstrip("/") for pattern in given] if isinstance(given, list) else []
    patterns += re.findall(
        r"^\s*-\s*['\"]?(?:\./)?([^'\"!\s#]+?)/?['\"]?\s*(?:#.*)?$", folder.text("pnpm-workspace.yaml"), re.MULTILINE
    )
    found = [
        path
        for path in folder.named("package.json")
        if "/" in path and any(fnmatchcase(dirname(path), pattern) for pattern in patterns)
    ]
    return [path for path in found if {"dev", "start"} & scripts_of(folder.json(path)).keys()]


def _needed(package: dict[str, Any]) -> set[str]:
    tables = [package.get(key) for key in ("dependencies", "devDependencies")]
    return {name for table in tables if isinstance(table, dict) for name in table}


def _package(finds: Finds, path: str, tool: str) -> None:
    """The types of one package: its server, and its workers."""
    package = finds.folder.json(path)
    scripts, needed = scripts_of(package), _needed(package)
    place = dirname(path)
    built = bool(needed & _BUILT) or bool(_OUTPUT.search(scripts.get("start", "")))
    chosen = next((name for name in (("dev", "start") if built else ("start", "dev")) if name in scripts), "")
    command, port = _command(finds.folder, scripts, chosen, tool, place)
    if command:
        finds.say(f"Node.js ({path}: {chosen or package.get('main') or 'a main file'})")
        draft = finds.add(_name(finds, package, place), command)
        if needed & _SERVERS or "PORT" in command:
            draft.put("ready", port)
        if place:
            finds.put_folder(draft, place)
    _watchers(finds, scripts, chosen, place)
    workers: dict[str, str] = {}
    for script in sorted(scripts, key=len):  # `worker` before `start:worker`, which is usually the same
        match = _WORKER.fullmatch(script)
        if match:
            workers.setdefault(match[1], script)
    for worker, script in workers.items():
        name = f"{basename(place)}-{worker}" if place else worker
        draft = finds.add(name, _script(scripts, script, tool), otherwise=f"node-{worker}")
        if place:
            finds.put_folder(draft, place)


def _watchers(finds: Finds, scripts: dict[str, str], chosen: str, place: str) -> None:
    """The types of scripts that build again at each change (`css: tailwindcss --watch`), unless the server's script runs them."""
    runs = scripts.get(chosen, "")
    for script, text in scripts.items():
        called = "*" in runs or re.search(rf"(?<![\w-]){re.escape(script)}(?![\w-])", runs) is not None
        if script == chosen or called or _NO_BUILD.search(script) or not _WATCHES.search(text):
            continue
        bare = re.sub(r"(?:^|[^A-Za-z0-9]+)(?:watch|dev|build|start)(?=[^A-Za-z0-9]|$)", "", script)
        name = re.sub(r"[^A-Za-z0-9]+", "-", bare).strip("-") or "watch"
        name = f"{basename(place)}-{name}" if place else name
        if name not in finds:
            draft = finds.add(name, _run(_tool(finds.folder), script), script=text)
            if place:
                finds.put_folder(draft, place)


def _script(scripts: dict[str, str], name: str, tool: str) -> str:
    """The script itself where it is Node.js and a file: npm and a shell need 60 MB more. Otherwise through the tool."""
    text = scripts[name].strip()
    return text if _NODE.fullmatch(text) else _run(tool, name)


def _name(finds: Finds, package: dict[str, Any], place: str) -> str:
    if not place:
        return "frontend" if "web" in finds else "web"
    return basename(place) or str(package.get("name", "app"))


def _run(tool: str, script: str) -> str:
    if script == "start" and tool in ("npm", "yarn", "pnpm"):
        return f"{tool} start"
    return f"{tool} {script}" if tool == "yarn" else f"{tool} run {script}"


def _command(
    folder: Folder, scripts: dict[str, str], chosen: str, tool: str, place: str
) -> tuple[str, str | dict[str, int]]:
    """The command line, and the value of `ready` for a server: `tcp` for PORT, or a port that the script fixes."""
    if not chosen:
        main = next((main for main in _MAINS if folder.has(main)), "") if not place else ""
        return (f"node {main}" if main else ""), "tcp"
    text = scripts[chosen].strip()
    command = _script(scripts, chosen, tool)
    fixed = _FIXED_PORT.search(text)
    if fixed:
        return command, {"tcp": int(fixed[1])}
    if _TAKES_PORT_OPTION.match(text):
        command += f"{' --' if tool == 'npm' else ''} --port $PORT"
    return command, "tcp"

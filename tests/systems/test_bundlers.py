"""Programs that watch files for a web front end: some end with their standard input, which `stdin: open` keeps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from harness import eventually
from system import SLOW, Example, get, needs

NPM = Path(os.environ.get("PROCMAN_TEST_NPM", "/nonexistent")) / "node_modules"
"""Where `npm install esbuild vite tailwindcss @tailwindcss/cli` has put them."""

pytestmark = [
    needs("node"),
    pytest.mark.skipif(not NPM.is_dir(), reason="not installed: esbuild, vite, tailwindcss (see PROCMAN_TEST_NPM)"),
]


@pytest.fixture
def site(world) -> Example:
    """A folder with something to bundle."""
    made = Example(world)
    world.file("package.json", "{}")
    world.file("app.js", "console.log('first')\n")
    world.file("app.css", "@import 'tailwindcss';\n")
    world.file("index.html", "<p class='underline'>first</p>\n")
    (world.folder / "node_modules").symlink_to(NPM)
    return made


ESBUILD = "node_modules/.bin/esbuild app.js --watch --outfile=out/built"
TAILWIND = "node_modules/.bin/tailwindcss -i app.css -o out/built --watch"


@pytest.mark.parametrize(
    ("command", "file", "text"),
    [
        pytest.param(ESBUILD, "app.js", "console.log('second')\n", id="esbuild"),
        pytest.param(TAILWIND, "app.css", "@import 'tailwindcss';\n.second { color: red }\n", id="tailwind"),
    ],
)
def test_with_an_open_input_a_watcher_builds_again_on_each_change(site, command, file, text):
    site.one(command, stdin="open")
    supervisor = site.start()
    built = site.world.folder / "out" / "built"
    eventually(built.exists, "it is built", SLOW)

    def rebuilt() -> bool:
        (site.world.folder / file).write_text(text)  # again: a watcher has to have seen the file before
        return "second" in built.read_text()

    eventually(rebuilt, "it is built again", SLOW)
    assert supervisor.ps()["web.1"]["restarts"] == 0
    assert supervisor.stop(SLOW) == 0
    assert "killed" not in supervisor.seen


@pytest.mark.parametrize("command", [ESBUILD, TAILWIND], ids=["esbuild", "tailwind"])
def test_without_an_input_it_ends_and_check_advises_to_open_one(site, command):
    site.world.procfile(web=command)
    assert "stdin: open" in site.run("check").out
    supervisor = site.start()
    supervisor.expect(r"web\.1 is done", SLOW)
    supervisor.wait(SLOW)


def test_vite_serves_without_an_input_and_stops_on_term(site):
    site.one("node_modules/.bin/vite --port $PORT --strictPort --host 127.0.0.1", ready="tcp")
    supervisor = site.start()
    port = eventually(lambda: site.port_of("web.1"), "a port", SLOW)
    eventually(lambda: get(port)[0] == 200, "it serves", SLOW)
    assert "first" in get(port)[1]
    assert supervisor.stop(SLOW) == 0
    assert "killed" not in supervisor.seen

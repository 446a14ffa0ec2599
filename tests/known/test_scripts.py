"""A script of a package.json stands for the call of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from procman.known.scripts import behind

PACKAGES = {
    ("", ""): {
        "css": "tailwindcss -i a -o b --watch",
        "dev": "vite",
        "start": "npm run dev",
        "again": "npm run again",
        "own": "node server.js",
        "build": "esbuild a.js",
    },
    ("client", ""): {"start": "react-scripts start", "dev": "next dev"},
    ("", "@shop/site"): {"css": "tailwindcss -i in -o out -w"},
}


def scripts(folder: str, workspace: str) -> Mapping[str, str]:
    return PACKAGES.get((folder, workspace), {})


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("npm run css", "tailwindcss -i a -o b --watch"),
        ("yarn css", "tailwindcss -i a -o b --watch"),
        ("yarn run css", "tailwindcss -i a -o b --watch"),
        ("exec pnpm css", "tailwindcss -i a -o b --watch"),
        ("bun run css", "tailwindcss -i a -o b --watch"),
        ("npm start", "vite"),
        ("npm run dev -- --port $PORT", "vite --port '$PORT'"),
        ("npm run --silent dev", "vite"),
        ("yarn build --watch", "esbuild a.js --watch"),
        ("npm --prefix client run dev", "next dev"),
        ("npm run dev --prefix=client", "next dev"),
        ("yarn --cwd client dev", "next dev"),
        ("cd client && npm run dev", "next dev"),
        ("npm run css -w @shop/site", "tailwindcss -i in -o out -w"),
        ("yarn workspace @shop/site css", "tailwindcss -i in -o out -w"),
        ("pnpm --filter @shop/site css", "tailwindcss -i in -o out -w"),
        ("A=1 npm run dev", "A=1 vite"),
    ],
)
def test_a_call_of_a_known_program_is_replaced_by_its_script(command, shown):
    assert behind(command, scripts) == shown


@pytest.mark.parametrize(
    "command",
    [
        "npm run own",  # nothing is to be said of node
        "npm run absent",
        "npm exec vite",
        "npm css",  # npm runs no script by its name alone
        "npm run again",
        "npm run",
        "npm run 'css",
        "npm run css | cat",
        "node server.js",
    ],
)
def test_any_other_command_stays_as_it_is(command):
    assert behind(command, scripts) == command

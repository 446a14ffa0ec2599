"""Every command of an example's README is typed, and what is printed there is what comes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import doc_steps
import pytest
from doc_compare import FIRST_PORT, Comparison
from doc_walk import Reader
from system import EXAMPLES, Example, free_ports, needs

FIXED = 8000
"""What an example whose ports are fixed counts from."""

READMES = [
    pytest.param("node", marks=needs("node", "npm", "curl")),
    pytest.param("celery", marks=needs("redis-server", "redis-cli", modules=("celery", "redis"))),
    pytest.param("autoscaling", marks=needs("redis-server", "redis-cli", modules=("celery", "redis"))),
    pytest.param("rq", marks=needs("redis-server", "redis-cli", modules=("rq",))),
    pytest.param("erlang", marks=needs("erl", "erlc", "epmd", "curl")),
    pytest.param("elixir", marks=needs("elixir", "mix", "epmd", "curl")),
    pytest.param(
        "akka", marks=[needs("java", "mvn", "curl"), pytest.mark.xdist_group("akka-cluster"), pytest.mark.timeout(400)]
    ),
    pytest.param("haproxy", marks=needs("haproxy", "curl")),
    pytest.param("balancer", marks=needs("haproxy", "node", "curl")),
    pytest.param("container", marks=needs("python3", "curl")),
]


def test_every_example_has_a_readme_that_is_run():
    named = [getattr(readme, "values", (readme,))[0] for readme in READMES]
    assert sorted(named) == sorted(path.parent.name for path in EXAMPLES.glob("*/README.md"))
    assert sorted(named) == sorted(path.parent.name for path in EXAMPLES.glob("*/Procfile"))
    listed = re.findall(r"\]\((\w+)/README\.md\)", (EXAMPLES / "README.md").read_text())
    assert sorted(named) == sorted(listed)


@pytest.mark.parametrize("name", READMES)
def test_a_readme_shows_what_comes(example, name, request):
    made: Example = example(name)
    folder: Path = made.world.folder
    if name == "akka":  # what Maven builds of it is built once for all tests
        (folder / "target").symlink_to(request.getfixturevalue("jar").parent)
    fixed = FIXED if re.search(r"port: 80\d\d", (folder / "procman.yml").read_text()) else FIRST_PORT
    for path in [folder / "procman.yml", *folder.glob("*.cfg")]:
        path.write_text(re.sub(r"\b80\d\d\b", lambda port: str(made.port + int(port[0]) - FIXED), path.read_text()))
    env = made.world.env | {"PORT": str(made.port), "ERL_EPMD_PORT": str(free_ports(20) + 15)}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    page = EXAMPLES / name / "README.md"
    like = Comparison(made.port, str(folder), doc_steps.varying(page), first=fixed)
    reader = Reader(made.world, like, env)
    try:
        for step in doc_steps.steps(page):
            reader.take(step)
    finally:
        reader.close()

"""What a Dockerfile's image runs, and what becomes of it in a Compose file's service."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.convert.compose import convert, dockerfiles
from procman.convert.dockerfile import image_start
from procman.convert.result import Converted, ProcessType


@pytest.mark.parametrize(
    ("text", "given", "command", "left"),
    [
        ('CMD ["npm", "start"]', "", "npm start", ""),
        ("CMD gunicorn app:app --bind :$PORT", "", "gunicorn app:app --bind :$PORT", ""),
        ('CMD ["echo", "$PORT; x"]', "", "echo '$PORT; x'", ""),
        ('ENTRYPOINT ["python", "-m"]\nCMD ["app"]', "", "python -m app", ""),
        ('ENTRYPOINT ["python", "-m"]\nCMD ["app"]', "worker --all", "python -m worker --all", ""),
        ("ENTRYPOINT exec top -b\nCMD x", "", "exec top -b", ""),
        ('CMD ["old"]\nENTRYPOINT ["new"]', "", "new", ""),
        ('ENTRYPOINT ["/usr/bin/tini", "-g", "--"]\nCMD ["node", "a.js"]', "", "node a.js", ""),
        ('ENTRYPOINT ["docker-entrypoint.sh"]\nCMD ["node", "a.js"]', "", "node a.js", "docker-entrypoint.sh"),
        ('ENTRYPOINT ["/entrypoint.sh"]\nCMD web', "", "web", "/entrypoint.sh"),
        ('WORKDIR /rails\nENTRYPOINT ["/rails/bin/docker-entrypoint"]\nCMD ["./bin/rails", "server"]', "",
         "bin/docker-entrypoint ./bin/rails server", ""),
        ('WORKDIR /app\nCMD ["/app/start.sh", "/app/conf/x.ini"]', "", "./start.sh conf/x.ini", ""),
        ("WORKDIR /app\nCMD cd /app/sub && python /app/a.py", "", "cd sub && python a.py", ""),
        ('CMD ["/opt/venv/bin/gunicorn", "app:app"]', "", "gunicorn app:app", ""),
        ('FROM node AS base\nCMD ["base"]\nFROM base\nRUN x', "", "base", ""),
        ('FROM a AS build\nCMD ["build"]\nFROM b', "", "", ""),
        ("CMD [broken", "", "[broken", ""),
        ("cmd python \\\n  # why\n  -u \\\n\n  app.py", "", "python -u app.py", ""),
        ("RUN <<EOF\nCMD no\nEOF\nCMD yes", "", "yes", ""),
    ],
)  # fmt: skip
def test_the_command_is_that_of_the_last_stage(text, given, command, left):
    assert image_start(text).line(given) == (command, left)


def test_a_stage_can_be_named():
    text = 'FROM a AS dev\nCMD ["dev"]\nFROM a AS prod\nCMD ["prod"]\n'
    assert image_start(text, "dev").line("") == ("dev", "")
    assert image_start(text, "PROD").line("") == ("prod", "")


COMPOSE = """services:
  web:
    build: ./backend
    environment: {DEBUG: "1", RAILS_ENV: development}
  worker:
    build: {context: backend, dockerfile: docker/Dockerfile.prod, target: app}
    command: bundle exec sidekiq -q $QUEUE
  docs:
    build: ./docs
  remote:
    build: https://example.org/x.git
"""
DOCKERFILE = """FROM ruby
ENV RAILS_ENV=production BUNDLE_PATH=/usr/local/bundle
ENV PORT 3000
WORKDIR /rails
ENTRYPOINT ["/rails/bin/docker-entrypoint"]
EXPOSE $PORT
STOPSIGNAL SIGINT
CMD ["./bin/rails", "server"]
"""


def test_a_service_that_is_built_runs_what_its_dockerfile_says():
    assert dockerfiles(COMPOSE, "c.yml") == [
        "backend/Dockerfile", "backend/docker/Dockerfile.prod", "docs/Dockerfile"
    ]  # fmt: skip
    prod = f"{DOCKERFILE}\n".replace("FROM ruby", "FROM ruby AS app") + "FROM scratch\n"
    made = convert(COMPOSE, "c.yml", {"backend/Dockerfile": DOCKERFILE, "backend/docker/Dockerfile.prod": prod})
    web, worker, docs, remote = made.types
    assert web.command == "bin/docker-entrypoint ./bin/rails server"
    assert web.settings == {
        "env": {"RAILS_ENV": "development", "DEBUG": "1"},
        "port": 3000,
        "ready": "tcp",
        "stop": {"signal": "INT"},
        "cwd": "backend",
    }
    assert worker.command == "bin/docker-entrypoint bundle exec sidekiq -q $QUEUE"
    assert worker.settings == {"env": {"RAILS_ENV": "production"}, "stop": {"signal": "INT"}, "cwd": "backend"}
    assert (kind(docs), kind(remote)) == ("container", "container")
    assert (3, "web: BUNDLE_PATH of its Dockerfile") in named(made)
    assert (8, "docs: its command is in its Dockerfile") in named(made)


def test_an_address_of_another_service_is_named():
    text = "services:\n  web:\n    command: x\n    environment: [DB=postgres://u:p@db:5432/app, HOST=db, A=dbs]\n  db: {image: postgres}\n"
    assert named(convert(text, "c.yml")) == [(4, "web: the host 'db' in DB"), (4, "web: the host 'db' in HOST")]


def kind(made: ProcessType) -> str:
    return "container" if made.command.startswith("docker compose") else "process"


def named(made: Converted) -> list[tuple[int, str]]:
    return [(left.line, left.what) for left in made.left]


@given(
    st.text(alphabet='CMDENTRYPOIF ROM[]",\\\n$#<E=/a', max_size=80) | st.text(max_size=60), st.sampled_from(["", "a"])
)
def test_any_text_is_read_without_an_error(text, target):
    line, _ = image_start(text, target).line("")
    assert isinstance(line, str)

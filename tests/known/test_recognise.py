"""Which program a command runs, through everything that may stand in front of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.known.programs import programs
from procman.known.recognise import recognise


def name(command: str) -> str | None:
    known = recognise(command)
    return known.program.name if known else None


def test_an_empty_word_hides_no_program():
    assert name("redis-server --save '' --port 1") == name("redis-server --port 1") is not None


@pytest.mark.parametrize(
    "front",
    [
        "",
        "exec ",
        "env A=1 ",
        "A=1 B='x y' ",
        "bundle exec ",
        "npx ",
        "npx -y ",
        "pnpm exec ",
        "pnpm ",
        "yarn ",
        "yarn run ",
        "npm exec -- ",
        "poetry run ",
        "pipenv run ",
        "uv run ",
        "uv run --with x ",
        "hatch run ",
        "sudo -u www ",
        "nice -n 5 ",
        "nice ",
        "nohup ",
        "timeout -k 5 60 ",
        "python -m ",
        "python3.12 -u -m ",
        "exec env A=1 poetry run python -m ",
        "/usr/local/bin/",
        "./node_modules/.bin/",
        "dumb-init -- ",
        "mise exec -- ",
        "cd app && ",
        "cd app && exec ",
        "sleep 1; ",
        "sh -c 'exec ",
        "bash -lc 'cd x && ",
        "watchmedo auto-restart -d . -- ",
        "dotenv -f .env.local ",
        "foreman run -e .env ",
        "honcho run ",
        "cross-env A=1 ",
        "dotenvx run -f .env -- ",
        "bin/start-pgbouncer bundle exec ",
        "./bin/run ",
        "bin/app --dev ",
        "scripts/wait.sh db:5432 -- ",
        "./wait-for-it.sh db:5432 -t 60 -- ",
        "dockerize -wait tcp://db:5432 -timeout 60s ",
        "python manage.py ",
        "if true; then A=1 ",
        "unset PORT && ",
        "env -u PORT ",
        "npm run setup && npm run build && ",
        "docker compose up -d && ",
    ],
)
def test_a_program_is_seen_behind_what_starts_it(front):
    closing = "'" if front.count("'") == 1 else ""
    assert name(f"{front}celery -A app beat{closing}") == "Celery beat"


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("nginx -g 'daemon off;'", "nginx"),
        ("/usr/sbin/apache2ctl -D FOREGROUND", "Apache httpd"),
        ("celery -A app worker -c 2", "Celery worker"),
        ("celery multi start w1", "Celery, in the background"),
        ("celery -A app flower", "Celery flower"),
        ("python manage.py runserver", "Django's development server"),
        ("./manage.py runserver 8000", "Django's development server"),
        ("flask --app x run", "Flask's development server"),
        ("bin/rails s -p 3000", "Rails server"),
        ("ruby bin/rails server", "Rails server"),
        ("bin/rails tailwindcss:watch", "Tailwind CSS"),
        ("node server.js", "Node.js"),
        ("node", "Node.js, interactive"),
        ("python", "Python, interactive"),
        ("python3 -i", "Python, interactive"),
        ("erl", "Erlang and Elixir in a shell"),
        ("erl -noshell -s app", "Erlang"),
        ("erl -detached", "Erlang, in the background"),
        ("iex -S mix phx.server", "Erlang and Elixir in a shell"),
        ("mix phx.server", "Elixir, Mix"),
        ("bin/shop daemon", "Release of Mix, in the background"),
        ("_build/prod/rel/shop/bin/shop daemon_iex", "Release of Mix, in the background"),
        ("exec /opt/shop/bin/shop daemon", "Release of Mix, in the background"),
        ("java -Xmx1g -jar app.jar", "Java, Maven, Gradle"),
        ("./mvnw exec:java", "Java, Maven, Gradle"),
        ("docker compose -f x.yml up -d", "Docker Compose, in the background"),
        ("docker compose up redis", "Docker Compose"),
        ("php artisan queue:work", "Laravel's queue"),
        ("yarn build --watch", "npm, Yarn, pnpm: a script that watches"),
        ("npm run build:css -- --watch", "npm, Yarn, pnpm: a script that watches"),
        ("npm start", "npm, Yarn, pnpm scripts"),
        ("postgres -D data", "PostgreSQL"),
        ("npx @tailwindcss/cli -i a -o b --watch", "Tailwind CSS"),
        ("concurrently 'npm:dev:*'", "concurrently, npm-run-all"),
        ("php artisan serve", "Laravel's development server"),
        ("bundle exec good_job start", "GoodJob"),
        ("rake jobs:work", "Delayed Job"),
        ("daphne shop.asgi:application", "Daphne"),
        ('if [ "$A" ]; then bundle exec puma; else node ./streaming; fi', "Puma"),
        ("node app.js | grep -v debug", "Node.js"),
        ("bin/jobs", "Solid Queue"),
        ("bundle exec thrust bin/rails server", "Thruster"),
    ],
)
def test_each_program_is_told_from_its_neighbours(command, program):
    assert name(command) == program


@pytest.mark.parametrize(
    "command",
    [
        "./web",
        "python app.py",
        "echo nginx",
        "python -c 'import celery'",
        "vite build",
        "",
        "'",
        "cat nginx.conf",
        "ruby x.rb",
    ],
)
def test_nothing_is_made_of_what_is_not_known(command):
    assert name(command) is None


@pytest.mark.parametrize(
    ("command", "leads"),
    [
        ("nginx", False),
        ("exec nginx", False),
        ("A=1 nginx -p $PWD", False),
        ("nginx > log 2>&1", False),
        ("cd x && exec nginx", False),
        ("cd x && nginx", True),
        ("nginx | tee log", True),
        ("exec nginx | tee log", True),
        ("nginx; true", True),
    ],
)
def test_a_shell_that_leads_is_said(command, leads):
    known = recognise(command)
    assert known is not None
    assert known.shell_leads is leads


def test_variables_in_front_are_kept():
    known = recognise("env A=1 PORT=3000 bundle exec puma")
    assert known is not None
    assert known.env == {"A": "1", "PORT": "3000"}
    assert known.words == ("puma",)


@given(st.text(alphabet="abc $'\"\\&|;()<>=-./\n#~`", max_size=60) | st.text(max_size=40))
def test_any_text_is_read_without_an_error(command):
    recognise(command)


def test_the_table_is_read_whole_and_names_are_unique():
    names = [program.name for program in programs()]
    assert len(names) > 50
    assert len(names) == len(set(names))


@pytest.mark.parametrize("program", programs(), ids=lambda program: program.name)
def test_each_rule_says_what_to_do_in_one_way(program):
    for rule in program.rules:
        assert bool(rule.key) == (rule.value is not None), rule
        assert bool(rule.key) != bool(rule.say), rule
        assert rule.why
        assert "{word}" not in rule.say or rule.when, rule
        assert set(rule.key.split(".")) <= {
            "",
            "stop",
            "signal",
            "grace",
            "mode",
            "max",
            "stdin",
            "tty",
            "ready",
            "restart",
            "policy",
        }

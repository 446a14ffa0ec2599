"""What is found in folders as people have them."""

from __future__ import annotations

import json

import pytest

from procman.convert.folder import Folder
from procman.convert.inspection import Inspected, inspect


def looked(texts: dict[str, object], *others: str) -> Inspected:
    """A folder with these texts (an object is written as JSON) and further files."""
    written = {path: text if isinstance(text, str) else json.dumps(text) for path, text in texts.items()}
    return inspect(Folder(frozenset([*written, *others]), written))


def commands(found: Inspected) -> dict[str, str]:
    return {made.name: made.command for made in found.converted.types}


def settings(found: Inspected, name: str) -> dict[str, object]:
    return next(made.settings for made in found.converted.types if made.name == name)


def test_rails_with_its_bundlers_is_what_bin_dev_runs():
    gems = 'gem "rails", "~> 7.1"\ngem "puma"\n  gem "sidekiq"\ngem "jsbundling-rails"\ngem "cssbundling-rails"\n'
    scripts = {"scripts": {"build": "esbuild app/javascript/*.*", "build:css": "tailwindcss -o b.css"}}
    found = looked({"Gemfile": gems, "package.json": scripts}, "bin/rails", "bin/dev", "config/puma.rb", "yarn.lock")
    assert commands(found) == {
        "web": "bundle exec puma -C config/puma.rb",
        "worker": "bundle exec sidekiq",
        "js": "yarn build --watch",
        "css": "yarn build:css --watch",
        "release": "bundle exec rails db:migrate",
    }
    assert settings(found, "web") == {"ready": "tcp"}
    assert settings(found, "js") == {"stdin": "open"}
    assert settings(found, "worker") == {"stop": {"grace": 30}}


def test_rails_with_tailwind_and_solid_queue():
    found = looked({"Gemfile": 'gem "rails"\ngem "tailwindcss-rails"\ngem "solid_queue"\n'}, "bin/rails")
    assert commands(found) == {
        "web": "bin/rails server -p $PORT -b 0.0.0.0",
        "worker": "bin/jobs",
        "css": "bin/rails tailwindcss:watch",
        "release": "bundle exec rails db:migrate",
    }
    assert settings(found, "css") == {"stdin": "open"}


def test_rack_without_rails():
    found = looked({"Gemfile": 'gem "sinatra"\ngem "puma"\n'}, "config.ru")
    assert commands(found) == {"web": "bundle exec puma -b tcp://0.0.0.0:$PORT"}


DJANGO = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")'


def test_django_with_celery_beat_and_flower():
    needed = "Django==5.2\ngunicorn\ncelery[redis]>=5\ndjango-celery-beat\nflower\n# comment\n-r other.txt\n"
    compose = "services:\n  redis: {image: 'redis:7', ports: ['6379:6379']}\n  web: {build: .}\n"
    found = looked(
        {
            "manage.py": DJANGO,
            "requirements.txt": needed,
            "shop/celery.py": 'app = Celery("shop")\n',
            "shop/wsgi.py": "",
            "docker-compose.yml": compose,
        },
        ".env.example",
    )
    assert commands(found) == {
        "web": "gunicorn shop.wsgi --bind 0.0.0.0:$PORT",
        "release": "python manage.py migrate",
        "worker": 'celery -A shop worker -n "$PS@%h" --loglevel info',
        "beat": "celery -A shop beat --loglevel info",
        "flower": "celery -A shop flower --port=$PORT",
    }
    assert settings(found, "beat") == {"max": 1}
    assert settings(found, "web") == {"ready": "tcp", "stop": {"grace": 30}}
    assert len(found.hints) == 2
    assert "docker-compose.yml has redis" in found.hints[0]
    assert ".env.example" in found.hints[1]


def test_django_alone_in_a_uv_project_runs_its_own_server():
    project = '[project]\nname = "x"\ndependencies = ["django>=5"]\n[dependency-groups]\ndev = ["ruff"]\n'
    found = looked({"manage.py": DJANGO, "pyproject.toml": project, "shop/wsgi.py": ""}, "uv.lock")
    assert commands(found) == {
        "web": "uv run python manage.py runserver 0.0.0.0:$PORT",
        "release": "uv run python manage.py migrate",
    }


def test_fastapi_with_rq_in_a_poetry_project():
    project = '[tool.poetry.dependencies]\npython = "^3.11"\nfastapi = "*"\nuvicorn = "*"\nrq = "*"\n'
    found = looked({"pyproject.toml": project, "app/main.py": "app: FastAPI = FastAPI()\n"}, "poetry.lock")
    assert commands(found) == {
        "web": "poetry run uvicorn app.main:app --host 0.0.0.0 --port $PORT",
        "worker": "poetry run rq worker",
    }


@pytest.mark.parametrize(
    ("needed", "source", "command"),
    [
        ("flask", "app = Flask(__name__)\n", "flask --app app run --host 0.0.0.0 --port $PORT"),
        ("flask\ngunicorn", "api = Flask(__name__)\n", "gunicorn app:api --bind 0.0.0.0:$PORT"),
        ("Flask\ngunicorn", "def create_app():\n", "gunicorn 'app:create_app()' --bind 0.0.0.0:$PORT"),
    ],
)
def test_flask_is_run_by_what_is_there(needed, source, command):
    assert commands(looked({"requirements.txt": needed, "app.py": source})) == {"web": command}


def test_a_monorepo_gives_a_type_to_each_package_that_runs():
    found = looked(
        {
            "package.json": {
                "private": True,
                "workspaces": ["apps/*", "packages/*"],
                "scripts": {"dev": "turbo run dev"},
            },
            "apps/web/package.json": {
                "scripts": {"dev": "next dev", "start": "next start"},
                "dependencies": {"next": "15"},
            },
            "apps/api/package.json": {
                "scripts": {"start": "node dist/main.js", "dev": "tsx watch src", "worker": "node dist/worker.js"},
                "dependencies": {"fastify": "5"},
            },
            "packages/ui/package.json": {"scripts": {"build": "tsc"}},
            "examples/x/package.json": {"scripts": {"start": "node x.js"}},
        },
        "pnpm-lock.yaml",
    )
    assert commands(found) == {"api": "pnpm run dev", "api-worker": "node dist/worker.js", "web": "pnpm run dev"}
    assert settings(found, "api") == {"ready": "tcp", "cwd": "apps/api"}
    assert settings(found, "api-worker") == {"cwd": "apps/api"}


def test_pnpm_names_its_packages_in_a_file_of_its_own():
    found = looked(
        {
            "package.json": {"scripts": {"dev": "pnpm -r dev"}},
            "pnpm-workspace.yaml": "packages:\n  - \"services/*\"  # all\n  - '!services/old'\n",
            "services/a/package.json": {"scripts": {"start": "node index.js"}, "dependencies": {"express": "4"}},
        }
    )
    assert commands(found) == {"a": "node index.js"}


@pytest.mark.parametrize(
    ("package", "others", "command"),
    [
        ({"scripts": {"start": "node server.js"}, "dependencies": {"express": "4"}}, (), "node server.js"),
        ({"scripts": {"start": "NODE_ENV=x node server.js"}, "dependencies": {"express": "4"}}, (), "npm start"),
        ({"scripts": {"dev": "vite"}, "devDependencies": {"vite": "5"}}, (), "npm run dev -- --port $PORT"),
        ({"scripts": {"dev": "vite"}, "devDependencies": {"vite": "5"}}, ("yarn.lock",), "yarn dev --port $PORT"),
        (
            {"scripts": {"dev": "next dev", "start": "next start"}, "dependencies": {"next": "15"}},
            ("bun.lockb",),
            "bun run dev",
        ),
        ({"dependencies": {"express": "4"}}, ("server.js",), "node server.js"),
    ],
)
def test_a_node_application_is_run_by_its_script(package, others, command):
    found = looked({"package.json": package}, *others)
    assert commands(found) == {"web": command}
    assert settings(found, "web") == {"ready": "tcp"}


TAILWIND = "tailwindcss -i a.css -o b.css --watch"


@pytest.mark.parametrize(
    ("scripts", "expected"),
    [
        ({"start": "node app.js", "css": TAILWIND}, {"web": "node app.js", "css": "npm run css"}),
        ({"dev": "next dev", "watch:css": TAILWIND}, {"web": "npm run dev", "css": "npm run watch:css"}),
        ({"start": "node app.js", "watch": "npx tsc -w"}, {"web": "node app.js", "watch": "npm run watch"}),
        ({"start": "node app.js", "build": "esbuild a.js --bundle"}, {"web": "node app.js"}),
        ({"dev": "npm run css & next dev", "css": TAILWIND}, {"web": "npm run dev"}),
        ({"dev": "concurrently 'npm:watch:*'", "watch:css": TAILWIND}, {"web": "npm run dev"}),
        ({"start": "node app.js", "typecheck": "tsc --noEmit --watch"}, {"web": "node app.js"}),
        ({"start": "node app.js", "test": "vitest --watch"}, {"web": "node app.js"}),
    ],
)
def test_a_script_that_builds_at_each_change_is_a_type_unless_the_server_runs_it(scripts, expected):
    found = looked({"package.json": {"scripts": scripts, "dependencies": {"next": "14"}}})
    assert commands(found) == expected


def test_a_watcher_that_ends_with_its_input_keeps_it_open():
    found = looked({"package.json": {"scripts": {"start": "node app.js", "css": TAILWIND}}})
    assert settings(found, "css") == {"stdin": "open"}


def test_the_watcher_of_a_package_has_its_name_and_folder():
    package = {"scripts": {"dev": "next dev", "css": TAILWIND}, "dependencies": {"next": "14"}}
    found = looked({"package.json": {"workspaces": ["apps/*"]}, "apps/shop/package.json": package})
    assert commands(found) == {"shop": "npm run dev", "shop-css": "npm run css"}
    assert settings(found, "shop-css") == {"stdin": "open", "cwd": "apps/shop"}


def test_a_front_end_beside_a_back_end_has_a_name_of_its_own():
    found = looked(
        {
            "manage.py": DJANGO,
            "shop/wsgi.py": "",
            "package.json": {"scripts": {"dev": "vite"}, "devDependencies": {"vite": "5"}},
        }
    )
    assert commands(found)["frontend"] == "npm run dev -- --port $PORT"


@pytest.mark.parametrize(
    ("texts", "others", "expected"),
    [
        (
            {"mix.exs": '{:phoenix, "~> 1.7"}, {:ecto_sql, "3"}'},
            (),
            {"web": "mix phx.server", "release": "mix ecto.migrate"},
        ),
        ({"mix.exs": "defmodule X"}, (), {"app": "mix run --no-halt"}),
        (
            {"pom.xml": "<artifactId>spring-boot-starter"},
            ("mvnw",),
            {"web": "./mvnw -q spring-boot:run -Dspring-boot.run.arguments=--server.port=$PORT"},
        ),
        (
            {"build.gradle.kts": 'id("org.springframework.boot")'},
            ("gradlew",),
            {"web": "./gradlew -q bootRun --args=--server.port=$PORT"},
        ),
        ({"go.mod": "", "main.go": 'http.ListenAndServe(":"+os.Getenv("PORT"), nil)'}, (), {"web": "go run ."}),
        (
            {"go.mod": "", "cmd/api/main.go": "", "cmd/job/main.go": ""},
            (),
            {"api": "go run ./cmd/api", "job": "go run ./cmd/job"},
        ),
        (
            {"Cargo.toml": "[package]\nname='x'\n[dependencies]\naxum='0.7'"},
            ("src/main.rs",),
            {"web": "cargo run --release"},
        ),
        (
            {"Cargo.toml": "[package]\nname='x'"},
            ("src/main.rs", "src/bin/tool.rs"),
            {"x": "cargo run --release --bin x", "tool": "cargo run --release --bin tool"},
        ),
        (
            {"composer.json": '"laravel/horizon"', "artisan": ""},
            (),
            {
                "web": "php artisan serve --host=0.0.0.0 --port=$PORT",
                "worker": "php artisan horizon",
                "release": "php artisan migrate --force",
            },
        ),
    ],
)
def test_other_languages_are_run_by_their_tools(texts, others, expected):
    assert commands(looked(texts, *others)) == expected


def test_an_empty_folder_has_nothing_to_run():
    assert looked({"README.md": "# hello"}).converted.types == ()

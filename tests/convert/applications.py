"""Folders as the frameworks' own generators and well-known applications lay them out, and the types that they have.

Only the files that tell something are here, with the lines that do.
"""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct


class Application(Struct, frozen=True):
    """Its files by path (an object is JSON), the commands that are to come out, by type, and their settings."""

    files: dict[str, str | dict[str, Any]]
    commands: dict[str, str]
    settings: dict[str, dict[str, Any]] = {}

    @property
    def texts(self) -> dict[str, str]:
        return {path: text if isinstance(text, str) else json.dumps(text) for path, text in self.files.items()}


GRACE_30 = {"stop": {"grace": 30}}
GRACE_60 = {"stop": {"grace": 60}}

RAILS = {
    "Gemfile": 'gem "rails", "~> 7.1.3"\ngem "puma", ">= 5.0"\ngem "jsbundling-rails"\ngem "cssbundling-rails"\ngem \'sidekiq\'\n',
    "package.json": {
        "scripts": {
            "build": "esbuild app/javascript/*.* --bundle --outdir=app/assets/builds",
            "build:css": "tailwindcss -i ./app/assets/stylesheets/application.tailwind.css -o ./app/assets/builds/application.css",
        }
    },
    "yarn.lock": "",
    "bin/rails": "",
    "config.ru": "run Rails.application\n",
    "config/puma.rb": 'port ENV.fetch("PORT") { 3000 }\n',
}

APPLICATIONS = {
    "rails": Application(
        RAILS,
        {
            "web": "bundle exec puma -C config/puma.rb",
            "worker": "bundle exec sidekiq",
            "js": "yarn build --watch",
            "css": "yarn build:css --watch",
            "release": "bundle exec rails db:migrate",
        },
        {"web": {"ready": "tcp"}, "worker": GRACE_30, "js": {"stdin": "open"}, "css": {"stdin": "open"}},
    ),
    "mastodon": Application(
        {
            "Gemfile": "gem 'puma', '~> 6.3'\ngem 'rails', '~> 7.1'\ngem 'sidekiq', '~> 6.5'\n",
            "package.json": {"workspaces": [".", "streaming"], "packageManager": "yarn@4.1.0", "dependencies": {"express": "4"}},
            "streaming/package.json": {"scripts": {"start": "node ./index.js"}, "dependencies": {"express": "4"}},
            "yarn.lock": "",
            "bin/rails": "",
            "bin/webpack-dev-server": "",
            "config/puma.rb": "",
        },
        {
            "web": "bundle exec puma -C config/puma.rb",
            "worker": "bundle exec sidekiq",
            "streaming": "node ./index.js",
            "webpack": "bin/webpack-dev-server",
            "release": "bundle exec rails db:migrate",
        },
        {"web": {"ready": "tcp"}, "worker": GRACE_30, "streaming": {"ready": "tcp", "cwd": "streaming"}},
    ),
    "django with celery, requirements in a folder": Application(
        {
            "manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")\n',
            "config/celery_app.py": 'from celery import Celery\napp = Celery("shop")\n',
            "config/wsgi.py": "",
            "config/settings/base.py": 'CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"\n',
            "requirements/base.txt": "django==5.0\ncelery==5.3.6  # https://example.org\ndjango-celery-beat\nflower\nredis\n",
            "requirements/production.txt": "-r base.txt\ngunicorn==21.2.0\n",
        },
        {
            "web": "gunicorn config.wsgi --bind 0.0.0.0:$PORT",
            "release": "python manage.py migrate",
            "worker": 'celery -A config.celery_app worker -n "$PS@%h" --loglevel info',
            "beat": "celery -A config.celery_app beat --loglevel info",
            "flower": "celery -A config.celery_app flower --port=$PORT",
        },
        {"web": {"ready": "tcp", **GRACE_30}, "worker": GRACE_60, "beat": {"max": 1}, "flower": {"ready": "tcp"}},
    ),
    "a back end and a front end side by side": Application(
        {
            "backend/pyproject.toml": '[project]\nname = "app"\ndependencies = ["fastapi[standard]"]\n',
            "backend/uv.lock": "",
            "backend/app/main.py": "app = FastAPI()\n",
            "frontend/package.json": {"scripts": {"dev": "vite"}, "devDependencies": {"vite": "5"}},
        },
        {
            "backend": "uv run uvicorn app.main:app --host 0.0.0.0 --port $PORT",
            "frontend": "npm run dev -- --port $PORT",
        },
        {"backend": {"ready": "tcp", "cwd": "backend"}, "frontend": {"ready": "tcp", "cwd": "frontend"}},
    ),
    "django below, and its front end": Application(
        {
            "backend/manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "api.settings")\n',
            "backend/api/wsgi.py": "",
            "backend/api/celery.py": "app = Celery('api')\n",
            "backend/requirements.txt": "django\ngunicorn\ncelery\n",
            "frontend/package.json": {"scripts": {"start": "react-scripts start"}, "dependencies": {"react-scripts": "5"}},
        },
        {
            "backend": "gunicorn api.wsgi --bind 0.0.0.0:$PORT",
            "release": "python manage.py migrate",
            "backend-worker": 'celery -A api worker -n "$PS@%h" --loglevel info',
            "frontend": "npm start",
        },
        {"release": {"cwd": "backend"}, "backend-worker": {"cwd": "backend", **GRACE_60}},
    ),
    "django whose front end has a folder": Application(
        {
            "manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n',
            "shop/wsgi.py": "",
            "client/package.json": {"scripts": {"dev": "vite"}, "devDependencies": {"vite": "5"}},
        },
        {
            "web": "python manage.py runserver 0.0.0.0:$PORT",
            "release": "python manage.py migrate",
            "client": "npm run dev -- --port $PORT",
        },
    ),
    "a source folder": Application(
        {"src/manage.py": "", "src/shop/wsgi.py": "", "src/requirements.txt": "django\ngunicorn\n"},
        {"web": "gunicorn shop.wsgi --bind 0.0.0.0:$PORT", "release": "python manage.py migrate"},
        {"web": {"ready": "tcp", "cwd": "src", **GRACE_30}},
    ),
    "turborepo": Application(
        {
            "package.json": {"scripts": {"dev": "turbo run dev --parallel"}, "packageManager": "pnpm@8.15.0"},
            "pnpm-workspace.yaml": 'packages:\n  - "apps/*"\n  - "packages/*"\n',
            "apps/web/package.json": {"scripts": {"dev": "next dev --port 3001"}, "dependencies": {"next": "14"}},
            "apps/api/package.json": {"scripts": {"dev": "tsx watch src", "start": "node dist/index.js"}, "dependencies": {"express": "4"}},
            "packages/ui/package.json": {"scripts": {"dev": "tsup --watch", "build": "tsup"}},
            "packages/tsconfig/package.json": {},
        },
        {"api": "pnpm run dev", "web": "pnpm run dev", "ui": "pnpm run dev"},
        {"web": {"ready": {"tcp": 3001}, "cwd": "apps/web"}, "api": {"ready": "tcp", "cwd": "apps/api"}, "ui": {"cwd": "packages/ui"}},
    ),
    "yarn workspaces": Application(
        {
            "package.json": {"workspaces": {"packages": ["services/**"]}, "scripts": {"dev": "yarn workspaces foreach -pi run dev"}},
            "yarn.lock": "",
            "services/core/gateway/package.json": {"scripts": {"start": "nest start"}, "dependencies": {"@nestjs/core": "10"}},
            "services/mailer/package.json": {"scripts": {"start:worker": "node ./w.js", "worker": "node ./w.js", "start": "tsx src/index.ts"}},
        },
        {"mailer": "yarn start", "mailer-worker": "node ./w.js", "gateway": "yarn start"},
        {"gateway": {"ready": "tcp", "cwd": "services/core/gateway"}},
    ),
    "npm workspaces": Application(
        {
            "package.json": {"workspaces": ["client", "server"], "scripts": {"dev": "npm run dev --workspaces", "start": "npm start -w server"}},
            "client/package.json": {"scripts": {"dev": "vite"}, "devDependencies": {"vite": "5"}},
            "server/package.json": {"scripts": {"dev": "nodemon index.js", "start": "node index.js"}, "dependencies": {"express": "4"}},
        },
        {"client": "npm run dev -- --port $PORT", "server": "node index.js"},
    ),
    "remix": Application(
        {"package.json": {"scripts": {"dev": "remix vite:dev", "start": "remix-serve x"}, "dependencies": {"@remix-run/serve": "2"}}},
        {"web": "npm run dev -- --port $PORT"},
    ),
    "phoenix, whose development port is fixed": Application(
        {
            "mix.exs": '{:phoenix, "~> 1.7.11"},\n{:ecto_sql, "~> 3.10"},\n',
            "config/dev.exs": "http: [ip: {127, 0, 0, 1}, port: 4001],\n",
            "config/runtime.exs": 'if config_env() == :prod do\n  port = String.to_integer(System.get_env("PORT") || "4000")\nend\n',
        },
        {"web": "mix phx.server", "release": "mix ecto.migrate"},
        {"web": {"ready": {"tcp": 4001}}},
    ),
    "phoenix, which reads PORT": Application(
        {
            "mix.exs": '{:phoenix, "~> 1.8.0"},\n',
            "config/dev.exs": "http: [ip: {127, 0, 0, 1}],\n",
            "config/runtime.exs": 'http: [port: String.to_integer(System.get_env("PORT", "4000"))]\nif config_env() == :prod do\nend\n',
        },
        {"web": "mix phx.server"},
        {"web": {"ready": "tcp"}},
    ),
    "spring boot": Application(
        {"build.gradle.kts": 'plugins { id("org.springframework.boot") version "3.2" }\n', "gradlew": ""},
        {"web": "./gradlew -q bootRun --args=--server.port=$PORT"},
        {"web": {"ready": "tcp", "restart": {"policy": "always"}}},
    ),
    "go with gin": Application(
        {"go.mod": "require github.com/gin-gonic/gin v1.9.1\n", "main.go": "r := routes()\nr.Run()\n"},
        {"web": "go run ."},
        {"web": {"ready": "tcp"}},
    ),
    "go, several programs": Application(
        {"go.mod": "module x\n", "cmd/api/main.go": "http.ListenAndServe(port, nil)\n", "cmd/worker/main.go": "package main\n"},
        {"api": "go run ./cmd/api", "worker": "go run ./cmd/worker"},
    ),
    "a workspace of crates": Application(
        {
            "Cargo.toml": '[workspace]\nmembers = ["crates/*", "server"]\n',
            "server/Cargo.toml": '[package]\nname = "shop-server"\n[dependencies]\nactix-web = "4"\n',
            "server/src/main.rs": "",
            "crates/core/Cargo.toml": '[package]\nname = "core"\n',
            "crates/core/src/lib.rs": "",
        },
        {"shop-server": "cargo run --release -p shop-server"},
    ),
    "flask with a factory": Application(
        {"pyproject.toml": '[project]\nname = "flaskr"\ndependencies = ["flask"]\n', "flaskr/__init__.py": "def create_app(test_config=None):\n"},
        {"web": "flask --app flaskr run --host 0.0.0.0 --port $PORT"},
        {"web": {"ready": "tcp"}},
    ),
    "fastapi with uv and arq": Application(
        {
            "pyproject.toml": '[project]\nname = "shop"\ndependencies = ["fastapi[standard]>=0.115", "arq"]\n',
            "uv.lock": "",
            "src/shop/main.py": "app = FastAPI(title='x')\n",
            "src/shop/worker.py": "class WorkerSettings:\n    functions = []\n",
        },
        {"web": "uv run uvicorn shop.main:app --host 0.0.0.0 --port $PORT", "worker": "uv run arq shop.worker.WorkerSettings"},
    ),
    "laravel": Application(
        {
            "artisan": "",
            "composer.json": {"require": {"laravel/framework": "^11.0"}},
            "package.json": {"scripts": {"build": "vite build", "dev": "vite"}, "devDependencies": {"vite": "^6"}},
        },
        {
            "web": "php artisan serve --host=0.0.0.0 --port=$PORT",
            "worker": "php artisan queue:work",
            "release": "php artisan migrate --force",
            "frontend": "npm run dev -- --port $PORT",
        },
        {"worker": GRACE_60},
    ),
    "sinatra": Application(
        {"Gemfile": 'gem "sinatra"\ngem "puma"\n', "app.rb": "get('/') { 'x' }\n"},
        {"web": "bundle exec ruby app.rb -o 0.0.0.0 -p $PORT"},
        {"web": {"ready": "tcp"}},
    ),
    "deno": Application({"deno.json": {"tasks": {"dev": "deno run --watch main.ts"}}, "main.ts": ""}, {"web": "deno task dev"}),
    "streamlit": Application(
        {"app.py": "import streamlit as st\n", "requirements.txt": "streamlit\n"},
        {"web": "streamlit run app.py --server.port $PORT --server.headless true"},
    ),
    "huey and django": Application(
        {"manage.py": "", "shop/wsgi.py": "", "requirements.txt": "django\ngunicorn\nhuey\n"},
        {
            "web": "gunicorn shop.wsgi --bind 0.0.0.0:$PORT",
            "release": "python manage.py migrate",
            "worker": "python manage.py run_huey",
        },
        {"worker": {"stop": {"signal": "INT", "grace": 60}}},
    ),
    "a script": Application({"main.py": "if __name__ == '__main__':\n    run()\n"}, {"app": "python main.py"}),
}  # fmt: skip

"""Ruby, Elixir, the JVM, Go, Rust, PHP and Deno, by their build files. Pure."""

from __future__ import annotations

import re
import tomllib
from os.path import basename, dirname

from procman.convert import find_node
from procman.convert.folder import Finds, Folder
from procman.known.scripts import scripts_of

_GEM = re.compile(r"^\s*gem\s*\(?\s*['\"]([\w-]+)['\"]", re.MULTILINE)
_RUBY_WORKERS = (
    ("sidekiq", "bundle exec sidekiq"),
    ("solid_queue", "bin/jobs"),
    ("good_job", "bundle exec good_job start"),
    ("resque", "bundle exec rake resque:work"),
    ("delayed_job", "bundle exec rake jobs:work"),
    ("delayed_job_active_record", "bundle exec rake jobs:work"),
)

_WEBPACK = ("bin/shakapacker-dev-server", "bin/webpacker-dev-server", "bin/webpack-dev-server")
_GO_SERVES = re.compile(r"ListenAndServe|net/http|gin-gonic|labstack/echo|gofiber|go-chi|grpc\.NewServer")
_RUST_SERVERS = frozenset({"axum", "actix-web", "rocket", "warp", "hyper", "tide", "poem", "salvo", "tonic"})


def ruby(finds: Finds) -> None:
    folder = finds.folder
    gems = set(_GEM.findall(folder.text("Gemfile")))
    rails = "rails" in gems or folder.has("bin/rails")
    if rails:
        finds.say("Rails (Gemfile)" if "rails" in gems else "Rails (bin/rails)")
        puma = folder.has("config/puma.rb")
        web = "bundle exec puma -C config/puma.rb" if puma else "bin/rails server -p $PORT -b 0.0.0.0"
        finds.add("web", web, serves=True)
    elif folder.has("config.ru"):
        finds.say("Rack (config.ru)")
        server = "puma -b tcp://0.0.0.0:$PORT" if "puma" in gems else "rackup -o 0.0.0.0 -p $PORT"
        finds.add("web", f"bundle exec {server}", serves=True)
    elif "sinatra" in gems and folder.has("app.rb"):
        finds.say("Sinatra (app.rb)")
        finds.add("web", "bundle exec ruby app.rb -o 0.0.0.0 -p $PORT", serves=True)
    elif "jekyll" in gems:
        finds.say("Jekyll (Gemfile)")
        finds.add("web", "bundle exec jekyll serve --host 0.0.0.0 --port $PORT", serves=True)
    for gem, command in _RUBY_WORKERS:
        if gem in gems and "worker" not in finds:
            finds.say(f"{gem} (Gemfile)")
            finds.add("worker", command)
    if rails:
        find_node.workspaces(finds)
        _assets(finds, gems)
        finds.add("release", "bundle exec rails db:migrate")


def _assets(finds: Finds, gems: set[str]) -> None:
    """What bin/dev runs beside the server (jsbundling-rails, cssbundling-rails, tailwindcss-rails, vite_rails)."""
    scripts = scripts_of(finds.folder.json("package.json"))
    tool = next(
        (name for name, lock in (("bun", "bun.lock"), ("npm run", "package-lock.json")) if finds.folder.has(lock)),
        "yarn",
    )
    dashes = " --" if tool == "npm run" else ""
    if "jsbundling-rails" in gems and "build" in scripts:
        finds.add("js", f"{tool} build{dashes} --watch")
    if "cssbundling-rails" in gems and "build:css" in scripts:
        finds.add("css", f"{tool} build:css{dashes} --watch")
    elif "tailwindcss-rails" in gems:
        finds.add("css", "bin/rails tailwindcss:watch")
    if gems & {"vite_rails", "vite_ruby"}:
        finds.add("vite", "bin/vite dev")
    server = next((one for one in _WEBPACK if finds.folder.has(one)), "")
    if server:
        finds.add("webpack", server)


def elixir(finds: Finds) -> None:
    folder = finds.folder
    if not folder.has("mix.exs"):
        return
    if re.search(r"\{:phoenix\s*,", folder.text("mix.exs")):
        finds.say("Phoenix (mix.exs)")
        draft = finds.add("web", "mix phx.server", otherwise="phoenix")
        draft.put("ready", _phoenix_port(folder))
        if "ecto_sql" in folder.text("mix.exs"):
            finds.add("release", "mix ecto.migrate")
    else:
        finds.say("Elixir (mix.exs)")
        finds.add("app", "mix run --no-halt")


def _phoenix_port(folder: Folder) -> str | dict[str, int]:
    """`tcp` where the port is PORT, else the port in config/dev.exs (4000 by default). PORT in config/runtime.exs
    counts only outside its part for production.
    """
    dev = folder.text("config/dev.exs")
    always = folder.text("config/runtime.exs").partition("config_env() == :prod")[0]
    if any(re.search(r"\bPORT\b", text) for text in (dev, always)):
        return "tcp"
    number = re.search(r"\bport: (\d{1,5})\b", dev)
    return {"tcp": int(number[1]) if number else 4000}


def jvm(finds: Finds) -> None:
    folder = finds.folder
    if folder.has("pom.xml"):
        text, tool = folder.text("pom.xml"), "./mvnw" if folder.has("mvnw") else "mvn"
        if "spring-boot" in text:
            finds.say("Spring Boot (pom.xml)")
            finds.add(
                "web",
                f"{tool} -q spring-boot:run -Dspring-boot.run.arguments=--server.port=$PORT",
                serves=True,
                otherwise="api",
            )
        elif "exec-maven-plugin" in text:
            finds.say("Maven (pom.xml)")
            finds.add("app", f"{tool} -q compile exec:java")
        else:
            finds.say("Maven (pom.xml)")
            finds.hint("pom.xml has nothing that runs: write `web: java -jar target/NAME.jar` into the Procfile")
        return
    build = next((path for path in ("build.gradle", "build.gradle.kts") if folder.has(path)), "")
    if build:
        text, tool = folder.text(build), "./gradlew" if folder.has("gradlew") else "gradle"
        finds.say(f"Gradle ({build})")
        if "org.springframework.boot" in text:
            finds.add("web", f"{tool} -q bootRun --args=--server.port=$PORT", serves=True, otherwise="api")
        elif re.search(r"application\b", text):
            finds.add("app", f"{tool} -q run")
        else:
            finds.hint(f"{build} has nothing that runs: write `web: java -jar build/libs/NAME.jar` into the Procfile")


def go(finds: Finds) -> None:
    folder = finds.folder
    if not folder.has("go.mod"):
        return
    mains = [path for path in folder.named("main.go") if path == "main.go" or path.startswith("cmd/")]
    for path in mains:
        text = folder.text(path) + (folder.text("go.mod") if len(mains) == 1 else "")
        place = dirname(path)
        web = bool(_GO_SERVES.search(text))
        reads = "PORT" in text or ("gin-gonic" in text and ".Run()" in text)  # gin's Run() listens on PORT
        name = basename(place) if place else "web" if web else "app"
        finds.say(f"Go ({path})")
        finds.add(name, f"go run ./{place}" if place else "go run .", serves=web and reads, otherwise="go")
    if not mains:
        finds.hint("found go.mod, but no main.go beside it or in cmd/NAME: write its line into the Procfile")


def rust(finds: Finds) -> None:
    for path in finds.folder.named("Cargo.toml"):
        _crate(finds, path)


def _crate(finds: Finds, path: str) -> None:
    """The programs of one package: of the root, or of a member of its workspace."""
    folder, place = finds.folder, dirname(path)
    cargo = _toml(folder.text(path))
    root = _toml(folder.text("Cargo.toml"))
    package, listed = cargo.get("package"), cargo.get("bin")
    if not isinstance(package, dict) or not isinstance(package.get("name"), str) or (place and "workspace" not in root):
        return
    source = f"{place}/src" if place else "src"
    names = [one["name"] for one in listed if _is_named(one)] if isinstance(listed, list) else []
    if not names and folder.has(f"{source}/main.rs"):
        names = [package["name"]]
    extra = [basename(one).removesuffix(".rs") for one in sorted(folder.paths) if _is_program(one, source)]
    names += [name for name in extra if name not in names]
    needed = cargo.get("dependencies")
    serves = isinstance(needed, dict) and bool(_RUST_SERVERS & needed.keys())
    for name in names:
        finds.say(f"Rust ({path}: {name})")
        command = "cargo run --release" + (f" -p {package['name']}" if place else "")
        only = len(names) == 1
        draft = finds.add(
            "web" if only and serves and not place else name,
            command if only else f"{command} --bin {name}",
            otherwise=name,
        )
        if serves:
            draft.notes.append("Add `ready: tcp` where it listens on PORT.")


def _is_named(one: object) -> bool:
    return isinstance(one, dict) and isinstance(one.get("name"), str)


def _is_program(path: str, source: str) -> bool:
    return re.fullmatch(rf"{re.escape(source)}/bin/[\w-]+\.rs", path) is not None


def _toml(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):  # a hint needs no error
        return {}


def php(finds: Finds) -> None:
    folder = finds.folder
    if folder.has("artisan"):
        finds.say("Laravel (artisan)")
        finds.add("web", "php artisan serve --host=0.0.0.0 --port=$PORT", serves=True, otherwise="php")
        horizon = "laravel/horizon" in folder.text("composer.json")
        finds.add("worker", "php artisan horizon" if horizon else "php artisan queue:work", otherwise="queue")
        finds.add("release", "php artisan migrate --force")
    elif folder.has("composer.json") and folder.has("public/index.php"):
        finds.say("PHP (public/index.php)")
        finds.add("web", "php -S 0.0.0.0:$PORT -t public", serves=True, otherwise="php")


def deno(finds: Finds) -> None:
    path = next((path for path in ("deno.json", "deno.jsonc") if finds.folder.has(path)), "")
    tasks = finds.folder.json(path).get("tasks") if path else None
    chosen = next((name for name in ("dev", "start") if isinstance(tasks, dict) and name in tasks), "")
    if chosen:
        finds.say(f"Deno ({path}: {chosen})")
        finds.add("web", f"deno task {chosen}", otherwise="deno")

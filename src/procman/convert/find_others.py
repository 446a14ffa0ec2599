"""Elixir, the JVM, Go, Rust and PHP, by their build files. Pure."""

from __future__ import annotations

import re
import tomllib
from os.path import basename, dirname

from procman.convert.folder import Finds

_GO_SERVES = re.compile(r"ListenAndServe|net/http|gin-gonic|labstack/echo|gofiber|go-chi|grpc\.NewServer")
_RUST_SERVERS = frozenset({"axum", "actix-web", "rocket", "warp", "hyper", "tide", "poem", "salvo", "tonic"})


def elixir(finds: Finds) -> None:
    folder = finds.folder
    if not folder.has("mix.exs"):
        return
    if re.search(r"\{:phoenix\s*,", folder.text("mix.exs")):
        finds.say("Phoenix (mix.exs)")
        draft = finds.add("web", "mix phx.server", otherwise="phoenix")
        reads = any("PORT" in folder.text(path) for path in ("config/dev.exs", "config/runtime.exs"))
        draft.put("ready", "tcp" if reads else {"tcp": 4000})
        if "ecto_sql" in folder.text("mix.exs"):
            finds.add("release", "mix ecto.migrate")
    else:
        finds.say("Elixir (mix.exs)")
        finds.add("app", "mix run --no-halt")


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
        text = folder.text(path)
        place = dirname(path)
        serves = bool(_GO_SERVES.search(text)) and "PORT" in text
        name = basename(place) if place else "web" if _GO_SERVES.search(text) else "app"
        finds.say(f"Go ({path})")
        finds.add(name, f"go run ./{place}" if place else "go run .", serves=serves, otherwise="go")
    if not mains:
        finds.hint("go.mod is there, but no main.go in its folder or in cmd/NAME: write its line into the Procfile")


def rust(finds: Finds) -> None:
    folder = finds.folder
    try:
        cargo = tomllib.loads(folder.text("Cargo.toml"))
    except (tomllib.TOMLDecodeError, RecursionError):
        cargo = {}
    package, listed = cargo.get("package"), cargo.get("bin")
    names = (
        [one["name"] for one in listed if isinstance(one, dict) and isinstance(one.get("name"), str)]
        if isinstance(listed, list)
        else []
    )
    if not names and folder.has("src/main.rs") and isinstance(package, dict) and isinstance(package.get("name"), str):
        names = [package["name"]]
    names += [
        basename(path).removesuffix(".rs")
        for path in sorted(folder.paths)
        if re.fullmatch(r"src/bin/[\w-]+\.rs", path) and basename(path).removesuffix(".rs") not in names
    ]
    needed = cargo.get("dependencies")
    serves = isinstance(needed, dict) and bool(_RUST_SERVERS & needed.keys())
    for name in names:
        finds.say(f"Rust (Cargo.toml: {name})")
        only = len(names) == 1
        draft = finds.add(
            "web" if only and serves else name,
            "cargo run --release" if only else f"cargo run --release --bin {name}",
            otherwise=name,
        )
        if serves:
            draft.notes.append("Add `ready: tcp` where it listens on PORT.")


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

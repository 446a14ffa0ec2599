"""Makes process types of a docker-compose.yml (compose-spec.io).

A service with a command becomes that command; if its image is built, the command may be in the Dockerfile. A service
that is only an image (a database) stays a container, run by `docker compose up`: its type is as good a dependency as
any other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from posixpath import normpath
from shlex import join, quote

from msgspec import Struct

from procman.convert.dockerfile import ImageStart, image_start
from procman.convert.result import LAST_PORT, Builder, Converted, Draft
from procman.convert.tree import Item, Section, fail, read_yaml, seconds
from procman.convert.words import expanding, split
from procman.known.recognise import recognise

_STORES = re.compile(
    r"(?:.*/)?(postgres|postgis|pgvector|timescaledb|mysql|mariadb|mongo|redis|valkey|memcached|rabbitmq|kafka|zookeeper|"
    r"elasticsearch|opensearch|clickhouse-server|minio|mailpit|mailhog|nginx|traefik|caddy|haproxy|localstack|adminer|"
    r"pgadmin4|nats|etcd|consul|vault|influxdb|grafana|prometheus|meilisearch|typesense|chroma|qdrant)\b.*"
)
"""Images that are themselves the program, whatever command they are given."""

_STARTERS = re.compile(
    r"(.*/)?(sh|bash|node|npm|npx|yarn|pnpm|bun|deno|python[\d.]*|uv|poetry|pipenv|bundle|ruby|rake|php|java|mix|go|cargo|make)"
)
_UNTIL = {"service_started": "started", "service_healthy": "ready", "service_completed_successfully": "done"}
_REASONS = {
    "volumes": "a process sees the files where they are: check the paths that its command names",
    "networks": "processes share the host's network: the others are at 127.0.0.1",
    "user": "processes run as the user that starts procman",
    "env_file": "start with `procman start -e FILE`, or move it into .env",
    "build": "the image is not built: install what its Dockerfile installs",
    "extends": "convert the file that it extends, too",
    "profiles": "its count is 0: `procman scale` starts it",
    "deploy": "procman has counts, restarts and graces only",
}
_SILENT = frozenset({"container_name", "expose", "image", "hostname", "init", "platform", "pull_policy"})


class _Built(Struct, frozen=True):
    """How a service's image is built: in which folder, the Dockerfile by its path from the Compose file ("": it is
    elsewhere), the stage of it, or its text.
    """

    context: str
    path: str
    stage: str = ""
    inline: str = ""


def dockerfiles(text: str, file: str) -> list[str]:
    """The Dockerfiles that the services are built from. Raises ConfigError."""
    services = Section(file, read_yaml(text, file), "").section("services")
    built = [_built(service) for _, service in services.sections()] if services is not None else []
    return [one.path for one in built if one is not None and one.path]


def convert(text: str, file: str, beside: Mapping[str, str] = {}) -> Converted:
    """`beside` are the texts of those `dockerfiles` that exist. Raises ConfigError."""
    whole = Section(file, read_yaml(text, file), "")
    services = whole.section("services")
    if services is None:
        fail(file, whole.line, "cannot find 'services' in the file", "is it a Compose file?")
    builder = Builder()
    for name, service in services.sections():
        built = _built(service)
        given = (built.inline or beside.get(built.path)) if built is not None else None
        start = image_start(given, built.stage) if built is not None and given is not None else None
        _hosts(builder, name, service, services.names())
        _service(builder.draft(name, services.line_of(name)), service, file, built, start)
    for key, number in whole.rest():
        if key not in ("version", "name", "volumes", "networks"):
            builder.leave(number, key, "convert the files that it names, too" if key == "include" else "")
    return builder.build()


def _hosts(builder: Builder, name: str, service: Section, names: list[str]) -> None:
    """Addresses of other services: their names are hosts in Compose's network alone."""
    host = re.compile(rf"(?:^|[@/])({'|'.join(map(re.escape, names))})(?=[:/]|$)")
    for variable, value in service.variables("environment").items():
        match = host.search(value)
        if match is not None:
            builder.leave(
                service.line_of("environment"),
                f"{name}: the host {match[1]!r} in {variable}",
                "here it is 127.0.0.1, with the port that it publishes",
            )


def _built(service: Section) -> _Built | None:
    """None for a service whose image is not built."""
    item = service.take("build")
    if item is None:
        return None
    build = Section(service.file, item, "build") if isinstance(item.value, dict) else None
    context = build.text("context") or "." if build is not None else str(item.value)
    file = build.text("dockerfile") or "Dockerfile" if build is not None else "Dockerfile"
    path = normpath(f"{context}/{file}") if "://" not in context else ""
    if build is None:
        return _Built(context, path)
    return _Built(context, path, build.text("target"), build.text("dockerfile_inline"))


def _service(draft: Draft, service: Section, file: str, built: _Built | None, start: ImageStart | None) -> None:
    command = _command(draft, service, start)
    ports = _ports(draft, service)
    if start is not None and command is not None:
        _image(draft, service, start)
    contained = command is None
    if command is None:
        draft.command = f"docker compose -f {quote(file)} up --no-deps {quote(draft.name)}"
        draft.notes.append("It still runs in its container.")
        draft.put("stop.grace", 20)
        draft.put("max", 1)
        if ports:
            draft.put("ready", {"tcp": ports[0][0]})
    else:
        draft.command = command
        if ports:
            draft.put("port", ports[0][1])
            draft.put("ready", "tcp")
        draft.put_env(service.line_of("environment"), service.variables("environment"), expand=True)
        _place(draft, service, built)
    _health(draft, service, file, contained=contained)
    _restart_and_stop(draft, service, contained=contained)
    _order(draft, service)
    for key, number in service.rest():
        if (
            key in _SILENT
            or (key == "env_file" and _is_own(service))
            or (contained and key in ("environment", "env_file", "volumes", "networks", "build", "user"))
        ):
            continue
        draft.leave(number, key, _REASONS.get(key, "" if not contained else "its container keeps it"))


def _image(draft: Draft, service: Section, start: ImageStart) -> None:
    """How the image is run by default; Compose's own keys are applied after that, and win."""
    at = service.line_of("build")
    serves = "command" not in service and "entrypoint" not in service  # what a worker of the same image does not
    if start.signal:
        draft.put_signal(at, start.signal)
    if start.port and serves:
        draft.put("port", start.port)
        draft.put("ready", "tcp")
    for name, value in start.variables.items():
        if name == "PORT" and not serves:
            continue
        if "/" in value or name in ("PATH", "HOME"):
            draft.leave(at, f"{name} of its Dockerfile", "it names a place in the image")
        else:
            draft.put_env(at, {name: value})


def _command(draft: Draft, service: Section, start: ImageStart | None) -> str | None:
    """The command line, None for a service that stays a container."""
    image = service.text("image")
    entry, given = _words(service, "entrypoint"), _words(service, "command")
    built = "build" in service
    if start is not None and not entry and (start.entrypoint or (start.command and not given)):
        text, left = start.line(" ".join(map(expanding, given)))
        if left:
            draft.leave(
                service.line, f"{left}, the entry point of its image", "do what it prepares by hand, or by `release`"
            )
        if text:
            return text
    if not entry and not given:
        if built:
            draft.leave(
                service.line,
                "its command is in its Dockerfile",
                "write it into the Procfile to run it without a container",
            )
        return None
    words = [*entry, *given]
    if not built and (_STORES.fullmatch(image.partition(":")[0]) or not _seems_whole(words)):
        return None
    if image and not built:
        draft.notes.append(f"The image {image} is not used: what it holds has to be installed.")
    return " ".join(map(expanding, words))


def _seems_whole(words: list[str]) -> bool:
    """Whether this is a complete command, and not arguments for the image's entry point."""
    return recognise(join(words)) is not None or bool(_STARTERS.fullmatch(words[0]))


def _is_own(service: Section) -> bool:
    """Whether this is `env_file: .env`, which procman reads itself."""
    item = service.take("env_file")
    values = item.value if item is not None and isinstance(item.value, list) else [item]
    return all(one is not None and one.value in (".env", "./.env") for one in values)


def _words(service: Section, key: str) -> list[str]:
    item = service.take(key)
    if item is None:
        return []
    if isinstance(item.value, list):
        return service.texts(key) or []
    text = service.as_text(item, key)
    words = split(text)
    if words is None:
        fail(service.file, item.line, f"cannot read {service.what}.{key}: its quotation marks do not match")
    return words


def _ports(draft: Draft, service: Section) -> list[tuple[int, int]]:
    """(on the host, in the container) of each published TCP port that is a number."""
    item = service.take("ports")
    found: list[tuple[int, int]] = []
    for one in item.value if item is not None and isinstance(item.value, list) else []:
        text = _long_port(one) if isinstance(one.value, dict) else str(one.value)
        numbers = re.fullmatch(r"(?:.*:)?(?:(\d{1,5}):)?(\d{1,5})(?:/tcp)?", text)
        if numbers and all(1 <= int(number or 1) <= LAST_PORT for number in numbers.groups()):
            found.append((int(numbers[1] or numbers[2]), int(numbers[2])))
        else:
            draft.leave(one.line, f"the port {text!r}")
    for number, pair in enumerate(found):
        if number:
            assert item is not None
            draft.leave(item.line, f"the further port {pair[0]}", "a type has one PORT")
    return found


def _long_port(item: Item) -> str:
    values = {key: str(one.value) for key, one in item.value.items()}
    return f"{values.get('published', '')}:{values.get('target', '')}".lstrip(":")


def _place(draft: Draft, service: Section, built: _Built | None) -> None:
    """Where it runs: in the folder from which its image is built."""
    if built is not None:
        context = built.context.removeprefix("./").rstrip("/")
        if re.fullmatch(r"[\w.-][\w./-]*", context) and context != ".":
            draft.put("cwd", context)
        draft.leave(service.line_of("build"), "build", _REASONS["build"])
    folder = service.text("working_dir")
    if folder:
        draft.leave(
            service.line_of("working_dir"), f"the folder {folder!r} of its container", "set cwd to the one it is here"
        )
    if service.flag("tty"):
        draft.turn_on("tty")
    if service.flag("stdin_open"):
        draft.put("stdin", "open")


def _health(draft: Draft, service: Section, file: str, *, contained: bool) -> None:
    """A health check becomes `ready:`. In a container it is run there."""
    check = service.section("healthcheck")
    item = check.take("test") if check is not None else None
    if check is None or item is None or check.flag("disable"):
        return
    if isinstance(item.value, list):
        kind, *words = check.texts("test") or ["NONE"]
        if kind == "NONE":
            return
        test = (
            " ".join(words).replace("$$", "$")
            if kind == "CMD-SHELL"
            else " ".join(map(expanding, words if kind == "CMD" else [kind, *words]))
        )
    else:
        test = check.as_text(item, "test").replace("$$", "$")
    if contained:
        test = f"docker compose -f {quote(file)} exec -T {quote(draft.name)} sh -c {quote(test)}"
    draft.put("ready", {"exec": " ".join(test.split())})


def _restart_and_stop(draft: Draft, service: Section, *, contained: bool) -> None:
    policy, _, limit = service.word("restart").partition(":")
    if policy in ("always", "unless-stopped"):
        draft.put("restart.policy", "always")
    elif policy == "on-failure" and limit.isascii() and limit.isdigit():
        draft.put("restart.max_restarts", int(limit[:9]))
    elif policy == "no":
        draft.put("restart.policy", "never")
    if service.text("stop_signal") and not contained:
        draft.put_signal(service.line_of("stop_signal"), service.text("stop_signal"))
    grace = service.word("stop_grace_period")
    if grace:
        draft.put_seconds("stop.grace", service.line_of("stop_grace_period"), seconds(grace))
    count = service.number("scale")
    deploy = service.section("deploy")
    if deploy is not None:
        count = deploy.number("replicas") if count is None else count
        for key, number in deploy.rest():
            draft.leave(number, f"deploy.{key}", _REASONS["deploy"])
    if count is not None and not contained:
        draft.put_count(service.line, int(count))
    if service.take("profiles") is not None:
        draft.leave(service.line_of("profiles"), "profiles", _REASONS["profiles"])
        draft.count = 0


def _order(draft: Draft, service: Section) -> None:
    item = service.take("depends_on")
    if item is None:
        return
    if isinstance(item.value, dict):
        for name, wanted in Section(service.file, item, f"{service.what}.depends_on").sections():
            draft.depends[name] = _UNTIL.get(wanted.word("condition"), "started")
    else:
        for name in service.texts("depends_on") or []:
            draft.depends[name] = "ready"

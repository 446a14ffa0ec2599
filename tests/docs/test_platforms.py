"""The snippets for platforms are ones that the platform reads, and what they say to procman is what procman understands.

The members are those of the platforms' own documentation: a misspelt one is ignored there, or refused only once it is sent.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import written
import yaml
from harness import BIN

GRACE_AS_PID_1 = 25

YAML, TOML = "yml", "toml"
SNIPPETS = [block for block in written.blocks() if block.page == "docs/how-to/platforms.md" and block.language != "sh"]

COMPOSE = {
    "": {"services"},
    "services.*": {
        *("build", "command", "environment", "healthcheck", "image", "ports"),
        *("read_only", "restart", "stop_grace_period", "tmpfs"),
    },
    "services.*.healthcheck": {"test", "interval", "timeout", "retries", "start_period"},
}
PROBE = {"httpGet", "exec", "tcpSocket", "periodSeconds", "timeoutSeconds", "initialDelaySeconds", "failureThreshold"}
KUBERNETES = {
    "": {"apiVersion", "kind", "metadata", "spec"},
    "metadata": {"name", "labels", "namespace"},
    "spec": {"replicas", "selector", "template", "strategy"},
    "spec.template": {"metadata", "spec"},
    "spec.template.spec": {"containers", "terminationGracePeriodSeconds", "volumes", "securityContext"},
    "spec.template.spec.containers.*": {
        *("name", "image", "args", "env", "ports", "readinessProbe", "livenessProbe", "startupProbe"),
        *("lifecycle", "resources", "securityContext", "volumeMounts"),
    },
    "spec.template.spec.containers.*.readinessProbe": PROBE,
    "spec.template.spec.containers.*.livenessProbe": PROBE,
    "spec.template.spec.containers.*.lifecycle": {"preStop", "postStart"},
    "spec.template.spec.containers.*.securityContext": {
        *("runAsNonRoot", "runAsUser", "runAsGroup", "readOnlyRootFilesystem", "privileged"),
        *("allowPrivilegeEscalation", "capabilities", "seccompProfile"),
    },
    "spec.template.spec.containers.*.securityContext.capabilities": {"add", "drop"},
    "spec.template.spec.containers.*.securityContext.seccompProfile": {"type", "localhostProfile"},
    "spec.template.spec.containers.*.lifecycle.preStop": {"exec", "httpGet", "sleep"},
}
KAMAL = {
    "": {"service", "image", "servers", "proxy", "env", "drain_timeout", "deploy_timeout", "registry", "builder"},
    "servers.*": {"hosts", "cmd", "proxy", "options", "env"},
    "proxy": {"app_port", "healthcheck", "host", "ssl"},
    "proxy.healthcheck": {"path", "interval", "timeout"},
    "env": {"clear", "secret"},
}
FLY = {
    "": {"app", "kill_signal", "kill_timeout", "env", "processes", "http_service", "primary_region", "build"},
    "http_service": {"internal_port", "processes", "force_https", "checks"},
}


def read(language: str, text: str) -> dict[str, Any]:
    value = tomllib.loads(text) if language == TOML else yaml.safe_load(text)
    assert isinstance(value, dict)
    return value


def platform(member: str) -> dict[str, Any]:
    """The snippet that has this member at its top."""
    (found,) = [value for block in SNIPPETS if member in (value := read(block.language, block.text))]
    return found


ALL = {
    "compose": (platform("services"), COMPOSE),
    "kubernetes": (platform("apiVersion"), KUBERNETES),
    "kamal": (platform("service"), KAMAL),
    "fly": (platform("app"), FLY),
}


def unknown(value: Any, known: dict[str, set[str]], at: str = "") -> list[str]:
    """The members that no list of names has, each with its path; a `*` stands for any name or number."""
    inner: list[tuple[str, Any]] = (
        [*enumerate(value)] if isinstance(value, list) else [*value.items()] if isinstance(value, dict) else []
    )
    found = [f"{at}.{name}" for name, _ in inner if at in known and name not in known[at]]
    for name, each in inner:
        path = f"{at}.{name}".lstrip(".")
        parent = f"{at}.*".lstrip(".")
        found += unknown(
            each, known, parent if any(key == parent or key.startswith(f"{parent}.") for key in known) else path
        )
    return found


@pytest.mark.parametrize("name", ALL)
def test_it_is_read_and_has_only_members_that_the_platform_knows(name: str) -> None:
    value, known = ALL[name]
    assert unknown(value, known) == []


def test_the_page_has_no_other_snippet() -> None:
    assert len(SNIPPETS) == len(ALL)


def seconds(text: str | int) -> int:
    return int(str(text).removesuffix("s"))


def test_every_platform_waits_longer_than_procmans_grace() -> None:
    compose, kubernetes, kamal, fly = (value for value, _ in ALL.values())
    pod = kubernetes["spec"]["template"]["spec"]
    before = [c["lifecycle"]["preStop"]["sleep"]["seconds"] for c in pod["containers"]]
    waits = [seconds(service["stop_grace_period"]) for service in compose["services"].values()]
    waits += [pod["terminationGracePeriodSeconds"] - max(before), kamal["drain_timeout"], fly["kill_timeout"]]
    assert all(wait > GRACE_AS_PID_1 for wait in waits)
    assert fly["kill_signal"] == "SIGTERM"


def ports_agree(*ports: str | int) -> bool:
    return len({str(port) for port in ports}) == 1


def test_the_port_that_the_platform_asks_for_is_that_of_the_first_type() -> None:
    compose, kubernetes, kamal, fly = (value for value, _ in ALL.values())
    shop, container = compose["services"]["shop"], kubernetes["spec"]["template"]["spec"]["containers"][0]
    assert ports_agree(shop["environment"]["PORT"], *shop["ports"][0].split(":"))
    port, ready = container["ports"][0]["containerPort"], container["readinessProbe"]["httpGet"]["port"]
    assert ports_agree(container["env"][0]["value"], port, ready)
    assert ports_agree(kamal["proxy"]["app_port"], kamal["env"]["clear"]["PORT"])
    assert ports_agree(fly["http_service"]["internal_port"], fly["env"]["PORT"])
    assert set(fly["http_service"]["processes"]) <= set(fly["processes"])


def said_to_procman() -> list[list[str]]:
    """What stands behind the image's entry point, `procman start`."""
    compose, kubernetes, kamal, fly = (value for value, _ in ALL.values())
    words: list[list[str]] = [one["command"] for one in compose["services"].values() if "command" in one]
    words += [one["args"] for one in kubernetes["spec"]["template"]["spec"]["containers"]]
    words += [shlex.split(one["cmd"]) for one in kamal["servers"].values()]
    return words + [shlex.split(one) for one in fly["processes"].values()]


@pytest.mark.parametrize("words", said_to_procman(), ids=" ".join)
def test_procman_understands_what_the_platform_says_to_it(words: list[str], tmp_path: Path) -> None:
    """A formation whose types end at once: what is named starts, and nothing else does."""
    (tmp_path / "Procfile").write_text("web: echo web\nworker: echo worker\n")
    env = {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "TMPDIR": str(tmp_path), "PORT": "8000"}
    done = subprocess.run(
        [BIN, "start", "--log-format", "json", *words],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    said = [json.loads(line)["message"] for line in done.stdout.splitlines()]
    count = int(words[-1].rpartition("=")[2]) if "-m" in words else 1
    assert [text for text in said if text in ("web", "worker")] == [words[0]] * count


def test_the_probes_are_verbs_that_end() -> None:
    compose, kubernetes, _, _ = (value for value, _ in ALL.values())
    alive = kubernetes["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["exec"]["command"]
    assert alive == ["procman", "ps"]
    assert compose["services"]["shop"]["healthcheck"]["test"] == ["CMD", *alive]

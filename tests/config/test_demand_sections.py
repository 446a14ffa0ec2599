"""`autoscale:` and `balancer:` in procman.yml: what reaches the companions, and what is refused, with its line."""

from __future__ import annotations

import pytest
from folders import faults_of, only_fault, write
from msgspec.structs import replace

from procman.app.inputs import with_companions
from procman.app.parts import ReloadInputs
from procman.companions import autoscaler, balancer
from procman.companions.registry import wanted
from procman.config.load import Options, load

QUEUE = "{queue: {redis: $REDIS_URL, celery: celery}, target: 10}"


def test_a_type_without_the_sections_asks_for_no_companion(folder):
    write(folder, yml="processes: {web: {stop: {grace: 1}}}")
    assert wanted(load(Options(), {}), (), {}) == {}


def test_the_autoscaler_is_told_the_settings_and_the_variables_of_their_addresses(folder):
    write(folder, yml=f"processes: {{worker: {{autoscale: {{min: 0, max: 6, idle: 5m, metrics: [{QUEUE}]}}}}}}")
    plan = load(Options(), {"REDIS_URL": "redis://host/1", "OTHER": "x"})
    told = autoscaler.settings(plan)
    assert told is not None
    worker = told.types["worker"]
    assert (worker.settings.min, worker.settings.max, worker.settings.idle) == (0, 6, 300.0)
    assert worker.variables == {"REDIS_URL": "redis://host/1"}
    assert list(wanted(plan, (), {})) == ["@autoscale"]


def test_an_address_can_name_the_port_of_another_type(folder):
    """As the instances find it by themselves: `PROCMAN_PORT_WEB`."""
    queue = QUEUE.replace("$REDIS_URL", '"redis://127.0.0.1:$PROCMAN_PORT_WEB/0"')
    write(folder, yml=f"processes: {{worker: {{autoscale: {{max: 6, metrics: [{queue}]}}}}}}")
    told = autoscaler.settings(load(Options(port=7000), {}))
    assert told is not None
    assert told.types["worker"].variables == {"PROCMAN_PORT_WEB": "7000"}


def test_short_forms_are_read(folder):
    write(folder, yml="processes: {web: {autoscale: 2..6, balancer: run/haproxy.sock}}")
    plan = load(Options(), {})
    scaled, balanced = autoscaler.settings(plan), balancer.settings(plan)
    assert scaled is not None
    assert balanced is not None
    assert (scaled.types["web"].settings.min, scaled.types["web"].settings.max) == (2, 6)
    assert balanced.types["web"].haproxy.socket == "run/haproxy.sock"
    assert list(wanted(plan, (), {})) == ["@autoscale", "@balancer"]


def test_what_a_companion_is_told_is_not_in_its_command_line(folder):
    write(
        folder,
        yml="processes: {web: {autoscale: {max: 3, metrics: [{http: {url: 'http://u:hunter2@h/', json: n}, target: 1}]}}}",
    )
    spec = wanted(load(Options(), {}), (), {})["@autoscale"]
    assert "hunter2" not in spec.command
    assert any("hunter2" in value for value in spec.env.values())


def test_without_a_control_socket_there_is_no_companion(folder):
    write(folder, yml="processes: {web: {autoscale: 2..6}}")
    plan = load(Options(), {})
    inputs = ReloadInputs(options=Options(), environ={}, kept={}, start_dir="", start_fd=-1, root=-1)
    assert list(with_companions(plan, inputs).companions) == ["@autoscale"]
    assert with_companions(plan, replace(inputs, companions=None)).companions == {}


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ("autoscale: 2-6", "autoscale"),
        ("autoscale: {min: 3, max: 2}", "autoscale.min"),
        ("autoscale: {min: 0, max: 2, metrics: [{cpu: 0.7}]}", "autoscale.min"),
        ("autoscale: {max: 2, metrics: [{command: x}]}", "autoscale.metrics[0]"),
        ("balancer: 'a:b'", "balancer"),
        ("balancer: {haproxy: {socket: x, agent: '127.0.0.1:1'}}", "balancer.haproxy"),
        ("balancer: {file: x}", "balancer"),
    ],
)
def test_what_does_not_fit_together_is_refused(folder, section, where):
    write(folder, yml=f"processes:\n  web:\n    {section}\n")
    fault = only_fault()
    assert fault.partition(" ")[2].startswith(f"processes.web.{where}: cannot ")
    assert fault.startswith("procman.yml:3: ")


def test_a_password_is_in_no_fault(folder):
    source = "{redis: [redis://:hunter2@host/0], celery: c}"
    write(folder, yml=f"processes: {{web: {{autoscale: {{max: 2, metrics: [{{queue: {source}, target: 1}}]}}}}}}")
    assert "hunter2" not in str(faults_of())

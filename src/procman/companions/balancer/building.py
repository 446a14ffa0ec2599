"""The settings of a type -> the target that is told of its instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from procman.companions.balancer.agent import AgentServer
from procman.companions.balancer.haproxy import CALM, HaproxyBackend, StepResult
from procman.companions.balancer.planning import BackendSpec
from procman.companions.balancer.runtime import Runtime
from procman.companions.balancer.template import JinjaTemplate, TemplateFile
from procman.core.balancer_settings import Balancer, HaproxyBalancer, host_and_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procman.companions.balancer.fleet import BalancedInstance
    from procman.companions.balancer.loop import BalancerTarget


class AgentTarget:
    """Instances whose servers ask how they are. Holds no stop: it is not told when nothing is in use any more."""

    def __init__(self, host: str, port: int) -> None:
        self._agent = AgentServer(host, port)

    def step(self, instances: Sequence[BalancedInstance], now: float) -> StepResult:
        del now
        self._agent.instances = tuple(instances)
        return StepResult(again_in=CALM)


def target_of(type_name: str, settings: Balancer) -> BalancerTarget:
    """For settings in which `faults_of` has found nothing; paths are relative to the current folder, the root.

    Raises ConfigError for a template that is none, ProcmanError for a port that is taken.
    """
    haproxy = settings.haproxy
    if not isinstance(haproxy, HaproxyBalancer):
        template = JinjaTemplate(_given(settings.template))
        return TemplateFile(type_name, template, _given(settings.file), _given(settings.reload), settings.gather)
    if haproxy.agent is not UNSET:
        place = host_and_port(haproxy.agent)
        assert place is not None
        return AgentTarget(*place)
    backend = BackendSpec(
        name=_given(haproxy.backend) or type_name,
        type=type_name,
        prefix=_given(haproxy.slots) or type_name,
        options=haproxy.options,
    )
    runtime = Runtime(_given(haproxy.socket))
    return HaproxyBackend(backend, runtime, settings.drain, file=_given(haproxy.file), section=haproxy.section)


def _given(text: str | UnsetType) -> str:
    return "" if text is UNSET else text

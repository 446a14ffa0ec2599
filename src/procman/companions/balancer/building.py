"""Turns the settings of a type into the target that is kept in step with its instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from procman.companions.balancer.agent import AgentTarget
from procman.companions.balancer.haproxy import HaproxyBackend
from procman.companions.balancer.planning import BackendSpec
from procman.companions.balancer.runtime import Runtime
from procman.companions.balancer.template import FileOutput, JinjaTemplate, TemplateFile
from procman.core.balancer_settings import Balancer, HaproxyBalancer, host_and_port

if TYPE_CHECKING:
    from procman.companions.balancer.loop import BalancerTarget


def target_of(type_name: str, settings: Balancer) -> BalancerTarget:
    """The target for settings that `faults_of` has accepted. Paths are relative to the current folder, the root. Raises
    ConfigError for an invalid template.
    """
    haproxy = settings.haproxy
    if not isinstance(haproxy, HaproxyBalancer):
        template = JinjaTemplate(_given(settings.template))
        output = FileOutput(
            path=_given(settings.file), reload=_given(settings.reload), gather=settings.gather, drain=settings.drain
        )
        return TemplateFile(type_name, template, output)
    if haproxy.agent is not UNSET:
        place = host_and_port(haproxy.agent)
        assert place is not None
        return AgentTarget(*place)
    backend = BackendSpec(
        name=_given(haproxy.backend) or type_name,
        type=type_name,
        prefix=_given(haproxy.slots) or type_name,
        options=haproxy.options,
        file=_given(haproxy.file),
        section=haproxy.section,
    )
    return HaproxyBackend(backend, Runtime(_given(haproxy.socket)), settings.drain)


def _given(text: str | UnsetType) -> str:
    return "" if text is UNSET else text

"""procman's own lines: how they stand beside the others', and where they can be read later."""

from __future__ import annotations

from harness import World

IDLE = "echo up; exec sleep 1000"


def test_names_are_padded_to_those_that_run(world: World) -> None:
    world.procfile(web=IDLE, a_type_with_a_very_long_name=IDLE)
    supervisor = world.start("web", "--no-timestamps")
    supervisor.expect("^web.1  \\| up$")
    world.run("scale", "a_type_with_a_very_long_name=1")
    supervisor.expect("^a_type_with_a_very_long_name.1 \\| up$")

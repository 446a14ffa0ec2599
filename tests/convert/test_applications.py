"""What `procman init` finds in folders as the frameworks make them."""

from __future__ import annotations

import pytest
from applications import APPLICATIONS

from procman.convert.folder import READ, Folder
from procman.convert.inspection import inspect


@pytest.mark.parametrize("application", APPLICATIONS.values(), ids=APPLICATIONS)
def test_an_application_gets_the_types_that_it_has(application):
    written = application.texts
    read = {path: text for path, text in written.items() if READ.fullmatch(path)}
    found = inspect(Folder(frozenset(written), read)).converted.types
    assert {made.name: made.command for made in found} == application.commands
    settings = {made.name: made.settings for made in found}
    assert {name: settings[name] for name in application.settings} == application.settings


def test_where_nothing_is_found_a_file_that_can_be_converted_is_named():
    compose = "services:\n  web: {build: .}\n"
    found = inspect(Folder(frozenset({"docker-compose.yml", "Dockerfile"}), {"docker-compose.yml": compose}))
    assert found.converted.types == ()
    assert any("`procman init --from docker-compose.yml` converts it" in hint for hint in found.hints)

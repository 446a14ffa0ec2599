"""Procman in the process of another program: what it imports leaves that program's libraries as they are.

The command line loads msgspec in parts, in a process of its own; the library and the plug-in must not.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

USE = """
{before}
import procman.library, procman.pytest_plugin, procman.control.client
{after}
import dataclasses, datetime, decimal, uuid
import msgspec, typing_extensions

@dataclasses.dataclass
class Order:
    id: uuid.UUID
    price: decimal.Decimal
    at: datetime.datetime

class Struct(msgspec.Struct):
    id: uuid.UUID
    price: decimal.Decimal

class Extended(typing_extensions.TypedDict, total=False):
    id: typing_extensions.Required[uuid.UUID]

id, price, at = uuid.uuid4(), decimal.Decimal("1.50"), datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
for value, of in [(Order(id, price, at), Order), (Struct(id, price), Struct), ({{"id": id}}, Extended), (id, uuid.UUID), (price, decimal.Decimal)]:
    for form in (msgspec.json, msgspec.msgpack):
        assert form.decode(form.encode(value), type=of) == value, (form, value)
assert msgspec.json.schema(Order)["$defs"]["Order"]["properties"]["id"]["format"] == "uuid"
assert "procman.cli" not in __import__("sys").modules
print("as ever")
"""


@pytest.mark.parametrize(("before", "after"), [("", ""), ("import msgspec", ""), ("", "import msgspec.inspect")])
def test_another_programs_msgspec_encodes_whatever_it_can(before: str, after: str) -> None:
    code = USE.format(before=before, after=after)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("as ever\n", "")

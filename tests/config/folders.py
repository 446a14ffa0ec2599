"""Writes an application's inputs and tells what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import procman.config
from procman.config.load import Options, load
from procman.errors import ConfigError

SCHEMA = json.loads(Path(procman.config.__file__).with_name("procman.schema.json").read_text(encoding="utf-8"))
"""The JSON Schema of procman.yml that is installed."""


def write(folder, **files):
    """Files by name; `env` and `yml` are .env and procman.yml."""
    for name, content in files.items():
        path = folder / {"env": ".env", "yml": "procman.yml"}.get(name, name)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def faults_of(options=None, environ=None, **more):
    with pytest.raises(ConfigError) as caught:
        load(options or Options(), environ or {}, **more)
    return [str(fault) for fault in caught.value.faults]


def only_fault(options=None, environ=None, **more):
    (fault,) = faults_of(options, environ, **more)
    return fault

"""Addresses that may hold a password, and never show it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.core.addresses import Address, expanded, masked

REDIS = ("redis", "unix")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:geheim@host/0", "redis://host/0"),
        ("redis://user:geheim@[::1]:6379/0?x=geheim", "redis://[::1]:6379/0"),
        ("redis://geheim@host", "redis://host"),
        ("unix:///run/redis.sock?password=geheim", "unix:///run/redis.sock"),
    ],
)
def test_what_is_shown_holds_no_password(url, shown):
    address = Address(url, REDIS)
    assert address.shown == shown
    assert masked(url) == shown
    assert address.url == url
    assert "geheim" not in repr(address)


@pytest.mark.parametrize(
    "url", ["", "x", "http://host", "redis://", "redis://u:geheim@h:geheim/0", "redis://[geheim", "redis://ge heim@h\n"]
)
def test_what_is_no_address_is_refused_without_its_text(url):
    with pytest.raises(ValueError, match="expected a URL") as caught:
        Address(url, REDIS)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("text", ["wrong geheim%21 given", "no geheim!", "redis://u:geheim%21@host/0 is down\nreally"])
def test_a_librarys_message_is_scrubbed(text):
    scrubbed = Address("redis://u:geheim%21@host/0", REDIS).scrub(text)
    assert "geheim" not in scrubbed
    assert scrubbed.isprintable()


@given(st.text(max_size=60))
def test_only_value_errors_come_out_of_any_text(text):
    assert isinstance(masked(text), str)
    assert isinstance(masked(f"redis://{text}"), str)


def test_variables_are_put_in():
    assert expanded("redis://:${PASSWORD}@$HOST/0", {"PASSWORD": "a$b", "HOST": "h"}) == "redis://:a$b@h/0"
    assert expanded("5 $ and $5", {}) == "5 $ and $5"
    with pytest.raises(KeyError):
        expanded("$NOBODY", {})

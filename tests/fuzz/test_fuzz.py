"""Each reader of foreign bytes against what Hypothesis makes of valid inputs and of nothing: bounded, for every run."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seeds import SEEDS
from targets import TARGETS, checked


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with a few pieces replaced, doubled, swapped or left out."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(data)))
        end = draw(st.integers(begin, min(len(data), begin + 20)))
        piece = draw(
            st.one_of(
                st.binary(max_size=8),
                st.text(max_size=6).map(lambda text: text.encode(errors="surrogatepass")),
                st.integers(-(2**70), 2**70).map(lambda number: str(number).encode()),
                st.integers(4295, 4301).map(lambda digits: b"9" * digits),
                st.just(data[begin:end] * 3),
                st.sampled_from(
                    [
                        b"\x1b[",
                        b"\n",
                        b"\r",
                        b"\0",
                        b'"',
                        b"'",
                        b"${",
                        b"}",
                        b"[",
                        b"*",
                        b"\xc2\x9b",
                        b": ",
                        b"=",
                        b"null",
                        b"1e999",
                        b"-0.0",
                        b"\\ud800",
                    ]
                ),
            )
        )
        data = data[:begin] + piece + data[end:]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_only_the_documented_errors_come_out(name: str) -> None:
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.one_of(mutated(SEEDS[name]), st.binary(max_size=100)))
    def holds(data: bytes) -> None:
        checked(name, data)

    holds()


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_taken(name: str) -> None:
    for seed in SEEDS[name]:
        checked(name, seed)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize(
    "piece", [b"[", b"*", b"{", b'"', b"'", b"${A", b"\x1b", b"\x1b]", b"\xc2", b"a=", b"\\", b"- ", b"? ", b'{"x":[']
)
def test_nothing_takes_long_on_sixty_kilobytes_of_one_thing(name: str, piece: bytes) -> None:
    """The length of the longest request."""
    checked(name, piece * (60_000 // len(piece)))

"""Medians, what is wanted of them, and the comparison of two versions."""

from __future__ import annotations

from tally import Claim, Experiment, Figure, Result, claims, compared, markdown, ratio, table, to_best

WANTED = (
    Claim("at most 2 x the floor", ratio("procman", "floor", "line"), 2),
    Claim("ahead of the peers", to_best("line", ("honcho", "foreman")), 1),
)
ROW = Experiment("start", "first line", (Figure("line", "ms"),), lambda _: {}, WANTED)


def result(**lines: list[float]) -> Result:
    return Result(ROW, {name: {"line": samples} for name, samples in lines.items()}, {})


def told(**lines: list[float]) -> list[bool | None]:
    return [claim["reached"] for claim in claims(result(**lines))]


def test_a_claim_is_about_medians() -> None:
    assert told(procman=[1, 19, 100], floor=[10, 10, 10]) == [True, None]
    assert told(procman=[1, 21, 100], floor=[10, 10, 10]) == [False, None]


def test_the_best_peer_of_those_that_were_measured_counts() -> None:
    assert told(procman=[10], floor=[9], honcho=[20], foreman=[9]) == [True, False]
    assert told(procman=[10], floor=[9], honcho=[20]) == [True, True]


def test_the_table_has_the_spread_and_says_who_was_not_measured() -> None:
    text = table(result(procman=[1, 2, 4])._replace(notes={"nf": "did not end"}))
    assert "2.0 [1.0 4.0]" in text
    assert "nf" in text
    assert "did not end" in text


def test_versions_differ_where_their_ranges_do_not_touch() -> None:
    def run(*samples: float) -> dict[str, object]:
        return {"experiments": {"start": {"samples": {"procman": {"line": list(samples)}}}}}

    assert compared(run(10, 11, 12), run(5, 5.5, 6)).splitlines()[1].split() == [
        *("start", "procman", "line"),
        *("11", "5.5", "0.500", "differs"),
    ]
    assert "differs" not in compared(run(10, 11, 12), run(9, 10.5, 11))


def test_a_run_as_markdown_has_a_row_for_each_entrant() -> None:
    value = {
        "experiments": {
            "start": {
                "about": "first line",
                "units": {"line": "ms"},
                "samples": {"procman": {"line": [1, 2, 4]}},
                "notes": {"nf": "did not end"},
                "claims": claims(result(procman=[1, 2, 4], floor=[1])),
            }
        }
    }
    lines = markdown(value).splitlines()
    assert "| procman | 2 |" in lines
    assert "| nf | did not end |" in lines
    assert "* reached: at most 2 x the floor (2)" in lines

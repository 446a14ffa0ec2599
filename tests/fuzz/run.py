"""Fuzz one target for a while: `python tests/fuzz/run.py TARGET [SECONDS]` (`pip install -e '.[fuzz]'` installs atheris).

Coverage leads the way: atheris instruments procman, PyYAML and python-dotenv, begins with the seeds, and keeps what finds new code
in tests/fuzz/corpus/TARGET. What fails is written beside it as `crash-…`; `python tests/fuzz/run.py TARGET FILE` runs it again.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(target: str, argument: str = "60") -> None:
    try:
        import atheris
    except ModuleNotFoundError:
        sys.exit(
            "atheris is not installed: pip install -e '.[fuzz]' (Linux, CPython up to what atheris has wheels for)"
        )
    with atheris.instrument_imports(include=["procman", "yaml", "dotenv"]):
        from seeds import SEEDS
        from targets import checked
    if not argument.isdecimal():
        checked(target, Path(argument).read_bytes())
        return
    corpus = HERE / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[target]):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={argument}",
        "-max_len=4096",
        "-timeout=20",
        f"-artifact_prefix={corpus.parent}/{target}-",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: checked(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])

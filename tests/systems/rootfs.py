"""The file system of a container: Python, a shell, procman as pip installs it, and the example's files. No registry is asked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from system import EXAMPLES, SLOW

PROJECT = EXAMPLES.parents[1]
LEFT_OUT = shutil.ignore_patterns(
    "test", "tests", "site-packages", "dist-packages", "idlelib", "tkinter", "config-*", "__pycache__"
)
SCRIPT = "import sys\nfrom procman.cli import main\nsys.exit(main())\n"


def build(root: Path) -> None:
    """What the example's Dockerfile makes of `python:slim`, of this machine's own Python."""
    python = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    standard, packages = asked(python, "import os, site; print(os.__file__); print(site.getsitepackages()[0])")
    _put(root, python)
    shutil.copytree(Path(standard).parent, root / Path(standard).parent.relative_to("/"), ignore=LEFT_OUT)
    target = root / Path(packages).relative_to("/")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-cache-dir", "--target", str(target), str(PROJECT)]
    subprocess.run(pip, check=True, timeout=2 * SLOW)
    _put(root, Path("/bin/sh"))
    _libraries(root)
    commands = root / "usr/local/bin"
    commands.mkdir(parents=True, exist_ok=True)
    if not (commands / "python3").exists():
        (commands / "python3").symlink_to(python)
    (commands / "procman").write_text(f"#!/usr/local/bin/python3\n{SCRIPT}")
    (commands / "procman").chmod(0o755)
    shutil.copytree(EXAMPLES / "container", root / "app", ignore=shutil.ignore_patterns("Dockerfile", "README.md"))
    for folder in ("proc", "dev", "tmp", "etc"):
        (root / folder).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")


def asked(python: Path, question: str) -> list[str]:
    return subprocess.run(
        [python, "-c", question], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()


def _libraries(root: Path) -> None:
    """The shared libraries of everything that is there, and the loader (ldd(1))."""
    binaries = [str(path) for path in root.rglob("*") if path.suffix == ".so" or "/bin/" in str(path)]
    told = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False, timeout=SLOW).stdout
    for library in sorted(set(re.findall(r"(/\S+\.so[.\d]*)\b", told))):
        if not library.startswith(str(root)):
            _put(root, Path(library))


def _put(root: Path, path: Path) -> None:
    """A copy under the same name; where that is a link, of what it leads to."""
    there = root / path.relative_to("/")
    there.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, there)


def dockerfile(base: str) -> str:
    """The example's own, upon another base, in which procman is installed already."""
    text = (EXAMPLES / "container" / "Dockerfile").read_text()
    text = re.sub(r"^FROM .*$", f"FROM {base}", text, flags=re.MULTILINE)
    return re.sub(r"^(?:COPY --from|RUN pip)\b.*\n", "", text, flags=re.MULTILINE)


BARE = """\
import glob, os, shutil
for path in [*glob.glob("{packages}/procman*"), "/usr/local/bin/procman"]:
    shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
with open("/usr/local/bin/pip", "w") as file:
    file.write("#!/usr/local/bin/python3\\nfrom pip._internal.cli.main import main\\nraise SystemExit(main())\\n")
os.chmod("/usr/local/bin/pip", 0o755)
"""


def packages_of(python: str) -> str:
    return asked(Path(python), "import sysconfig; print(sysconfig.get_path('purelib'))")[0]


def bare_dockerfile(base: str) -> str:
    """`base` with pip and the packages that procman needs, and without procman."""
    python = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    packages = asked(python, "import site; print(site.getsitepackages()[0])")[0]
    program = json.dumps(["python3", "-c", BARE.format(packages=packages)])
    path = f"{sys.base_prefix}/bin:/usr/local/bin:/usr/bin:/bin"
    return f"FROM {base}\nCOPY pip {packages}/pip\nRUN {program}\nENV PIP_NO_INDEX=1 PATH={path}\n"

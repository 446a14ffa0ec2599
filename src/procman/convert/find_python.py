"""Django, Flask, FastAPI and their workers, by the dependencies and the sources. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from procman.convert.folder import Finds, Folder, module_of

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_SETTINGS = re.compile(r"DJANGO_SETTINGS_MODULE['\"]\s*,\s*['\"]([\w.]+)\.settings")
_APPS = {
    "fastapi": re.compile(r"^(\w+)\s*(?::[^=\n]+)?=\s*(?:FastAPI|Starlette|Litestar|Quart)\(", re.MULTILINE),
    "flask": re.compile(r"^(\w+)\s*(?::[^=\n]+)?=\s*Flask\(", re.MULTILINE),
    "celery": re.compile(r"^(\w+)\s*(?::[^=\n]+)?=\s*Celery\(", re.MULTILINE),
}
_FACTORY = re.compile(r"^def (create_app|make_app)\(", re.MULTILINE)
_RUNNERS = (
    ("uv.lock", "uv run "),
    ("poetry.lock", "poetry run "),
    ("Pipfile", "pipenv run "),
    ("pdm.lock", "pdm run "),
)


def find(finds: Finds) -> None:
    folder = finds.folder
    needed = requirements(folder)
    runner = next((command for file, command in _RUNNERS if folder.has(file)), "")
    project = ""
    if folder.has("manage.py"):
        project = _django(finds, needed, runner)
    else:
        _application(finds, needed, runner)
    _workers(finds, needed, runner, project)


def requirements(folder: Folder) -> set[str]:
    """The names in requirements files, pyproject.toml and Pipfile, as PyPI normalizes them."""
    names: set[str] = set()
    for path, text in folder.texts.items():
        if "/" in path and not path.startswith(("requirements/", "reqs/")):
            continue
        if path.endswith(".txt"):
            lines = [line for line in text.splitlines() if not line.lstrip().startswith(("#", "-"))]
            names |= {match[1] for line in lines if (match := _REQUIREMENT.match(line))}
        elif path in ("pyproject.toml", "Pipfile"):
            names |= set(_toml_names(text))
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def _toml_names(text: str) -> Iterator[str]:
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    project = data.get("project")
    listed: list[object] = []
    if isinstance(project, dict):
        listed.append(project.get("dependencies"))
        optional = project.get("optional-dependencies")
        listed += list(optional.values()) if isinstance(optional, dict) else []
    groups = data.get("dependency-groups")
    listed += list(groups.values()) if isinstance(groups, dict) else []
    for names in listed:
        for one in names if isinstance(names, list) else []:
            match = _REQUIREMENT.match(one) if isinstance(one, str) else None
            if match:
                yield match[1]
    tool = data.get("tool")
    poetry = tool.get("poetry") if isinstance(tool, dict) else None
    for table in (poetry.get("dependencies") if isinstance(poetry, dict) else None, data.get("packages")):
        yield from table if isinstance(table, dict) else ()


def _django(finds: Finds, needed: set[str], runner: str) -> str:
    """The project's module, "" if it cannot be determined."""
    folder = finds.folder
    finds.say("Django (manage.py)")
    match = _SETTINGS.search(folder.text("manage.py"))
    wsgi = [path for path in folder.named("wsgi.py") if "/" in path]
    project = match[1] if match else module_of(wsgi[0]).removesuffix(".wsgi") if wsgi else ""
    project = project.removesuffix(".config") if not wsgi else module_of(wsgi[0]).removesuffix(".wsgi")
    asgi = bool(folder.named("asgi.py")) and bool(needed & {"channels", "daphne"})
    if project and asgi and "daphne" in needed:
        finds.add("web", f"{runner}daphne -b 0.0.0.0 -p $PORT {project}.asgi:application", serves=True)
    elif project and "gunicorn" in needed and wsgi:
        finds.add("web", f"{runner}gunicorn {project}.wsgi --bind 0.0.0.0:$PORT", serves=True)
    elif project and "uvicorn" in needed and folder.named("asgi.py"):
        finds.add("web", f"{runner}uvicorn {project}.asgi:application --host 0.0.0.0 --port $PORT", serves=True)
    else:
        finds.add("web", f"{runner}python manage.py runserver 0.0.0.0:$PORT", serves=True)
    finds.add("release", f"{runner}python manage.py migrate")
    return project


def _application(finds: Finds, needed: set[str], runner: str) -> None:
    """FastAPI (and similar) before Flask: where both are required, the first is the newer."""
    folder = finds.folder
    for kind in ("fastapi", "flask"):
        if not needed & ({"fastapi", "starlette", "litestar", "quart"} if kind == "fastapi" else {"flask"}):
            continue
        module, name = _defined(folder, kind)
        if not module:
            finds.hint(f"{kind} is a dependency, but no module has an application: write its line into the Procfile")
            continue
        finds.say(f"{'FastAPI or similar' if kind == 'fastapi' else 'Flask'} ({module})")
        if kind == "fastapi":
            factory = " --factory" if name.endswith("()") else ""
            command = f"uvicorn {module}:{name.removesuffix('()')}{factory} --host 0.0.0.0 --port $PORT"
        elif "gunicorn" in needed:
            target = f"'{module}:{name}'" if name.endswith("()") else f"{module}:{name}"
            command = f"gunicorn {target} --bind 0.0.0.0:$PORT"
        else:
            command = f"flask --app {module} run --host 0.0.0.0 --port $PORT"
        finds.add("web", runner + command, serves=True, otherwise="api")
        return
    script = next((path for path in ("app.py", "streamlit_app.py", "main.py") if folder.has(path)), "")
    if script and "streamlit" in needed:
        finds.say(f"Streamlit ({script})")
        finds.add("web", f"{runner}streamlit run {script} --server.port $PORT --server.headless true", serves=True)
    elif folder.has("main.py") and "__main__" in folder.text("main.py") and not _has_workers(needed):
        finds.say("Python (main.py)")
        finds.add("app", f"{runner}python main.py")


def _has_workers(needed: set[str]) -> bool:
    return bool(needed & {"celery", "rq", "arq", "dramatiq", "huey"})


def _defined(folder: Folder, kind: str) -> tuple[str, str]:
    """(module, name) of the application's object, `create_app()` for a factory; ("", "") where there is none."""
    sources = sorted((path for path in folder.texts if path.endswith(".py")), key=lambda path: (path.count("/"), path))
    for path in sources:
        match = _APPS[kind].search(folder.text(path))
        if match:
            return module_of(path), match[1]
    for path in sources if kind != "celery" else []:
        match = _FACTORY.search(folder.text(path))
        if match:
            return module_of(path), f"{match[1]}()"
    return "", ""


def _workers(finds: Finds, needed: set[str], runner: str, project: str) -> None:
    folder = finds.folder
    if "celery" in needed:
        module = _defined(folder, "celery")[0]
        app = project if project and module in ("", f"{project}.celery") else module
        if app:
            finds.say(f"Celery ({app})")
            finds.add("worker", f'{runner}celery -A {app} worker -n "$PS@%h" --loglevel info')
            if "django-celery-beat" in needed or any("beat_schedule" in text.lower() for text in folder.texts.values()):
                finds.add("beat", f"{runner}celery -A {app} beat --loglevel info")
            if "flower" in needed:
                finds.add("flower", f"{runner}celery -A {app} flower --port=$PORT", serves=True)
        else:
            finds.hint("celery is a dependency, but no module has a Celery(…): write its line into the Procfile")
    elif "django-rq" in needed:
        finds.say("django-rq (requirements)")
        finds.add("worker", f"{runner}python manage.py rqworker default")
    elif "rq" in needed:
        finds.say("RQ (requirements)")
        finds.add("worker", f"{runner}rq worker")
    elif "arq" in needed and (module := _worker_settings(folder)):
        finds.say(f"arq ({module})")
        finds.add("worker", f"{runner}arq {module}.WorkerSettings")
    elif "django-dramatiq" in needed or ("huey" in needed and project):
        command = "rundramatiq" if "django-dramatiq" in needed else "run_huey"
        finds.say(f"{command.removeprefix('run').strip('_').capitalize()} (requirements)")
        finds.add("worker", f"{runner}python manage.py {command}")
    elif "dramatiq" in needed:
        finds.hint("dramatiq is a dependency: write `worker: dramatiq MODULE` into the Procfile")


def _worker_settings(folder: Folder) -> str:
    """The module with arq's WorkerSettings, "" if there is none."""
    found = [path for path, text in folder.texts.items() if path.endswith(".py") and "class WorkerSettings" in text]
    return module_of(min(found, key=len)) if found else ""

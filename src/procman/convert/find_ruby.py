"""Rails, Rack and their workers, by the Gemfile. Pure."""

from __future__ import annotations

import re

from procman.convert import find_node
from procman.convert.folder import Finds

_GEM = re.compile(r"^\s*gem\s*\(?\s*['\"]([\w-]+)['\"]", re.MULTILINE)
_WORKERS = (
    ("sidekiq", "bundle exec sidekiq"),
    ("solid_queue", "bin/jobs"),
    ("good_job", "bundle exec good_job start"),
    ("resque", "bundle exec rake resque:work"),
    ("delayed_job", "bundle exec rake jobs:work"),
    ("delayed_job_active_record", "bundle exec rake jobs:work"),
)

_WEBPACK = ("bin/shakapacker-dev-server", "bin/webpacker-dev-server", "bin/webpack-dev-server")


def find(finds: Finds) -> None:
    folder = finds.folder
    gems = set(_GEM.findall(folder.text("Gemfile")))
    rails = "rails" in gems or folder.has("bin/rails")
    if rails:
        finds.say("Rails (Gemfile)" if "rails" in gems else "Rails (bin/rails)")
        puma = folder.has("config/puma.rb")
        web = "bundle exec puma -C config/puma.rb" if puma else "bin/rails server -p $PORT -b 0.0.0.0"
        finds.add("web", web, serves=True)
    elif folder.has("config.ru"):
        finds.say("Rack (config.ru)")
        server = "puma -b tcp://0.0.0.0:$PORT" if "puma" in gems else "rackup -o 0.0.0.0 -p $PORT"
        finds.add("web", f"bundle exec {server}", serves=True)
    elif "sinatra" in gems and folder.has("app.rb"):
        finds.say("Sinatra (app.rb)")
        finds.add("web", "bundle exec ruby app.rb -o 0.0.0.0 -p $PORT", serves=True)
    elif "jekyll" in gems:
        finds.say("Jekyll (Gemfile)")
        finds.add("web", "bundle exec jekyll serve --host 0.0.0.0 --port $PORT", serves=True)
    for gem, command in _WORKERS:
        if gem in gems and "worker" not in finds:
            finds.say(f"{gem} (Gemfile)")
            finds.add("worker", command)
    if rails:
        find_node.workspaces(finds)
        _assets(finds, gems)
        finds.add("release", "bundle exec rails db:migrate")


def _assets(finds: Finds, gems: set[str]) -> None:
    """What bin/dev runs beside the server (jsbundling-rails, cssbundling-rails, tailwindcss-rails, vite_rails)."""
    scripts = finds.folder.json("package.json").get("scripts")
    scripts = scripts if isinstance(scripts, dict) else {}
    tool = next(
        (name for name, lock in (("bun", "bun.lock"), ("npm run", "package-lock.json")) if finds.folder.has(lock)),
        "yarn",
    )
    dashes = " --" if tool == "npm run" else ""
    if "jsbundling-rails" in gems and "build" in scripts:
        finds.add("js", f"{tool} build{dashes} --watch")
    if "cssbundling-rails" in gems and "build:css" in scripts:
        finds.add("css", f"{tool} build:css{dashes} --watch")
    elif "tailwindcss-rails" in gems:
        finds.add("css", "bin/rails tailwindcss:watch")
    if gems & {"vite_rails", "vite_ruby"}:
        finds.add("vite", "bin/vite dev")
    server = next((one for one in _WEBPACK if finds.folder.has(one)), "")
    if server:
        finds.add("webpack", server)

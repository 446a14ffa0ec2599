"""The words of foreman, honcho, overmind, supervisorctl, PM2, Docker Compose, kubectl and systemctl, and what procman has
in their place.

Only tables: `advice` chooses the row and inserts the words that were typed. `{}` stands for the names after the verb,
`{=0}` and `{+1}` for a change of the count of each.
"""

from __future__ import annotations

from procman.text.shell import SHELLS


def _by_word(rows: dict[str, str]) -> dict[str, str]:
    """The table with a row for each word, of one whose rows have several words with commas."""
    return {word: text for words, text in rows.items() for word in words.split(", ")}


READINESS = "`procman ps{}` shows the phase; `procman wait{}` ends with 0 once it is ready"
ALL_OF_IT = "`procman why{}` says what an instance waits for and what comes next; `procman ps --json{}` has all of it"
AGAIN = "`procman restart{}` restarts instances, and starts those that have failed or were stopped"

_SYNONYMS = {
    "status, stat, stats, state, list, ls, get, list-units, prettylist, show": "`procman ps{}` lists the instances",
    "jlist": "`procman ps --json{}` lists the instances",
    "get events": "`procman events` shows every change",
    "is-active, is-failed, is-running, health, healthcheck, rollout status": READINESS,
    "ping": "`procman ps` ends with 0 where procman runs, with 3 where it does not",
    "rollout restart, rollout": "`procman restart{}` replaces a few instances at a time, each once the previous one is ready",
    "rollout undo": "put the older files back: `procman reload` applies them",
    "apply, edit, set, patch": "edit the Procfile and procman.yml: `procman reload` applies what has changed",
    "deploy": "`procman reload` applies a new version of the files; `procman restart{}` replaces the instances",
    "cat": "`procman check` prints the command of each type",
    "up": "`procman start{}` runs what the Procfile says, with --detach in the background",
    "serve, supervise": "`procman start{}` runs the formation",
    "startall": "`procman start` runs the formation",
    "drain": "`procman stop{}` takes instances out of rotation, waits for their requests, and stops them",
    "stopall": "`procman stop --all` stops all instances",
    "restartall": "`procman restart` restarts all instances",
    "terminate": "`procman stop{}` stops instances",
    "down, end": "`procman shutdown` stops everything and ends procman; `procman stop NAME` stops instances",
    "quit, exit, halt": "`procman shutdown` stops everything and ends procman",
    "kill": "`procman stop{}` stops instances; `procman signal KILL NAME` sends a signal",
    "interrupt": "`procman stop{}` stops instances; `procman signal INT NAME` sends a signal",
    "tail, echo": "`procman logs -f{}` follows the output",
    "log, journal, journalctl, output": "`procman logs{}` shows the output",
    "history": "`procman logs system` shows what procman has done",
    "connect, console, fg": "`procman attach{}` connects the keyboard to an instance",
    "maintail": "`procman logs system` shows procman's own lines, `procman logs -f` follows all output",
    "exec": "`procman run{}` runs a one-off command in the application's environment",
    "shell, sh": "`procman run sh` runs a shell in the application's environment",
    "bash": "`procman run bash` runs a shell in the application's environment",
    "env": "`procman run env` prints the application's environment",
    "version": "`procman --version` prints it",
    "update": "`procman reload` reads the Procfile again; `procman upgrade` replaces procman itself",
    "daemon-reload, force-reload, refresh, reread": "`procman reload` reads the Procfile again",
    "validate, lint": "`procman check{}` checks the Procfile",
    "config, configtest": "`procman check{}` prints the types and what is wrong",
    "test": "`procman check` checks the files; `procman start -- COMMAND` runs tests against the formation",
    "monit, monitor, tui, ui, dashboard": "`procman top` is a live screen",
    "metrics": "`procman ps --json{}` has CPU, memory, restarts and exits; `procman top` shows them",
    "watch": "`procman ps --watch` shows the table in place; `procman start --watch` restarts what has changed",
    "delete, remove, rm, del, mask": "`procman scale{=0}` removes the instances of a type",
    "add": "`procman scale{+1}` adds an instance of a type",
    "import, convert": "`procman init --from FILE` makes a Procfile of another supervisor's file",
    "new, create, generate, ecosystem, setup": "`procman init` writes a Procfile for the folder",
    "export": "there is no export yet; a unit of systemd runs `procman start` (docs/how-to/systemd.md)",
    "startup, install, enable, disable": "systemd starts it at boot: a unit for `procman start` is in docs/how-to/systemd.md",
    "save, dump": "write the counts into `formation:` of procman.yml: `procman scale` prints them",
    "pid": "`procman ps{}` lists the instances with their pids",
    "port, open": "`procman ps{}` lists the instances with their ports",
    "describe, info, inspect, explain, desc, details": ALL_OF_IT,
    "avail": "`procman check` lists the types of the Procfile",
    "doctor": "`procman check` checks the Procfile, and says what the machine lacks",
    "clear, flush": "procman rotates its log files itself (`--log-max-bytes`); `procman logs -f -n 0` shows only what is new",
    "rotate, reloadlogs": "procman rotates log files by size; `procman signal USR1 --self` opens them again after logrotate",
    "pause": "`procman stop{}` stops instances, `procman restart{}` starts them again",
    "reset-failed, try-restart, reload-or-restart, bounce, respawn": AGAIN,
    "resume, unpause": "`procman restart{}` starts instances that were stopped",
    "completion": 'for bash: eval "$(_PROCMAN_COMPLETE=bash_source procman)"; zsh and fish are in docs/reference/cli.md',
    "sendsignal": "`procman signal{}` sends a signal",
    "resurrect": "`procman start{}` runs the formation again, `keep_counts: true` in procman.yml with the counts that it had",
    "prune": "`procman shutdown` leaves nothing behind that has to be removed",
    "pull, push, images": "procman has no images: `procman check` lists the commands that it runs",
    "build": "procman builds nothing: `procman run COMMAND` runs a command in the application's environment",
}
SYNONYMS = _by_word(_SYNONYMS)
"""Verbs of one word, or of two. No verb of procman is among them."""

SHORT = {
    "s": SYNONYMS["up"],
    "r": "`procman restart{}` restarts instances",
    "i": SYNONYMS["interrupt"],
    "c": SYNONYMS["connect"],
    "q": SYNONYMS["quit"],
    "k": SYNONYMS["kill"],
    "e": SYNONYMS["exec"],
    "l": SYNONYMS["list"],
}
"""Verbs of one letter, as overmind and PM2 have them. A typing error is never read as one of these."""

FOLLOW = ("-f", "-F", "--follow", "-fu")
HARMLESS = ("-it", "-ti", "-i", "-t", "-d", "-u", "--detach", "--unit", "--now", "--build", "--force")
"""Options after an unknown verb that change nothing in the hint; with any other option the words are not taken for names."""

KINDS = ("pod", "pods", "po", "deployment", "deployments", "deploy", "service", "services", "svc", "unit", "process")
"""Words of kubectl and others in front of a name."""

TOOLS = (
    *("foreman", "honcho", "overmind", "supervisorctl", "pm2", "docker", "compose", "kubectl", "systemctl"),
    *("ctl", "process"),
)
"""Words between `procman` and the verb that procman does not need."""

PROGRAMS = (
    *("node", "npm", "npx", "yarn", "pnpm", "bun", "python", "python3", "ruby", "bundle", "rails"),
    *("java", "go", "php"),
)
"""Programs that somebody names in place of a verb."""

INSIDE = frozenset((*PROGRAMS, *SHELLS, "env", "ls", "cat", "sleep", "printenv", "rake", "uv", "poetry", "mix", "deno"))
"""Programs that somebody names after an image whose entry point is `procman start`."""

COMMANDS = ("exec", "e", "run")
"""Verbs followed by a command, whose words are not names."""

VALUED = ("-d", "--root", "--socket", "--name", "--remove")
"""Options of `scale` whose value is the word after them, and not a type."""

STREAMS = ("stdout", "stderr")
"""Words after the name in supervisord's `tail`: procman keeps both streams in one."""

DAEMON = "it stays in the foreground, as service managers expect; --detach sends it to the background"
ENDS = "--exit-on TYPE ends everything with the first end of that type, --no-restart with the first end of any"
PATTERNS = "write `watch: [PATTERN]` under the type in procman.yml, and `procman start --watch`"
LINES = "-n N shows only the last N lines"
WAIT = "did you mean '--wait'?"
SIGNAL = "write `stop: {signal: INT}` under the type in procman.yml"
GRACE = "the time until KILL is `stop: {grace: …}` in procman.yml, or --timeout of `procman start`"

_OPTIONS = {
    "start": {
        "-l, --processes, --only, --services": "name the types: `procman start web worker`; --except leaves some out",
        "--daemon, --daemonize, --background, --wait": "--detach sends it to the background once everything is ready",
        "-n, --nodaemon, --no-daemon, --foreground": DAEMON,
        "-k, --kill-others, --abort-on-container-exit, --exit-code-from, --abort-on-exit": ENDS,
        "--instances, --scale, --replicas": "-m web=4 gives the counts",
        "-i": f"-m web=4 gives the counts; to set a stop signal, {SIGNAL}",
        "-r, --auto-restart, --restart": "what crashes is restarted, unless you say --no-restart",
        "--can-die, --any-can-die": "an end does not end the others, unless you say --exit-on",
        "-x, --ignored-processes, --exclude": "--except worker leaves a type out",
        "--stop-signals": SIGNAL,
        "--env-file, --dotenv": "-e FILE, or --env FILE, reads another file than .env",
        "-o, --logfile, --log-file, --output": "--log-dir DIR writes a file for each instance",
        "--stop-timeout, --shutdown-timeout, --grace": "-t SECONDS is the time until KILL",
        "-N": "did you mean '--no-port'?",
        "-P": "did you mean '--port-step'?",
        "-H": "did you mean '--shell'?",
        "-s": "did you mean '--socket'?",
        "-T": "each line has its time, unless you say --no-timestamps",
        "--restart-delay, --delay, --backoff": "write `restart: {delay: 2}` under the type in procman.yml",
        "-X": "--except worker leaves a type out; `procman scale worker=1` starts it later",
        "-w": "did you mean '--watch'?",
        "--no-deps": "name the types: only they start",
        "--build": "procman builds nothing: a `build` type with `oneshot: true` and `depends_on: [build]` can",
        "-b": "each type has a colour of its own; --color never shows none",
        "--max-memory-restart": "write `recycle: {memory: 512MB}` under the type in procman.yml",
    },
    "logs": {
        "--tail, --num, --head": LINES,
        "--since, --until": f"each line has its time; {LINES}",
        "-t, --timestamps": "each line has its time",
        "-u, --unit, -c": "name the type: `procman logs web`",
        "--nostream, --no-follow": "without -f it ends by itself",
        "-a, --all": "without a name it shows the output of all: `procman logs`",
        "--raw, --no-log-prefix, --no-prefix": "--json has each line without its name, as `message`",
        "--err, --out, --stderr, --stdout": "it shows both streams in one",
    },
    "ps": {
        "-a, --all, -A, -e": "instances that are stopped are listed as well",
        "-q, --quiet, -o, --output, --format": "--json prints all of it for programs: `procman ps --json`",
        "--filter": "name the types: `procman ps web`",
        "-f": "did you mean '--watch'?",
    },
    "events": {"-f, --follow": "it shows every change until you press Ctrl-C: `procman events`"},
    "scale": {
        "-m, --formation, -c, --concurrency": "counts need no option: `procman scale web=2`",
        "-w": WAIT,
    },
    "stop": {
        "-t, --timeout, --time": GRACE,
        "-f, --force, --kill, --now": "what does not stop is killed after its grace period",
        "-s": "`procman signal INT NAME` sends another signal",
        "-a": "did you mean '--all'?",
    },
    "restart": {
        "-t, --timeout, --time": GRACE,
        "-a, --all": "without a name it restarts them all: `procman restart`",
        "--update-env": "`procman reload` reads .env again",
        "-w": WAIT,
    },
    "run": {
        "--rm": "a one-off leaves nothing behind",
        "-i, -t, -T": "a one-off has your terminal",
        "--no-deps, --service-ports": "a one-off starts nothing else, and has no PORT",
    },
}
OPTIONS = {verb: _by_word(rows) for verb, rows in _OPTIONS.items()}
"""Options of the same tools, by verb."""

_REWRITTEN = {
    "start": {
        "-l, --processes, --only, --services": "{}",
        "-x, --ignored-processes, --exclude": "--except {}",
        "--env-file, --dotenv": "-e {}",
        "--stop-timeout, --shutdown-timeout, --grace": "-t {}",
        "--scale": "-m {}",
    },
    "up": {"--scale": "-m {}"},
    "logs": {"--tail, --num, --head": "-n {}", "-u, --unit": "{}"},
    "ps": {"--filter": "{}"},
}
REWRITTEN = {verb: _by_word(rows) for verb, rows in _REWRITTEN.items()}
"""Options whose value is shown in procman's place for it."""

ALL = {
    "start": "without a type it starts them all: `procman start`; if it runs already, `procman restart` starts what is stopped",
    "restart": "without a name it restarts them all: `procman restart`",
    "stop": "that is an option: `procman stop --all`",
    "logs": "without a name it shows the output of all: `procman logs{}`",
    "ps": "without a name it lists them all: `procman ps`",
    "scale": "name each type: `procman scale` prints them",
    "signal": "a pattern names them all: `procman signal {} '*'`",
    "wait": "without a name it waits for all: `procman wait`",
}
"""What to say for `all`, which names no type, by verb."""

NAMELESS = {
    "reload": "it restarts only what has changed, of all types; `procman restart {}` restarts that in any case",
    "shutdown": "it ends procman and everything; `procman stop {}` stops only that",
    "upgrade": "it replaces procman itself; `procman reload` applies a changed Procfile",
    "init": "write `procman init --from {}`",
    "events": "it shows the changes of all; `procman logs -f {}` follows that",
    "top": "it shows all instances; `/` filters them",
}
"""What to say for a name after a verb that takes none."""

NEEDLESS = {
    "reload": "it applies what has changed, of all types; `procman restart` restarts them all",
    "shutdown": "it ends procman and everything at once: `procman shutdown`",
    "init": "without --from it works in the current folder: `procman init`",
    "events": "it shows the changes of all: `procman events`",
    "top": "it shows all instances: `procman top`",
}
"""What to say for a word after these verbs that stands for everything, or for nothing."""

EXAMPLES = {
    "run": "such as `procman run python3 manage.py migrate`, or a type: `procman run release`",
    "attach": "name an instance, such as `procman attach web.1`; `procman ps` lists them",
    "why": "name an instance, such as `procman why web.1`; `procman ps` lists them",
    "signal": "name a signal and instances, such as `procman signal HUP web`",
    "debug": "`procman debug replay FILE` runs a trace again; `procman why web.1` explains an instance",
}
"""What to say for a verb without the words that it needs."""

INTERPRETERS = _by_word({"js, mjs, cjs, ts": "node", "py": "python3", "rb": "ruby", "sh": "sh", "php": "php"})
"""What runs a file that somebody names in place of a type."""

FORMATS = ("config.js", "config.cjs", "json", "conf", "ini", "yml", "yaml", "toml", "service")
"""How the files of other supervisors end."""

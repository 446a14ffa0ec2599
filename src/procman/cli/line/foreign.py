"""The words of foreman, honcho, overmind, supervisorctl, PM2, Docker Compose, kubectl and systemctl, and what procman has
in their place.

Only tables: `advice` chooses the row and inserts the words that were typed. `{}` stands for the names after the verb,
`{=0}` and `{+1}` for a change of the count of each.
"""

from __future__ import annotations

from procman.text.shell import SHELLS

LISTING = "`procman ps{}` lists the instances"
ENDING = "`procman shutdown` stops everything and ends procman; `procman stop NAME` stops instances"

REMOVING = "`procman scale{=0}` removes the instances of a type"
READINESS = "`procman ps{}` shows the phase; `procman wait{}` ends with 0 once it is ready"
APPLYING = "edit the Procfile and procman.yml: `procman reload` applies what has changed"
AGAIN = "`procman restart{}` restarts instances, and starts those that have failed or were stopped"
ALL_OF_IT = "`procman why{}` says what an instance waits for and what comes next; `procman ps --json{}` has all of it"
KEPT = "write the counts into `formation:` of procman.yml: `procman scale` prints them"
ROTATION = "procman rotates log files by size; `procman signal USR1 --self` opens them again after logrotate"
NO_IMAGES = "procman has no images: `procman check` lists the commands that it runs"
SERVICE = "systemd starts it at boot: a unit for `procman start` is in docs/how-to/systemd.md"

SYNONYMS = {
    "status": LISTING,
    "stat": LISTING,
    "stats": LISTING,
    "state": LISTING,
    "list": LISTING,
    "ls": LISTING,
    "get": LISTING,
    "list-units": LISTING,
    "prettylist": LISTING,
    "jlist": "`procman ps --json{}` lists the instances",
    "get events": "`procman events` shows every change",
    "is-active": READINESS,
    "is-failed": READINESS,
    "is-running": READINESS,
    "health": READINESS,
    "healthcheck": READINESS,
    "ping": "`procman ps` ends with 0 where procman runs, with 3 where it does not",
    "rollout status": READINESS,
    "rollout restart": "`procman restart{}` replaces a few instances at a time, each once the previous one is ready",
    "rollout undo": "put the older files back: `procman reload` applies them",
    "rollout": "`procman restart{}` replaces a few instances at a time, each once the previous one is ready",
    "apply": APPLYING,
    "edit": APPLYING,
    "set": APPLYING,
    "patch": APPLYING,
    "deploy": "`procman reload` applies a new version of the files; `procman restart{}` replaces the instances",
    "cat": "`procman check` prints the command of each type",
    "show": LISTING,
    "up": "`procman start{}` runs what the Procfile says, with --detach in the background",
    "serve": "`procman start{}` runs the formation",
    "supervise": "`procman start{}` runs the formation",
    "startall": "`procman start` runs the formation",
    "drain": "`procman stop{}` takes instances out of rotation, waits for their requests, and stops them",
    "stopall": "`procman stop --all` stops all instances",
    "restartall": "`procman restart` restarts all instances",
    "terminate": "`procman stop{}` stops instances",
    "down": ENDING,
    "quit": "`procman shutdown` stops everything and ends procman",
    "exit": "`procman shutdown` stops everything and ends procman",
    "halt": "`procman shutdown` stops everything and ends procman",
    "end": ENDING,
    "kill": "`procman stop{}` stops instances; `procman signal KILL NAME` sends a signal",
    "interrupt": "`procman stop{}` stops instances; `procman signal INT NAME` sends a signal",
    "tail": "`procman logs -f{}` follows the output",
    "echo": "`procman logs -f{}` follows the output",
    "log": "`procman logs{}` shows the output",
    "journal": "`procman logs{}` shows the output",
    "journalctl": "`procman logs{}` shows the output",
    "history": "`procman logs system` shows what procman has done",
    "output": "`procman logs{}` shows the output",
    "connect": "`procman attach{}` connects the keyboard to an instance",
    "console": "`procman attach{}` connects the keyboard to an instance",
    "fg": "`procman attach{}` connects the keyboard to an instance",
    "maintail": "`procman logs system` shows procman's own lines, `procman logs -f` follows all output",
    "exec": "`procman run{}` runs a one-off command in the application's environment",
    "shell": "`procman run sh` runs a shell in the application's environment",
    "bash": "`procman run bash` runs a shell in the application's environment",
    "sh": "`procman run sh` runs a shell in the application's environment",
    "env": "`procman run env` prints the application's environment",
    "version": "`procman --version` prints it",
    "update": "`procman reload` reads the Procfile again; `procman upgrade` replaces procman itself",
    "daemon-reload": "`procman reload` reads the Procfile again",
    "force-reload": "`procman reload` reads the Procfile again",
    "refresh": "`procman reload` reads the Procfile again",
    "reread": "`procman reload` reads the Procfile again",
    "validate": "`procman check{}` checks the Procfile",
    "lint": "`procman check{}` checks the Procfile",
    "config": "`procman check{}` prints the types and what is wrong",
    "configtest": "`procman check{}` prints the types and what is wrong",
    "test": "`procman check` checks the files; `procman start -- COMMAND` runs tests against the formation",
    "monit": "`procman top` is a live screen",
    "monitor": "`procman top` is a live screen",
    "tui": "`procman top` is a live screen",
    "ui": "`procman top` is a live screen",
    "metrics": "`procman ps --json{}` has CPU, memory, restarts and exits; `procman top` shows them",
    "dashboard": "`procman top` is a live screen",
    "watch": "`procman ps --watch` shows the table in place; `procman start --watch` restarts what has changed",
    "delete": REMOVING,
    "remove": REMOVING,
    "rm": REMOVING,
    "del": REMOVING,
    "add": "`procman scale{+1}` adds an instance of a type",
    "import": "`procman init --from FILE` makes a Procfile of another supervisor's file",
    "convert": "`procman init --from FILE` makes a Procfile of another supervisor's file",
    "new": "`procman init` writes a Procfile for the folder",
    "create": "`procman init` writes a Procfile for the folder",
    "export": "there is no export yet; a unit of systemd runs `procman start` (docs/how-to/systemd.md)",
    "startup": SERVICE,
    "install": SERVICE,
    "enable": SERVICE,
    "disable": SERVICE,
    "save": KEPT,
    "dump": KEPT,
    "pid": "`procman ps{}` lists the instances with their pids",
    "port": "`procman ps{}` lists the instances with their ports",
    "describe": ALL_OF_IT,
    "info": ALL_OF_IT,
    "inspect": ALL_OF_IT,
    "explain": ALL_OF_IT,
    "desc": ALL_OF_IT,
    "details": ALL_OF_IT,
    "avail": "`procman check` lists the types of the Procfile",
    "doctor": "`procman check` checks the Procfile, and says what the machine lacks",
    "clear": "procman rotates its log files itself (`--log-max-bytes`); `procman logs -f -n 0` shows only what is new",
    "rotate": ROTATION,
    "reloadlogs": ROTATION,
    "flush": "procman rotates its log files itself (`--log-max-bytes`); `procman logs -f -n 0` shows only what is new",
    "pause": "`procman stop{}` stops instances, `procman restart{}` starts them again",
    "reset-failed": AGAIN,
    "try-restart": AGAIN,
    "reload-or-restart": AGAIN,
    "bounce": AGAIN,
    "respawn": AGAIN,
    "resume": "`procman restart{}` starts instances that were stopped",
    "unpause": "`procman restart{}` starts instances that were stopped",
    "completion": 'for bash: eval "$(_PROCMAN_COMPLETE=bash_source procman)"; zsh and fish are in docs/reference/cli.md',
    "open": "`procman ps{}` lists the instances with their ports",
    "sendsignal": "`procman signal{}` sends a signal",
    "mask": REMOVING,
    "generate": "`procman init` writes a Procfile for the folder",
    "ecosystem": "`procman init` writes a Procfile for the folder",
    "setup": "`procman init` writes a Procfile for the folder",
    "resurrect": "`procman start{}` runs the formation again, `keep_counts: true` in procman.yml with the counts that it had",
    "prune": "`procman shutdown` leaves nothing behind that has to be removed",
    "pull": NO_IMAGES,
    "push": NO_IMAGES,
    "images": NO_IMAGES,
    "build": "procman builds nothing: `procman run COMMAND` runs a command in the application's environment",
}
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
    "node",
    "npm",
    "npx",
    "yarn",
    "pnpm",
    "bun",
    "python",
    "python3",
    "ruby",
    "bundle",
    "rails",
    "java",
    "go",
    "php",
)
"""Programs that somebody names in place of a verb."""

INSIDE = frozenset((*PROGRAMS, *SHELLS, "env", "ls", "cat", "sleep", "printenv", "rake", "uv", "poetry", "mix", "deno"))
"""Programs that somebody names after an image whose entry point is `procman start`."""

COMMANDS = ("exec", "e", "run")
"""Verbs followed by a command, whose words are not names."""

STREAMS = ("stdout", "stderr")
"""Words after the name in supervisord's `tail`: procman keeps both streams in one."""

DAEMON = "it stays in the foreground, as service managers expect; --detach sends it to the background"
ENDS = "--exit-on TYPE ends everything with the first end of that type, --no-restart with the first end of any"
ONLY = "name the types: `procman start web worker`; --except leaves some out"
PATTERNS = "write `watch: [PATTERN]` under the type in procman.yml, and `procman start --watch`"
DETACH = "--detach sends it to the background once everything is ready"
LINES = "-n N shows only the last N lines"
ALL_SHOWN = "instances that are stopped are listed as well"
AS_JSON = "--json prints all of it for programs: `procman ps --json`"
FOLLOWS = "it shows every change until you press Ctrl-C: `procman events`"
COUNTS = "counts need no option: `procman scale web=2`"
WAIT = "did you mean '--wait'?"
SIGNAL = "write `stop: {signal: INT}` under the type in procman.yml"
GRACE = "the time until KILL is `stop: {grace: …}` in procman.yml, or --timeout of `procman start`"

OPTIONS: dict[str, dict[str, str]] = {
    "start": {
        **dict.fromkeys(("-l", "--processes", "--only", "--services"), ONLY),
        **dict.fromkeys(("--daemon", "--daemonize", "--background", "--wait"), DETACH),
        **dict.fromkeys(("-n", "--nodaemon", "--no-daemon", "--foreground"), DAEMON),
        **dict.fromkeys(
            ("-k", "--kill-others", "--abort-on-container-exit", "--exit-code-from", "--abort-on-exit"), ENDS
        ),
        **dict.fromkeys(("--instances", "--scale", "--replicas"), "-m web=4 gives the counts"),
        "-i": f"-m web=4 gives the counts; to set a stop signal, {SIGNAL}",
        **dict.fromkeys(
            ("-r", "--auto-restart", "--restart"), "what crashes is restarted, unless you say --no-restart"
        ),
        **dict.fromkeys(
            ("--can-die", "--any-can-die"),
            "an end does not end the others, unless you say --exit-on",
        ),
        **dict.fromkeys(("-x", "--ignored-processes", "--exclude"), "--except worker leaves a type out"),
        "--stop-signals": SIGNAL,
        **dict.fromkeys(("--env-file", "--dotenv"), "-e FILE, or --env FILE, reads another file than .env"),
        **dict.fromkeys(("-o", "--logfile", "--log-file", "--output"), "--log-dir DIR writes a file for each instance"),
        **dict.fromkeys(("--stop-timeout", "--shutdown-timeout", "--grace"), "-t SECONDS is the time until KILL"),
        "-N": "did you mean '--no-port'?",
        "-P": "did you mean '--port-step'?",
        "-H": "did you mean '--shell'?",
        "-s": "did you mean '--socket'?",
        "-T": "each line has its time, unless you say --no-timestamps",
        **dict.fromkeys(
            ("--restart-delay", "--delay", "--backoff"), "write `restart: {delay: 2}` under the type in procman.yml"
        ),
        "-X": "--except worker leaves a type out; `procman scale worker=1` starts it later",
        "-w": "did you mean '--watch'?",
        "--no-deps": "name the types: only they start",
        "--build": "procman builds nothing: a `build` type with `oneshot: true` and `depends_on: [build]` can",
        "-b": "each type has a colour of its own; --color never shows none",
        "--max-memory-restart": "write `recycle: {memory: 512MB}` under the type in procman.yml",
    },
    "logs": {
        **dict.fromkeys(("--tail", "--num", "--head"), LINES),
        **dict.fromkeys(("--since", "--until"), f"each line has its time; {LINES}"),
        **dict.fromkeys(("-t", "--timestamps"), "each line has its time"),
        **dict.fromkeys(("-u", "--unit", "-c"), "name the type: `procman logs web`"),
        **dict.fromkeys(("--nostream", "--no-follow"), "without -f it ends by itself"),
        **dict.fromkeys(("-a", "--all"), "without a name it shows the output of all: `procman logs`"),
        **dict.fromkeys(
            ("--raw", "--no-log-prefix", "--no-prefix"), "--json has each line without its name, as `message`"
        ),
        **dict.fromkeys(("--err", "--out", "--stderr", "--stdout"), "it shows both streams in one"),
    },
    "ps": dict.fromkeys(("-a", "--all", "-A", "-e"), ALL_SHOWN)
    | dict.fromkeys(("-q", "--quiet", "-o", "--output", "--format"), AS_JSON)
    | {"--filter": "name the types: `procman ps web`", "-f": "did you mean '--watch'?"},
    "events": dict.fromkeys(("-f", "--follow"), FOLLOWS),
    "scale": dict.fromkeys(("-m", "--formation", "-c", "--concurrency"), COUNTS) | {"-w": WAIT},
    "stop": dict.fromkeys(("-t", "--timeout", "--time"), GRACE)
    | dict.fromkeys(("-f", "--force", "--kill", "--now"), "what does not stop is killed after its grace period")
    | {"-s": "`procman signal INT NAME` sends another signal", "-a": "did you mean '--all'?"},
    "restart": dict.fromkeys(("-t", "--timeout", "--time"), GRACE)
    | dict.fromkeys(("-a", "--all"), "without a name it restarts them all: `procman restart`")
    | {"--update-env": "`procman reload` reads .env again", "-w": WAIT},
    "run": {"--rm": "a one-off leaves nothing behind"}
    | dict.fromkeys(("-i", "-t", "-T"), "a one-off has your terminal")
    | dict.fromkeys(("--no-deps", "--service-ports"), "a one-off starts nothing else, and has no PORT"),
}
"""Options of the same tools, by verb."""

REWRITTEN = {
    "start": {
        **dict.fromkeys(("-l", "--processes", "--only", "--services"), "{}"),
        **dict.fromkeys(("-x", "--ignored-processes", "--exclude"), "--except {}"),
        **dict.fromkeys(("--env-file", "--dotenv"), "-e {}"),
        **dict.fromkeys(("--stop-timeout", "--shutdown-timeout", "--grace"), "-t {}"),
        "--scale": "-m {}",
    },
    "up": {"--scale": "-m {}"},
    "logs": {**dict.fromkeys(("--tail", "--num", "--head"), "-n {}"), **dict.fromkeys(("-u", "--unit"), "{}")},
    "ps": {"--filter": "{}"},
}
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

INTERPRETERS = {
    "js": "node",
    "mjs": "node",
    "cjs": "node",
    "ts": "node",
    "py": "python3",
    "rb": "ruby",
    "sh": "sh",
    "php": "php",
}
"""What runs a file that somebody names in place of a type."""

FORMATS = ("config.js", "config.cjs", "json", "conf", "ini", "yml", "yaml", "toml", "service")
"""How the files of other supervisors end."""

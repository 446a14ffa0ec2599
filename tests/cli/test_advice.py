"""What people type who know other tools, and what procman answers: the right verb or option by name, with their own words."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import click
import pytest

from procman.cli.group import VERBS, procman
from procman.cli.line.advice import of_misspelt_verb, of_refused, of_unknown_option, of_unknown_verb
from procman.cli.line.foreign import EXAMPLES, OPTIONS, SYNONYMS


def refused(*args, cwd=None):
    """The lines on standard error of a command line that is wrong."""
    command = [sys.executable, "-m", "procman", *args]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stdout == ""
    return [line.removeprefix("procman: ") for line in done.stderr.splitlines()]


@pytest.mark.parametrize("word", SYNONYMS)
def test_a_synonym_leads_to_verbs_that_exist(word):
    assert word not in VERBS
    named = re.findall(r"`procman (?!--)(\w+)", of_unknown_verb([word]))
    assert set(named) <= set(VERBS)
    assert named or word in ("version", "completion")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("status", "`procman ps` lists the instances"),
        ("status web", "`procman ps web` lists the instances"),
        ("Tail web worker", "`procman logs -f web worker` follows the output"),
        ("tail -f web", "`procman logs -f web` follows the output"),
        ("tail -n 5 web", "`procman logs -f` follows the output"),
        ("kill web", "`procman stop web` stops instances; `procman signal KILL NAME` sends a signal"),
        (
            "kill",
            "`procman stop --all` stops instances; `procman signal KILL NAME` sends a signal; `procman shutdown` ends procman, too",
        ),
        (
            "drain web.1",
            "`procman stop web.1` takes instances out of rotation, waits for their requests, and stops them",
        ),
        ("kill -9 web", "`procman signal 9 web` sends it; `procman stop` stops instances for good"),
        ("kill -s HUP web", "`procman signal HUP web` sends it; `procman stop` stops instances for good"),
        ("kill -USR1", "`procman signal USR1 NAME` sends it; `procman stop` stops instances for good"),
        ("tail web stderr", "`procman logs -f web` follows the output"),
        ("c web", "`procman attach web` connects the keyboard to an instance"),
        ("r web worker", "`procman restart web worker` restarts instances"),
        ("q", "`procman shutdown` stops everything and ends procman"),
        ("connect web.1", "`procman attach web.1` connects the keyboard to an instance"),
        (
            "exec rake db:migrate",
            "`procman run rake db:migrate` runs a one-off command in the application's environment",
        ),
    ],
)
def test_the_hint_has_the_words_that_were_typed(words, hint):
    assert of_unknown_verb(words.split()) == hint


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("up web", "`procman start web` runs what the Procfile says, with --detach in the background"),
        ("up -d web", "`procman start --detach web` runs the formation in the background"),
        ("up --scale web=3", "write `procman start -m web=3`"),
        ("compose up -d", "`procman start --detach` runs the formation in the background"),
        ("kubectl scale", "the verbs follow `procman` itself: `procman scale`"),
        ("systemctl status web.service", "`procman ps web` lists the instances"),
        ("status web:*", "`procman ps web` lists the instances"),
        ("status web:web_00", "`procman ps web.1` lists the instances"),
        ("tail -100 web", "`procman logs -f web` follows the output"),
        ("log -f web", "`procman logs -f web` follows the output"),
        ("journalctl -fu web", "`procman logs -f web` follows the output"),
        ("add web worker", "`procman scale web+1 worker+1` adds an instance of a type"),
        ("remove", "`procman scale NAME=0` removes the instances of a type"),
        ("delete deployment/web", "`procman scale web=0` removes the instances of a type"),
        ("get pods", "`procman ps` lists the instances"),
        ("get events", "`procman events` shows every change"),
        ("rollout undo web", "put the older files back: `procman reload` applies them"),
        ("port web 80", "`procman ps web` lists the instances with their ports"),
        ("sendSignal SIGUSR2 web", "`procman signal SIGUSR2 web` sends a signal"),
        ("exec -it web bash", "`procman run bash` runs it as a one-off; `procman attach web` connects the keyboard"),
        ("edit web", "edit the Procfile and procman.yml: `procman reload` applies what has changed"),
    ],
)
def test_the_words_of_another_tool_are_shown_in_procmans_place_for_them(words, hint):
    assert of_unknown_verb(words.split(), {"web", "worker"}) == hint


@pytest.mark.parametrize("word", ["exat", "tale", "destory"])
def test_a_word_that_is_only_somewhat_like_another_tools_verb_is_not_taken_for_it(word):
    assert of_misspelt_verb([word], VERBS) == ""


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("start -l web,worker", "write `procman start web worker`"),
        ("start -x worker", "write `procman start --except worker`"),
        ("start --scale=web=3 worker", "write `procman start -m web=3 worker`"),
        ("start --watch=src", "write `watch: [PATTERN]` under the type in procman.yml, and `procman start --watch`"),
        ("start --colour never", "did you mean '--color never'? (try 'procman start --help')"),
        ("ps --watch=2", "write `procman ps --watch`"),
        ("ps --filter web", "write `procman ps web`"),
        ("logs web --tail 10", "write `procman logs web -n 10`"),
        ("logs --tail", "-n N shows only the last N lines (try 'procman logs --help')"),
        ("logs -u web -f", "write `procman logs web -f`"),
        ("scale web -1", "write `procman scale web-1`"),
        ("scale --replicas=3 web", "write `procman scale web=3`"),
        ("scale deployment/web --replicas 3", "write `procman scale web=3`"),
        ("signal web", "the signal comes first, such as `procman signal HUP web`"),
        ("reload all", "it applies what has changed, of all types; `procman restart` restarts them all"),
        ("shutdown now", "it ends procman and everything at once: `procman shutdown`"),
        ("init .", "without --from it works in the current folder: `procman init`"),
        ("debug web", "`procman debug replay FILE` runs a trace again; `procman why web.1` explains an instance"),
    ],
)
def test_a_line_in_another_tools_form_is_shown_in_procmans(typed, hint):
    assert refused(*typed.split())[1] == hint


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("start app.js", "write a line with its command into the Procfile, such as `web: node app.js`"),
        ("start ecosystem.config.js", "`procman init --from ecosystem.config.js` makes a Procfile of it"),
        ("run -e A=1 env", "-e names a file; the shell sets a variable: `A=1 procman run …`"),
    ],
)
def test_a_file_or_a_variable_in_the_wrong_place_leads_to_the_right_one(tmp_path, typed, hint):
    (tmp_path / "Procfile").write_text("web: x\n")
    assert refused(*typed.split(), cwd=tmp_path)[1] == hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("0", "instances have names, such as web.1: `procman ps` lists them"),
        ("web:web_00", "write `procman restart web.1`"),
    ],
)
def test_the_instances_of_other_supervisors_are_shown_by_procmans_names(name, hint):
    advice = of_refused(["restart", name], f"cannot find an instance or process type '{name}'")
    assert advice is not None
    assert advice.hint == hint


@pytest.mark.parametrize(("verb", "option"), [(verb, option) for verb, known in OPTIONS.items() for option in known])
def test_an_option_of_another_tool_leads_to_what_procman_has(verb, option):
    parameters = procman.get_command(click.Context(procman), verb).params
    known = {name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)}
    assert option not in known
    hint = of_unknown_option(verb, option)
    named = set(re.findall(r"(?<!\w)--?[\w-]*\w", hint.replace("--timeout of `procman start`", "")))
    assert named <= known | {"--update-env"}
    assert set(re.findall(r"`procman (\w+)", hint)) <= set(VERBS)


def test_the_hint_for_an_option_is_shown():
    assert refused("start", "-l", "web") == [
        "cannot understand the option '-l' of 'procman start'",
        "write `procman start web`",
    ]


def test_a_type_in_the_place_of_a_verb_is_recognised(tmp_path):
    (tmp_path / "Procfile").write_text("web: x\n")
    assert refused("web", cwd=tmp_path)[1].startswith("`procman start web` starts that type alone")


@pytest.mark.parametrize("typed", ["staus", "stauts", "statsu", "sttaus", "staut", "satte"])
def test_a_misspelt_status_never_leads_to_start(typed):
    assert refused(typed)[1] == "`procman ps` lists the instances"


@pytest.mark.parametrize(
    ("typed", "verb"),
    [("strat", "start"), ("sacle", "scale"), ("lgos", "logs"), ("Restrat", "restart"), ("strt", "start")],
)
def test_a_misspelt_verb_leads_to_the_verb(typed, verb):
    assert of_misspelt_verb([typed, "web"], VERBS) == f"did you mean '{verb}'?"


@pytest.mark.parametrize("line", ["node app.js", "./start.sh", "python3 -m http.server"])
def test_a_command_in_the_place_of_a_verb_leads_to_run_and_to_the_procfile(line):
    hint = f"`procman run {line}` runs it once; a line of the Procfile, such as `web: {line}`, keeps it running"
    assert of_misspelt_verb(line.split(), VERBS) == hint


@pytest.mark.parametrize("word", ["", "frobnicate", "k8", "-"])
def test_a_word_that_is_like_no_verb_has_no_hint(word):
    assert of_misspelt_verb([word], VERBS) == ""


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("-f Procfile.dev start web", "options follow the verb: `procman start -f Procfile.dev web`"),
        ("-e a.env run env", "options follow the verb: `procman run -e a.env env`"),
        ("-c supervisord.conf status web", "`procman ps web` lists the instances"),
        ("-D", "options follow the verb: `procman start -D`"),
        ("-v", "`procman --version` prints it"),
        (
            "-n",
            "it stays in the foreground, as service managers expect; --detach sends it to the background",
        ),
    ],
)
def test_an_option_in_front_of_the_verb_is_shown_behind_it(typed, hint):
    assert refused(*typed.split()) == [f"cannot understand the option '{typed[:2]}' of 'procman'", hint]


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (
            "reload web",
            "it restarts only what has changed, of all types; `procman restart web` restarts that in any case",
        ),
        ("shutdown web worker", "it ends procman and everything; `procman stop web worker` stops only that"),
        ("init supervisord.conf", "write `procman init --from supervisord.conf`"),
        ("upgrade web", "it replaces procman itself; `procman reload` applies a changed Procfile"),
    ],
)
def test_a_name_after_a_verb_that_takes_none_leads_to_the_verb_that_does(typed, hint):
    verb, name = typed.split()[:2]
    assert refused(*typed.split()) == [f"cannot use '{name}': `procman {verb}` takes no name", hint]


@pytest.mark.parametrize("verb", EXAMPLES)
def test_a_verb_without_its_words_is_shown_with_them(verb):
    told = refused(verb)
    assert told[0].startswith(f"cannot do 'procman {verb}' without ")
    assert told[1] == EXAMPLES[verb]
    assert f"`procman {verb} " in told[1]


def test_an_option_that_shares_only_its_dashes_is_not_suggested():
    assert refused("reload", "--force")[1] == "try 'procman reload --help'"
    assert refused("restart", "--waiy")[1] == "did you mean '--wait'? (try 'procman restart --help')"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("-HUP web", "HUP web"), ("-9 web", "9 web"), ("-s HUP web worker", "HUP web worker"), ("-TERM", "TERM NAME")],
)
def test_a_signal_written_as_for_kill_is_shown_as_procman_takes_it(typed, meant):
    assert refused("signal", *typed.split())[1] == f"the signal comes first, without '-': `procman signal {meant}`"


def test_a_value_that_is_no_number_is_answered_in_plain_words():
    assert refused("start", "-p", "abc")[0] == "cannot use '-p' / '--port': 'abc' is not a whole number"
    assert refused("logs", "-n", "x")[0] == "cannot use '-n' / '--lines': 'x' is not a whole number"
    assert refused("logs", "-n", "-1")[0] == "cannot use '-n' / '--lines': -1 is not 0 or more"
    soon = "'soon' is not a number, nor a time such as 90s, 5m or 12h"
    assert refused("wait", "-t", "soon")[0] == f"cannot use '-t' / '--timeout': {soon}"


def test_status_never_leads_to_start():
    assert [of_unknown_verb([word]) for word in ("status", "stat", "stats") if "start" in of_unknown_verb([word])] == []


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("web 3", "web=3"),
        ("web 3 worker 2", "web=3 worker=2"),
        ("web:3", "web=3"),
        ("web==3", "web=3"),
        ("web= 3", "web=3"),
        ("web =3", "web=3"),
        ("web=+1", "web+1"),
        ("web+=2", "web+2"),
        ("web=-1", "web-1"),
        ("my-web:3", "my-web=3"),
        ("webx3", "web=3"),
        ("web worker=2", "web=N worker=2"),
        ("web=1 worker:2", "web=1 worker=2"),
        ("--web=2", "web=2"),
        ("--web=2 worker+1 --wait", "web=2 worker+1"),
    ],
)
def test_counts_of_other_tools_are_shown_in_ours(typed, meant):
    advice = of_refused(["scale", *typed.split()], "")
    assert advice is not None
    assert advice.hint == f"write `procman scale {meant}`"


@pytest.mark.parametrize("typed", ["web=3", "web+2 worker-1", "web=three", "3", "+1"])
def test_counts_that_are_no_other_tools_get_no_advice(typed):
    assert of_refused(["scale", *typed.split()], "") is None


@pytest.mark.parametrize("option", ["-d shop", "--root shop", "--name blue", "--socket s", "--remove nosuch"])
def test_the_value_of_an_option_of_scale_is_not_a_type_without_a_count(option):
    assert of_refused(["scale", "web=3", *option.split()], "") is None
    assert of_refused(["scale", *option.split(), "web=3"], "") is None
    advice = of_refused(["scale", *option.split(), "web", "3"], "")
    assert advice is not None
    assert advice.hint == "write `procman scale web=3`"


def test_scale_names_the_change_that_was_meant():
    assert refused("scale", "web", "3") == ["cannot use 'web 3' as counts", "write `procman scale web=3`"]


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["restart", "all"], "without a name it restarts them all: `procman restart`"),
        (["stop", "all"], "that is an option: `procman stop --all`"),
        (["logs", "-f", "all"], "without a name it shows the output of all: `procman logs -f`"),
        (["signal", "HUP", "all"], "a pattern names them all: `procman signal HUP '*'`"),
        (["scale", "all=2"], "name each type: `procman scale` prints them"),
    ],
)
def test_all_is_no_name_and_the_way_to_all_is_told(args, hint):
    advice = of_refused(args, "cannot find an instance or process type 'all'")
    assert advice is not None
    assert advice.hint == hint


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("start Procfile.dev", "-f names a file: `procman start -f Procfile.dev`"),
        ("check ./Procfile", "-f names a file: `procman check -f ./Procfile`"),
        ("start web,worker", "separate the types with spaces: `procman start web worker`"),
        ("Procfile", "`procman start -f Procfile` runs what it says"),
        ("./Procfile.dev", "`procman start -f ./Procfile.dev` runs what it says"),
    ],
)
def test_files_and_lists_in_the_place_of_types_are_shown_as_procman_takes_them(tmp_path, typed, hint):
    (tmp_path / "Procfile").write_text("web: x\nworker: y\n")
    assert refused(*typed.split(), cwd=tmp_path)[1:] == [hint]


def test_a_verb_after_start_is_shown_without_it(tmp_path):
    (tmp_path / "Procfile").write_text("web: x\n")
    image = "in an image: `docker run --entrypoint procman IMAGE check`"
    assert refused("start", "check", cwd=tmp_path) == [
        "cannot find the process type 'check' in Procfile",
        f"`procman check` is a verb of its own, without start ({image})",
    ]


@pytest.mark.parametrize(
    ("typed", "program"),
    [
        (["bash"], "bash"),
        (["sh", "-c", "echo hi"], "sh"),
        (["python", "manage.py", "migrate"], "python"),
        (["bin/rails", "console"], "bin/rails"),
        (["env"], "env"),
    ],
)
def test_a_program_behind_an_image_is_shown_as_a_one_off(tmp_path, typed, program):
    (tmp_path / "Procfile").write_text("web: x\n")
    line = f"run {shlex.join(typed)}"
    image = f"in an image: `docker run -it --entrypoint procman IMAGE {line}`"
    assert refused("start", *typed, cwd=tmp_path) == [
        f"cannot find the process type '{program}'",
        f"`procman {line}` runs a command ({image})",
    ]


def test_procmans_own_lines_are_found_under_its_name():
    advice = of_refused(["logs", "procman"], "cannot find an instance or process type 'procman'")
    assert advice is not None
    assert advice.hint == "`procman logs system` shows procman's own lines"


def test_another_refusal_keeps_its_hint():
    assert of_refused(["start", "all"], "cannot read Procfile: no such file") is None
    assert of_refused([], "cannot") is None


def test_start_all_is_refused_with_the_way_to_all(tmp_path):
    (tmp_path / "Procfile").write_text("web: sleep 1\n")
    told = refused("start", "all", cwd=tmp_path)
    assert told[0].startswith("cannot find the process type 'all'")
    assert told[1:] == [
        "without a type it starts them all: `procman start`; if it runs already, `procman restart` starts what is stopped"
    ]


@pytest.mark.parametrize(
    ("typed", "meant"), [("web.2", "web.2"), ("web:*", "web"), ("web:web_00", "web.1"), ("web#2", "web.2")]
)
def test_a_start_of_an_instance_leads_to_restart(tmp_path, typed, meant):
    (tmp_path / "Procfile").write_text("web: sleep 1000\n")
    assert refused("start", typed, cwd=tmp_path)[1:] == [
        f"if procman runs already, `procman restart {meant}` starts what is stopped"
    ]


def test_a_signal_behind_the_name_is_told_in_the_right_order():
    advice = of_refused(["signal", "web", "worker", "hup"], "cannot send 'web': no such signal")
    assert advice is not None
    assert advice.hint == "the signal comes first: `procman signal hup web worker`"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (
            ["start", "-c"],
            ["cannot use -c without a value", "write `procman start -c TYPE=N,...`; colours are `--color always`"],
        ),
        (["start", "-m"], ["cannot use -m without a value", "write `procman start -m TYPE=N,...`"]),
        (["logs", "-n"], ["cannot use -n without a value", "write `procman logs -n N`"]),
    ],
)
def test_an_option_without_its_value_is_shown_with_one(args, told):
    assert refused(*args) == told


@pytest.mark.parametrize(
    ("option", "near"),
    [
        ("--no-timestamp", "--no-timestamps"),
        ("--timestamp", "--timestamps"),
        ("--no-ttys", "--no-tty"),
        ("--no-color", "--color never"),
        ("--no-colour", "--color never"),
        ("--nocolors", "--color never"),
        ("--colour", "--color always"),
    ],
)
def test_an_option_that_is_nearly_right_never_leads_to_its_opposite(option, near):
    assert f"did you mean '{near}'?" in refused("start", option)[1]


def test_help_is_a_word_as_well():
    def printed(*args):
        return subprocess.run(
            [sys.executable, "-m", "procman", *args], capture_output=True, text=True, check=True
        ).stdout

    assert printed("help") == printed("--help")
    assert printed("help", "scale") == printed("scale", "--help")


def test_help_of_a_synonym_leads_to_the_verb():
    assert refused("help", "status") == ["cannot find the verb 'status'", "`procman ps` lists the instances"]


def test_an_unknown_verb_is_answered_with_all_there_are():
    told = refused("frobnicate")[1]
    assert all(f"{verb}," in told or f"{verb};" in told for verb in VERBS)

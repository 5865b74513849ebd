# SPDX-License-Identifier: Apache-2.0
"""Wrong flags, variables and options files: each is refused with exit code 2 and says by name what was found and what is expected."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
FORERUN = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve() / "forerun"


def forerun(directory, *arguments, variables=None):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FORERUN_")}
    environment.update(variables or {})
    return subprocess.run([FORERUN, *arguments], cwd=directory, env=environment, capture_output=True, text=True, timeout=30)


def more(command):
    return f"forerun {command} --help shows all options\n"


WORDS = {"run", "agent", "explain", "core", "init", "lab", "swarm"}
NO_KEYS = ("--shared-key: found neither it nor --ca, --cert and --key, expected one of these ways to be known: forerun core init "
           "makes the files\n")

FLAGS = {
    "a flag that is none": (["run", "--inteval", "5s"], "--inteval: no such option of forerun run; did you mean --interval?\n"),
    "a flag like no other": (["run", "--frobnicate"], "--frobnicate: no such option of forerun run\n"),
    "a short flag": (["run", "-x"], "-x: no such option of forerun run\n"),
    "a flag of another subcommand": (["explain", "--mode", "act"], "--mode: no such option of forerun explain\n"),
    "a mode that is none": (["run", "--mode", "fast"], '--mode: found "fast", expected observe or act\n'),
    "an empty mode": (["run", "--mode="], '--mode: found "", expected observe or act\n'),
    "a mode in capitals": (["run", "--mode", "ACT"], '--mode: found "ACT", expected observe or act\n'),
    "a format that is none": (["run", "--format", "xml"], '--format: found "xml", expected auto, table, json or none\n'),
    "a log level that is none": (["run", "--log-level", "trace"],
                                 '--log-level: found "trace", expected error, warning, info or debug\n'),
    "an interval without unit": (["run", "--interval", "100"],
                                 '--interval: found "100", expected a duration such as 500ms, 3s or 1h30m, from 10ms to 10s\n'),
    "an interval too short": (["run", "--interval", "1ms"],
                              '--interval: found "1ms", expected a duration such as 500ms, 3s or 1h30m, from 10ms to 10s\n'),
    "an interval too long": (["run", "--interval", "11s"],
                             '--interval: found "11s", expected a duration such as 500ms, 3s or 1h30m, from 10ms to 10s\n'),
    "a negative duration": (["run", "--lead-time", "-5s"],
                            '--lead-time: found "-5s", expected a duration such as 500ms, 3s or 1h30m, from 0s to 1h\n'),
    "a duration too long to count": (["run", "--stale-after", "99999999999999999999h"],
                                     '--stale-after: found "99999999999999999999h", expected a duration such as 500ms, 3s or '
                                     "1h30m, from 100ms to 1h\n"),
    "a count of none": (["run", "--listeners-max", "0"], '--listeners-max: found "0", expected a whole number from 1 to 65536\n'),
    "a negative count": (["run", "--connections-max", "-1"],
                         '--connections-max: found "-1", expected a whole number from 1 to 16777216\n'),
    "a count with a fraction": (["run", "--edge-depth", "2.5"],
                                '--edge-depth: found "2.5", expected a whole number from 1 to 1048576\n'),
    "a count with a space": (["run", "--edge-depth", " 4"],
                             '--edge-depth: found " 4", expected a whole number from 1 to 1048576\n'),
    "a count beyond 64 bits": (["run", "--max-launches-per-minute", "18446744073709551616"],
                               '--max-launches-per-minute: found "18446744073709551616", expected a whole number from 0 to 100000\n'),
    "an amount that is no number": (["run", "--max-usd-per-hour", "nan"],
                                    '--max-usd-per-hour: found "nan", expected an amount of US dollars, such as 2.50\n'),
    "an amount below zero": (["run", "--max-usd-per-hour", "-1"],
                             '--max-usd-per-hour: found "-1", expected an amount of US dollars, such as 2.50\n'),
    "an amount with a currency": (["run", "--max-usd-per-hour", "$5"],
                                  '--max-usd-per-hour: found "$5", expected an amount of US dollars, such as 2.50\n'),
    "no value": (["run", "--region"], "--region: found nothing behind it, expected REGION\n"),
    "an empty value": (["run", "--state-dir", ""], '--state-dir: found "", expected DIR\n'),
    "a value for a switch": (["run", "--check=yes"], '--check: takes no value, found "yes"\n'),
    "an argument": (["run", "conf.d"], "conf.d: found an argument, expected only options\n"),
    "two wrong values": (["run", "--mode", "x", "--interval", "x"],
                         '--mode: found "x", expected observe or act\n'
                         '--interval: found "x", expected a duration such as 500ms, 3s or 1h30m, from 10ms to 10s\n'),
    "no whole days": (["core", "init", "--days", "0"], '--days: found "0", expected a whole number from 1 to 3650\n'),
    "an argument of a subcommand of two words": (["core", "init", "web-1"], "web-1: found an argument, expected only options\n"),
    "a share of more than all": (["core", "--freeze-silent-share", "20"],
                                 '--freeze-silent-share: found "20", expected a share from 0 to 1, such as 0.2\n'),
    "a share in percent": (["core", "--freeze-silent-share", "20%"],
                           '--freeze-silent-share: found "20%", expected a share from 0 to 1, such as 0.2\n'),
    "a lease of no time": (["core", "--lease", "0s"],
                           '--lease: found "0s", expected a duration such as 500ms, 3s or 1h30m, from 1s to 60s\n'),
    "no replica for a host": (["core", "--host-replicas-max", "0"],
                              '--host-replicas-max: found "0", expected a whole number from 1 to 10000\n'),
    "reports too often": (["agent", "--report-every", "10ms"],
                          '--report-every: found "10ms", expected a duration such as 500ms, 3s or 1h30m, from 100ms to 60s\n'),
    "a rate that is no number": (["lab", "swarm", "--rate", "fast"],
                                 '--rate: found "fast", expected a number from 0 to 1000, such as 0.5\n'),
    "an option of a core for an agent": (["agent", "--config", "conf.d"], "--config: no such option of forerun agent\n"),
    "two decisions": (["explain", "a", "b"], "b: found one argument more, expected only one ID\n"),
    "an options file that is not there": (["run", "--options-file", "none.yaml"],
                                          "none.yaml: cannot read the options file: No such file or directory\n"),
}


@pytest.mark.parametrize("case", FLAGS)
def test_a_wrong_flag_is_named(case, tmp_path):
    arguments, message = FLAGS[case]
    done = forerun(tmp_path, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message + more(" ".join(a for a in arguments[:2] if a in WORDS)))


WITHOUT_HINT = {
    "no subcommand that is": (["rnu"], 'forerun: found "rnu", expected a subcommand; did you mean run?\nforerun --help lists them\n'),
    "half a subcommand": (["lab"], "forerun: expected forerun lab swarm\nforerun --help lists all subcommands\n"),
    "an agent of nobody": (["agent"], "--core: found nothing, expected the address of a core, such as core.internal:9911\n" + NO_KEYS),
    "addresses that are none": (["agent", "--core", "a:0,:9911,b:x,[::1]:3,10.0.0.1", "--core", "a_b,[::1", "--shared-key", "k"],
                                "".join(f'--core: found "{one}", expected HOST or HOST:PORT, several with a comma between\n'
                                        for one in ["a:0", ":9911", "b:x", "[::1"])),
    "nine cores": (["agent", "--core", "a,b,c,d,e,f,g,h,i", "--shared-key", "k"], "--core: found more than 8 cores\n"),
    "services and hosts that are none": (["agent", "--core", "a", "--shared-key", "k", "--service", "web,,a/b", "--host", "x y"],
                                         '--service: found "", expected a service\'s name of letters, digits, \'-\' and \'.\', '
                                         "several with a comma between\n"
                                         '--service: found "a/b", expected a service\'s name of letters, digits, \'-\' and \'.\', '
                                         "several with a comma between\n"
                                         '--host: found "x y", expected a host\'s name of at most 63 letters, digits, \'-\' and '
                                         "'.'\n"),
    "too many services": (["agent", "--core", "a", "--shared-key", "k", "--service", ",".join(["service"] * 40)],
                          "--service: found more than the 255 characters that fit\n"),
    "a core without keys": (["core"], NO_KEYS),
    "half of a certificate": (["core", "--cert", "core.crt"],
                              "--ca: found nothing, expected --ca, --cert and --key together\n"
                              "--key: found nothing, expected --ca, --cert and --key together\n"),
    "both kinds of keys": (["core", "--ca", "ca.crt", "--cert", "core.crt", "--key", "core.key", "--shared-key", "k"],
                           "--shared-key: found together with --ca, expected either a shared key or certificates\n"),
    "a core that acts without policies": (["core", "--mode", "act", "--shared-key", "k"],
                                          '--mode: found "act" and no policy, expected a HorizontalPodAutoscaler in the directory '
                                          "that --config names\n"),
    "a table that is none": (["core", "--shared-key", "k", "--lock-table", "a/b"],
                             '--lock-table: found "a/b", expected the name of a DynamoDB table: 3 to 255 letters, digits, \'_\', '
                             "'.' and '-'\n"),
    "certificates that are not there": (["core", "--shared-key", "k", "--identity-certificates", "none.pem"],
                                        "--identity-certificates: cannot read none.pem: No such file or directory\n"),
    "a pause in two places": (["core", "pause", "--lock-table", "forerun", "--pause-file", "p"],
                              "--pause-file: found together with --lock-table, expected one of them\n"),
    "a reason of two lines": (["core", "pause", "--reason", "a\nb"], "--reason: expected one line of at most 200 characters\n"),
    "a swarm of nobody": (["lab", "swarm"], "--core: found nothing, expected the address of a core, such as 127.0.0.1:9911\n" + NO_KEYS),
    "a swarm with one certificate": (["lab", "swarm", "--core", "a", "--ca", "c", "--cert", "d", "--key", "e"],
                                     "--agents: found 10 with one --cert, expected 1, or --ca-key to issue a certificate for each\n"),
    "a swarm with two kinds of keys": (["lab", "swarm", "--core", "a,b", "--ca-key", "c", "--shared-key", "d"],
                                       '--core: found "a,b", expected HOST or HOST:PORT\n'
                                       "--ca: found nothing, expected it together with --ca-key\n"
                                       "--ca-key: found together with --cert, --key or --shared-key, expected it with --ca alone\n"),
    "init of nothing": (["core", "init"], "--mtls: found neither it nor --shared-key, expected one of them\n"),
    "init of both": (["core", "init", "--mtls", "--shared-key"], "--mtls: found together with --shared-key, expected one of them\n"),
    "init without a name": (["core", "init", "--mtls"], "--mtls: found neither --core-name nor --agent, expected one of them\n"),
    "a shared key with a name": (["core", "init", "--shared-key", "--agent", "web-1"],
                                 "--agent: found together with --shared-key, expected it with --mtls\n"),
    "an agent before there is an authority": (["core", "init", "--mtls", "--agent", "web-1", "--dir", "keys"],
                                              "--core-name: found nothing, and there is no authority in keys yet: expected the "
                                              "name by which agents reach the core\n"),
    "names that are none": (["core", "init", "--mtls", "--core-name", "10.0.0.1,a..b", "--agent", "a/b", "--agent", "-x", "--dir", "keys"],
                            '--core-name: found "a..b", expected an address or a name of letters, digits, \'-\' and \'.\'\n'
                            '--agent: found "a/b", expected a host\'s name of at most 63 letters, digits, \'-\' and \'.\'\n'
                            '--agent: found "-x", expected a host\'s name of at most 63 letters, digits, \'-\' and \'.\'\n'),
    "top in no terminal": (["top"], "forerun top: needs a terminal; http://127.0.0.1:9910/v1/signals has the same as JSON\n"),
    "act without policies": (["run", "--mode", "act"],
                             '--mode: found "act" and no policy, expected a HorizontalPodAutoscaler in the directory that --config '
                             "names\n"),
    "a config directory that is not there": (["run", "--config", "none"],
                                             "--config: cannot read the directory none: No such file or directory; expected a "
                                             "directory with *.yaml files\n"),
    "a check of nothing": (["run", "--check"], "--check: found no --config, expected the directory to check\n"),
    "explain without which": (["explain"], "forerun explain: found neither, expected either a decision's ID or --last\n"),
    "explain both": (["explain", "--last", "x"], "forerun explain: found both, expected either a decision's ID or --last\n"),
    "simulate without policies": (["simulate", "--shape", "step"],
                                  "--config: found nothing, expected a directory with policies\n"),
    "simulate without a load": (["simulate", "--config", "."],
                                "--replay: found neither it nor --shape, expected one of them\n"),
    "simulate with two loads": (["simulate", "--config", ".", "--replay", "x", "--shape", "y"],
                                "--replay: found together with --shape, expected one of them\n"),
}


@pytest.mark.parametrize("case", WITHOUT_HINT)
def test_a_wrong_use_is_explained(case, tmp_path):
    arguments, message = WITHOUT_HINT[case]
    done = forerun(tmp_path, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


VARIABLES = {
    "a mode": ({"FORERUN_MODE": "q"}, 'FORERUN_MODE: found "q", expected observe or act\n'),
    "a count": ({"FORERUN_MAX_LAUNCHES_PER_MINUTE": "many"},
                'FORERUN_MAX_LAUNCHES_PER_MINUTE: found "many", expected a whole number from 0 to 100000\n'),
    "a switch": ({"FORERUN_EXPAND_ENV": "maybe"}, 'FORERUN_EXPAND_ENV: found "maybe", expected true or false\n'),
    "an options file": ({"FORERUN_OPTIONS_FILE": "none.yaml"},
                        "none.yaml: cannot read the options file: No such file or directory\n"),
}


@pytest.mark.parametrize("case", VARIABLES)
def test_a_wrong_variable_is_named(case, tmp_path):
    variables, message = VARIABLES[case]
    done = forerun(tmp_path, "run", variables=variables)
    assert (done.returncode, done.stderr) == (2, message + more("run"))


def test_a_misspelt_variable_is_not_passed_over_in_silence(tmp_path):
    done = forerun(tmp_path, "run", "--mode", "x", variables={"FORERUN_INTREVAL": "1s"})
    assert "environment: FORERUN_INTREVAL is no option of forerun, it has no effect; is --interval meant?" in done.stderr


FILES = {
    "an option that is none": ("inteval: 1s\n", 'o.yaml:1:1: no such option "inteval"; did you mean "interval"?\n'),
    "an underscore": ("mode: observe\nstate_dir: /x\n", 'o.yaml:2:1: no such option "state_dir"; did you mean "state-dir"?\n'),
    "a wrong value": ("# comment\nmode:  fast\n", 'o.yaml:2:8: mode: found "fast", expected observe or act\n'),
    "a wrong value of another subcommand": ("boot: soon\n",
                                            'o.yaml:1:7: boot: found "soon", expected a duration such as 500ms, 3s or 1h30m, from '
                                            "0s to 1h\n"),
    "a list": ("interval:\n  - 1s\n", "o.yaml:2:3: interval: found a list, expected DURATION\n"),
    "a switch that is a mapping": ("expand-env: {}\n", "o.yaml:1:13: expand-env: found a mapping, expected true or false\n"),
    "no mapping": ("- mode\n", 'o.yaml:1:1: found a list, expected options such as "mode: observe"\n'),
    "a second document": ("mode: act\n---\nmode: act\n", "o.yaml:3:1: found a second document, expected one with options\n"),
    "the options file itself": ("options-file: x\n", "o.yaml:1:1: options-file cannot be set in the options file\n"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_wrong_options_file_names_line_and_column(case, tmp_path):
    text, message = FILES[case]
    (tmp_path / "o.yaml").write_text(text)
    done = forerun(tmp_path, "run", "--options-file", "o.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message + more("run"))


@pytest.mark.parametrize("text", ["mode: [", "mode: act\nmode: observe\n", "a: &x 1\nb: *x\n", "\0", "\xff\xfe", "mode: \t act\n\tx"])
def test_broken_yaml_is_refused_with_its_place(text, tmp_path):
    (tmp_path / "o.yaml").write_bytes(text.encode("latin-1"))
    done = forerun(tmp_path, "run", "--options-file", "o.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith("o.yaml:")


def test_an_options_file_that_is_a_directory_is_refused(tmp_path):
    done = forerun(tmp_path, "run", "--options-file", ".")
    assert (done.returncode, done.stderr) == (2, ".: cannot read the options file: Is a directory\n" + more("run"))


def test_a_flag_goes_before_a_variable_and_a_variable_before_the_file(tmp_path):
    (tmp_path / "o.yaml").write_text("max-usd-per-hour: 1\nstate-dir: from-file\n")
    def journal(*flags, variables=None):
        return forerun(tmp_path, "explain", "--last", "--options-file", "o.yaml", *flags, variables=variables).stderr
    assert "there is no journal from-file/journal" in journal()
    assert "there is no journal from-env/journal" in journal(variables={"FORERUN_STATE_DIR": "from-env"})
    assert "there is no journal from-flag/journal" in journal("--state-dir", "from-flag",
                                                               variables={"FORERUN_STATE_DIR": "from-env"})


VAR_FILE = "kind: ${KIND}\n"


@pytest.mark.parametrize("flags, variables, message", [
    ([], {}, "c/a.yaml:1:7: found ${KIND}, expected its value: write the value, or give --expand-env to take it from the environment\n"),
    (["--expand-env"], {}, "c/a.yaml:1:7: found ${KIND}, and no variable KIND in the environment: set it\n"),
    (["--expand-env"], {"KIND": "a\nb: c"}, "c/a.yaml:1:7: found ${KIND} with a line break in its value, expected one line\n"),
])
def test_a_variable_in_a_document_is_named(flags, variables, message, tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c/a.yaml").write_text(VAR_FILE)
    done = forerun(tmp_path, "run", "--config", "c", *flags, variables=variables)
    assert (done.returncode, done.stderr) == (2, message)


def test_an_empty_config_directory_is_refused(tmp_path):
    (tmp_path / "c").mkdir()
    done = forerun(tmp_path, "run", "--config", "c")
    assert (done.returncode, done.stderr) == (
        2, "--config: found no *.yaml or *.yml file in c, expected policies, pools and classes there\n")

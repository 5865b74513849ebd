# SPDX-License-Identifier: Apache-2.0
"""docs/operations.md names nothing that is not there: commands, options, metrics, files, links."""

import functools
import json
import pathlib
import re
import subprocess
import urllib.request

import pytest
from testbed import BUILD, end_with_parent

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs/operations.md").read_text()
FORERUN = BUILD / "forerun"
OF_OTHERS = {"--stack-name", "--template-file", "--capabilities", "--parameter-overrides", "--now", "--filters", "--attributes",
             "--event-pattern", "--queue-name", "--rule", "--targets"}


@functools.cache
def help_of(*command):
    done = subprocess.run([FORERUN, *command, "--help"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"forerun {' '.join(command)}: {done.stderr}"
    return done.stdout


def commands():
    """Every `forerun ...` in the text: words up to where the code ends."""
    code = re.findall(r"`([^`\n]+)`", TEXT) + re.findall(r"^ {4,}(.+)$", TEXT, re.M)
    return sorted({one for one in code if re.match(r"forerun [a-z]", one) and "=" not in one.split()[1]})


def subcommand(words):
    """"core init" goes before "core"."""
    two = " ".join(words[:2])
    return words[:2] if two in ("core init", "core pause", "core resume", "lab swarm") else words[:1]


def test_there_are_commands_to_check():
    assert len(commands()) > 8


@pytest.mark.parametrize("command", commands())
def test_a_command_exists_with_its_options(command):
    words = command.split()[1:]
    known = help_of(*subcommand(words))
    for flag in re.findall(r"--[a-z-]+", command):
        assert re.search(rf"^\s*{flag}\b", known, re.M), f"{flag} is no option of forerun {' '.join(subcommand(words))}"


@pytest.mark.parametrize("flag", sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) - OF_OTHERS))
def test_an_option_exists(flag):
    names = re.findall(r"^  ((?:core |lab )?[a-z]+)\s", help_of(), re.M)
    assert any(re.search(rf"^\s*{flag}\b", help_of(*name.split()), re.M) for name in names)


# Nothing answers there; the metrics are served all the same.
NO_AWS = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret",
          "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}


def metrics_of(tmp_path, role, *arguments):
    process = subprocess.Popen([FORERUN, role, "--options-file", "/dev/null", "--listen", "127.0.0.1:0", "--state-dir", tmp_path / role,
                                "--format", "json", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env=NO_AWS, preexec_fn=end_with_parent)
    try:
        port = json.loads(process.stdout.readline())["port"]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open(f"http://127.0.0.1:{port}/metrics").read().decode()
    finally:
        process.kill()
        process.wait()


def shared_key(directory):
    key = directory / "shared.key"
    key.write_text("0" * 64 + "\n")
    return key


def test_metrics_exist(tmp_path):
    served = metrics_of(tmp_path, "run") + metrics_of(tmp_path, "core", "--shared-key", shared_key(tmp_path), "--listen-agents", "127.0.0.1:0",
                                                      "--lock-table", "forerun")
    named = set(re.findall(r"`((?:forerun|process)_[a-z_]+)[`{]", TEXT))
    assert named and not [name for name in named if not re.search(rf"^# TYPE {name} ", served, re.M)]


def test_the_brakes_are_those_of_the_core(tmp_path):
    served = metrics_of(tmp_path, "core", "--shared-key", shared_key(tmp_path), "--listen-agents", "127.0.0.1:0")
    names = set(re.findall(r'^forerun_brake_holding\{brake="([a-z-]+)"', served, re.M))
    table = TEXT.partition("\n## Brakes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", table, re.M)
    assert names and {name for row in rows for name in re.findall(r"[a-z-]+", row)} == names


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([\w./-]+)\)", TEXT))))
def test_a_link_leads_somewhere(link):
    assert (ROOT / "docs" / link).exists()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(deploy/[\w./-]+)`", TEXT))))
def test_a_file_is_there(path):
    assert (ROOT / path).exists()

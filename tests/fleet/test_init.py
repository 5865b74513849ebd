# SPDX-License-Identifier: Apache-2.0
"""`forerun core init`: what it makes, what it leaves alone, and that what it prints works as printed."""

import re
import shlex
import stat
import subprocess

import pytest
from members import Agent, Keys, run_binary
from running import BINARY, Forerun


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_all_files_are_their_owners_alone(keys):
    files = [path for path in keys.directory.rglob("*") if path.is_file()]
    assert sorted(path.relative_to(keys.directory).as_posix() for path in files) == [
        "agents/a.crt", "agents/a.key", "agents/b.crt", "agents/b.key", "ca.crt", "ca.key", "core.crt", "core.key", "shared.key"]
    assert {mode_of(path) for path in files} == {0o600}
    assert {mode_of(keys.directory), mode_of(keys.directory / "agents")} == {0o700}
    assert re.fullmatch(r"[0-9a-f]{64}\n", (keys.directory / "shared.key").read_text())


def test_openssl_agrees_with_the_certificates(keys):
    def verify(name, purpose):
        return subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", keys.directory / "ca.crt", "-purpose", purpose,
                               keys.directory / name], capture_output=True, text=True).returncode == 0

    assert verify("core.crt", "sslserver") and verify("agents/a.crt", "sslclient")
    assert not verify("core.crt", "sslclient") and not verify("agents/a.crt", "sslserver")
    names = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", keys.directory / "core.crt"],
                           capture_output=True, text=True).stdout
    assert "IP Address:127.0.0.1" in names and "DNS:localhost" in names


def test_nothing_is_overwritten_and_more_agents_come_under_the_same_authority(tmp_path):
    keys = Keys(tmp_path / "keys", "a")
    before = {path: path.read_bytes() for path in keys.directory.rglob("*") if path.is_file()}
    for again in (["--mtls", "--core-name", "localhost"], ["--mtls", "--agent", "new", "--agent", "a"], ["--shared-key"]):
        done = run_binary("core", "init", "--dir", keys.directory, *again)
        assert done.returncode != 0 and "exist" in done.stderr, again
        assert {path: path.read_bytes() for path in keys.directory.rglob("*") if path.is_file()} == before
    said = keys.init("--mtls", "--agent", "c")
    assert "--core 127.0.0.1 --host c " in said, "the core's name is read from its certificate"
    verified = subprocess.run(["openssl", "verify", "-CAfile", keys.directory / "ca.crt", keys.directory / "agents/c.crt"])
    assert verified.returncode == 0


@pytest.mark.parametrize("broken, message", [
    ("ca.key", "cannot read"), ("ca.crt", "the certificate cannot be read"), ("without ca.key", "expected both or neither")])
def test_a_broken_authority_issues_nothing(broken, message, tmp_path):
    keys = Keys(tmp_path / "keys")
    if broken == "without ca.key":
        (keys.directory / "ca.key").unlink()
    else:
        (keys.directory / broken).write_text("x\n")
    done = run_binary("core", "init", "--dir", keys.directory, "--mtls", "--agent", "a")
    assert done.returncode != 0 and not (keys.directory / "agents/a.crt").exists()
    assert message in done.stderr or "cannot be read" in done.stderr


def commands(text):
    """The printed command lines: the core's first."""
    return [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("  forerun ")]


def options(text):
    """The printed blocks of options, as options files."""
    return ["\n".join(line.strip() for line in block.splitlines()) + "\n"
            for block in re.findall(r"options files?\n((?:  [a-z-]+: .*\n)+)", text)]


@pytest.fixture
def inside():
    """A prefix that runs a command where every port is free."""
    name = "forerun-test-init"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    yield ["nsenter", f"--net=/run/netns/{name}"]
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.parametrize("way", ["flags", "files"])
def test_what_is_printed_works_as_printed(way, tmp_path, inside, ending):
    directory = tmp_path / "keys"
    said = run_binary("core", "init", "--dir", directory, "--mtls", "--core-name", "127.0.0.1", "--agent", "web-1").stdout
    core_command, agent_command = commands(said)
    if way == "files":
        for name, text in zip(("core", "agent"), options(said), strict=True):
            (tmp_path / f"{name}.yaml").write_text(text)
        core_command, agent_command = [[name, "--options-file", tmp_path / f"{name}.yaml"] for name in ("core", "agent")]
    core = object.__new__(Forerun)
    core.begin([*inside, BINARY, *core_command, "--state-dir", tmp_path / "state", "--listen", "127.0.0.1:0", "--format", "json"],
               tmp_path / "state", {})
    ending(core)
    core.wait(lambda: core.port, "the start line")
    assert core.agents_port == 9911
    agent = object.__new__(Agent)
    agent.begin([*inside, BINARY, *agent_command, "--listen", "127.0.0.1:0", "--format", "json"], tmp_path / "agent",
                {"AWS_EC2_METADATA_DISABLED": "true"})
    ending(agent)
    agent.connected()


def test_a_shared_key_connects_any_host(core, agent, keys):
    one = core(mode="observe", with_keys=keys.shared())
    agent("anyone", one, with_keys=keys.shared()).connected()

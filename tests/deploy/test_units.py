# SPDX-License-Identifier: Apache-2.0
"""The units of agent and core: what they are allowed, and that systemd takes them."""

import pathlib
import re
import subprocess

import pytest

DIRECTORY = pathlib.Path(__file__).resolve().parent.parent.parent / "deploy/standalone"
THREE = "CAP_BPF CAP_PERFMON CAP_NET_ADMIN"


def values(unit, key):
    return re.findall(rf"^{key}=(.*)$", (DIRECTORY / f"forerun-{unit}.service").read_text(), re.M)


@pytest.mark.parametrize("unit, capabilities", [("agent", THREE), ("core", "")])
def test_an_agent_has_three_capabilities_and_a_core_none(unit, capabilities):
    for key in ("AmbientCapabilities", "CapabilityBoundingSet"):
        assert values(unit, key) == [capabilities]
    assert values(unit, "User") == ["forerun"] and values(unit, "NoNewPrivileges") == ["yes"]


@pytest.mark.parametrize("unit, tenths", [("agent", 25), ("core", 15)])
def test_little_is_exposed(unit, tenths):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", f"--threshold={tenths}", DIRECTORY / f"forerun-{unit}.service"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("unit", ["agent", "core"])
def test_it_is_watched_and_its_log_is_kept(unit):
    assert values(unit, "Type") == ["notify"] and values(unit, "WatchdogSec") and values(unit, "StandardError") == ["journal"]
    assert values(unit, "ExecStart") == [f"/usr/bin/forerun {unit} --options-file /etc/forerun/{unit}.yaml --format none"]


def test_the_core_alone_keeps_a_state():
    assert values("core", "StateDirectory") == ["forerun"] and values("agent", "StateDirectory") == []

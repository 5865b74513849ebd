# SPDX-License-Identifier: Apache-2.0
"""What a core and an agent tell of a fleet: stages up to the first response, hosts, brakes, who leads."""

import json
import re
import subprocess
import time

import pytest
from running import run_binary

LAUNCHED = 3


def status(member, *arguments):
    done = run_binary("status", "--url", f"http://127.0.0.1:{member.port}", *arguments)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def told(member):
    return json.loads(status(member, "--json"))


def metrics(member):
    found = {}
    for line in member.get("/metrics")[1].splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name] = float(value)
    return found


@pytest.fixture
def launching(core, swarm, queue, ec2_world):
    """One host has a queue, and the core has launched three instances that run within two seconds."""
    ec2_world.control(pending_s=2)
    one = core("--serving-after", "20s", "--max-usd-per-day", "50")
    hosts = swarm(one, "--agents", "1", "--host", "first", "--service", "web", "--port", str(queue.port), "--rate", "10").connected(1)
    one.wait(lambda: told(one)["hosts"]["reporting"] == 1, "the host")
    time.sleep(0.5)
    hosts.say("depth 30")
    one.decision(closed=False)
    one.wait(lambda: len(ec2_world.ledger(alive=True)) == LAUNCHED, "three instances")
    return one, hosts, ec2_world.ledger(alive=True)


def test_an_instance_serves_with_the_first_response_of_its_agent(launching):
    one, hosts, ledger = launching
    one.wait(lambda: [n["state"] for n in told(one)["nodes"]] == ["running"] * LAUNCHED, "all run")
    assert {n["agent"] for n in told(one)["nodes"]} == {"none"} and not any(n["serving"] for n in told(one)["nodes"])
    for i, entry in enumerate(ledger):
        hosts.say(f"host add node-{i} {entry['id']} web")
    decision = one.decision()
    steps = [s["text"] for s in decision["steps"]]
    for entry in ledger:
        assert any(s.startswith(entry["id"]) and s.endswith("agent connected") for s in steps), steps
        serves = next(s for s in steps if s.startswith(entry["id"]) and "serves: its first response, " in s)
        assert re.search(r"s after the (edge|decision) \(called [\d.]+, pending [\d.]+, running [\d.]+, connected [\d.]+, serving [\d.]+\)$", serves)
    latency = told(one)["scaling_latency"]
    assert latency["count"] == LAUNCHED and 1.5 < latency["p50_seconds"] < 20
    assert latency["stage_mean_seconds"]["connected"] > 0
    assert {n["agent"] for n in told(one)["nodes"]} == {"connected"}
    found = metrics(one)
    assert found['forerun_launch_stage_seconds_count{stage="connected"}'] == LAUNCHED
    assert found['forerun_instances_by_agent{agent="connected"}'] == LAUNCHED
    assert found['forerun_lead_time_seconds{pool="web"}'] < 20, "the launch was measured, not --serving-after"


def test_hosts_and_who_is_silent_are_told(launching):
    one, hosts, ledger = launching
    hosts.say(f"host add node-0 {ledger[0]['id']} web")
    one.wait(lambda: told(one)["hosts"]["reporting"] == 2, "two hosts")
    listed = {h["host"]: h for h in json.loads(one.get("/v1/hosts")[1])["hosts"]}
    assert listed["node-0"]["instance"] == ledger[0]["id"] and listed["node-0"]["services"] == "web"
    assert all(not h["silent"] and h["heard_seconds_ago"] < 3 for h in listed.values())
    hosts.say("silence node-0")
    one.wait(lambda: told(one)["hosts"] == {"reporting": 1, "silent": 1}, "one silent host")
    one.wait(lambda: metrics(one)['forerun_hosts{state="silent"}'] == 1, "the silent host in /metrics")
    shown = status(one)
    assert "hosts    1 reporting, 1 silent" in shown and "  hosts: 1 reporting, 1 silent" in shown
    assert re.search(rf"^{ledger[0]['id']} .* silent +web$", shown, re.M)


def test_a_pause_is_a_brake_that_status_names(launching, tmp_path):
    one, _, _ = launching
    pause = next(tmp_path.glob("core/")) / "pause"
    pause.write_text("the shop is being moved\n")
    one.wait(lambda: metrics(one)['forerun_brake_holding{brake="pause"}'] >= 1, "the pause")
    assert re.search(r"^brake +pause holds for .*the shop is being moved", status(one), re.M)
    pause.unlink()
    one.wait(lambda: metrics(one)['forerun_brake_holding{brake="pause"}'] == 0, "the end of the pause", 40)
    assert metrics(one)['forerun_brake_occasions_total{brake="pause"}'] >= 1


def test_core_and_agent_both_answer(core, agent):
    one = core()
    member = agent("a", one).connected()
    one.wait(lambda: told(one)["agents"]["connected"] == 1, "the agent at the core")
    assert "lead     this core alone" in status(one) and "agents   1 connected" in status(one)
    assert told(one)["role"] == "core" and metrics(one)["forerun_leading"] == 1
    shown = status(member)
    assert f"core     {one.address}: connected, " in shown
    assert re.search(r"^signals  \d+ listeners?, .*; read [\d.]+ s ago$", shown, re.M)
    assert told(member)["role"] == "agent" and metrics(member)[f'forerun_core_connected{{core="{one.address}"}}'] == 1
    assert member.get("/v1/decisions")[0] == 404 and member.get("/v1/signals")[0] == 200
    assert one.get("/v1/signals")[0] == 404 and one.get("/v1/decisions")[0] == 200
    for asked in one, member:
        checked = subprocess.run(["promtool", "check", "metrics"], input=asked.get("/metrics")[1], capture_output=True, text=True, timeout=30)
        assert checked.returncode == 0 and checked.stderr == "", checked.stderr


def test_two_cores_say_who_leads_and_the_next_one_takes_over(core, ec2_world):
    ec2_world.client("dynamodb").create_table(
        TableName="forerun-lock", AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST")
    lock = ["--lock-table", "forerun-lock", "--lease", "2s"]
    one = core(*lock, name="one")
    one.wait(lambda: told(one)["lease"]["leading"], "the lead")
    two = core(*lock, name="two")
    assert re.search(r"^lead     this core leads: epoch 1, [\d.]+ s left of its lease, 0 writes failed$", status(one), re.M)
    two.wait(lambda: told(two)["lease"]["holder"] == told(one)["lease"]["holder"], "who leads")
    assert re.search(rf"^lead     this core stands by: {told(one)['lease']['holder']} leads, epoch 1$", status(two), re.M)
    assert re.search(r"^brake +standby holds", status(two), re.M)
    assert (metrics(one)["forerun_leading"], metrics(two)["forerun_leading"]) == (1, 0)
    assert 0 < metrics(one)["forerun_lease_left_seconds"] <= 2 and "forerun_lease_left_seconds" not in metrics(two)
    one.kill()
    two.wait(lambda: told(two)["lease"]["leading"], "the second one leads")
    assert metrics(two)["forerun_leading"] == 1 and metrics(two)["forerun_lease_epoch"] == 2
    two.wait(lambda: metrics(two)['forerun_brake_holding{brake="standby"}'] == 0, "the standby brake lets go")

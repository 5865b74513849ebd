# SPDX-License-Identifier: Apache-2.0
"""Agents and a core as processes over TLS: a real accept queue on an agent's host, calls to EC2 by the core.

The policy wants 4 replicas as soon as one connection waits (target 0.25 for each, at most 4). Each host whose agent names the
service is one of them: with one agent a decision is for 3 instances.
"""

import re
import signal
import time

from running import run_binary

LAUNCHED = 3


def settled(core, ec2, count=LAUNCHED):
    core.wait(lambda: len(ec2.ledger(alive=True)) >= count, f"{count} instances in EC2")
    time.sleep(0.5)
    assert len(ec2.ledger(alive=True)) == count, "no more than was decided"


def agents_of(core):
    return [line for line in core.lines if line["type"] == "status"][-1]["agents"]


def test_a_queue_on_an_agents_host_makes_the_core_launch_once(core, agent, queue, ec2_world):
    one = core()
    agent("a", one).connected()
    one.wait(lambda: one.policy()["metrics"][0]["listeners"] == 1, "the agent's listener")
    time.sleep(2.2)
    queue.depth = 30
    decision = one.decision(closed=False)
    settled(one, ec2_world)
    assert decision["replicas"] == {"before": 1, "wanted": 4, "decided": 4}
    assert decision["edge_to_decision_ms"] >= 0, "an edge led to it"
    calls = ec2_world.log("CreateFleet")
    assert [call["status"] for call in calls] == [200]
    tags = ec2_world.ledger()[0]["tags"]
    assert (tags["forerun.dev/policy"], tags["forerun.dev/service"], tags["forerun.dev/count"]) == ("web", "web", "3")
    assert re.fullmatch(r"fr-[0-9a-f]{16}-1", tags["forerun.dev/token"])


def test_an_agent_of_another_service_concerns_no_policy(core, agent, queue, ec2_world):
    one = core()
    agent("a", one, service="api").connected()
    queue.depth = 30
    time.sleep(2)
    assert one.policy()["metrics"][0]["listeners"] == 0 and ec2_world.ledger() == []


def test_an_agent_that_dies_is_no_reason_to_scale_down(core, agent, queue, ec2_world):
    one = core("--stale-after", "1s", down_s=0)
    member = agent("a", one).connected()
    queue.depth = 30
    settled(one, ec2_world)
    member.kill()
    one.wait(lambda: "stale" in one.policy()["held"], "the signals to be left out")
    time.sleep(3)
    assert len(ec2_world.ledger(alive=True)) == LAUNCHED
    assert ec2_world.log("TerminateInstances") == []


def test_a_core_that_restarts_is_found_again_and_launches_no_more(core, agent, queue, ec2_world):
    one = core()
    port = one.agents_port
    member = agent("a", one).connected()
    queue.depth = 30
    settled(one, ec2_world)
    one.kill()
    member.wait(lambda: not member.links()[0]["connected"], "the loss to be noticed")
    again = core(listen=f"127.0.0.1:{port}")
    member.connected()
    again.wait(lambda: again.policy()["replicas"] == LAUNCHED + 1, "what was launched before")
    time.sleep(2)
    assert len(ec2_world.ledger()) == LAUNCHED
    assert member.links()[0]["connects"] == 2


def test_both_sides_refuse_who_is_of_another_authority(core, agent, keys, tmp_path, other_keys):
    one = core(mode="observe")
    stranger = agent("a", one, with_keys=other_keys.agent("a"))
    stranger.wait(lambda: stranger.links() and "certificate" in stranger.links()[0]["reason"], "the reason")
    assert not stranger.links()[0]["connected"]
    # The core's certificate is good here, the agent's is not.
    mixed = ["--ca", keys.directory / "ca.crt", *other_keys.agent("a")[2:]]
    forged = agent("b", one, with_keys=[*mixed[:2], *other_keys.agent("b")[2:]])
    forged.wait(lambda: forged.links() and forged.links()[0]["reason"], "the reason")
    one.wait(lambda: agents_of(one)["handshakes_failed"] >= 2, "both handshakes to fail")
    assert agents_of(one)["admitted"] == 0


def test_a_certificate_is_good_for_its_own_host_only(core, agent, keys):
    one = core(mode="observe")
    member = agent("b", one, with_keys=keys.agent("a"))
    member.wait(lambda: member.links() and member.links()[0]["reason"], "the reason")
    one.wait(lambda: agents_of(one)["refused"] >= 1, "the refusal")
    assert not member.links()[0]["connected"]


def test_keys_are_read_again_on_sighup(core, agent, tmp_path, fresh_keys, other_keys):
    one = core(mode="observe", with_keys=fresh_keys.core())
    member = agent("a", one, with_keys=fresh_keys.agent("a")).connected()
    for name in ("ca.crt", "core.crt", "core.key", "agents/a.crt", "agents/a.key"):
        (fresh_keys.directory / name).write_bytes((other_keys.directory / name).read_bytes())
    for process in (one, member):
        process.process.send_signal(signal.SIGHUP)
        process.wait(lambda p=process: "SIGHUP: the keys were read again" in p.stderr(), "the log line")
    newcomer = agent("b", one, with_keys=other_keys.agent("b")).connected()
    member.connected()
    assert newcomer.links()[0]["connected"] and one.process.poll() is None

    (fresh_keys.directory / "core.key").write_text("no key\n")
    one.process.send_signal(signal.SIGHUP)
    one.wait(lambda: "the keys from before stay in use" in one.stderr(), "the complaint")
    assert str(fresh_keys.directory / "core.key") in one.stderr()
    newcomer.kill()
    one.wait(lambda: agents_of(one)["connected"] == 1, "the end of one")
    agent("b", one, with_keys=other_keys.agent("b")).connected()


def test_a_pause_holds_launches_until_it_is_lifted(core, agent, queue, ec2_world):
    one = core()
    agent("a", one).connected()
    paused = run_binary("core", "pause", "--state-dir", one.state, "--reason", "maintenance until noon")
    assert paused.returncode == 0 and str(one.state / "pause") in paused.stdout
    one.wait(lambda: "maintenance until noon" in one.stderr(), "the core to see it")
    queue.depth = 30
    one.wait(lambda: "maintenance until noon" in one.policy()["held"], "the pause to be named")
    time.sleep(1)
    assert ec2_world.ledger() == [] and ec2_world.log("CreateFleet") == []
    resumed = run_binary("core", "resume", "--state-dir", one.state)
    assert resumed.returncode == 0
    settled(one, ec2_world)


def test_a_thousand_agents_stay_connected(core, swarm, ec2_world):
    one = core(mode="observe")
    many = swarm(one, "--agents", "1000", "--service", "web", "--edges", "0.01").connected(1000)
    one.wait(lambda: agents_of(one)["connected"] == 1000, "1,000 connections")
    frames = agents_of(one)["frames"]
    one.wait(lambda: agents_of(one)["frames"] > frames + 2000, "their frames")
    many.say("silence 20%")
    assert many.status()["ended"] == {}
    assert many.stop() == 0
    one.wait(lambda: agents_of(one)["connected"] == 0, "the end of all")


def test_a_simulated_fleet_that_queues_is_summed(core, swarm, queue, ec2_world):
    one = core(most=20, target="10")
    fleet = swarm(one, "--agents", "2", "--port", str(queue.port), "--service", "web").connected(2)
    one.wait(lambda: one.policy()["replicas"] == 2, "two hosts")
    fleet.say("depth 30")
    fleet.say("edge")
    decision = one.decision(closed=False)
    assert decision["replicas"] == {"before": 2, "wanted": 6, "decided": 6}
    settled(one, ec2_world, 4)
    fleet.say("host add later-1 - web")
    one.wait(lambda: one.policy()["metrics"][0]["sum"] == 90, "the sum of three")


def test_an_agent_hears_which_depth_is_an_edge(core, agent, queue, ec2_world):
    """The policy scales at the first connection that waits: below the agent's own --edge-depth, and between its reports."""
    one = core()
    member = agent("a", one).connected()
    one.wait(lambda: one.policy()["metrics"][0]["listeners"] == 1, "the agent's listener")
    time.sleep(2.2)
    queue.pace_s = None
    queue.depth = 1
    decision = one.decision(closed=False)
    assert decision["edge_to_decision_ms"] < 1000
    member.wait(lambda: member.links()[0]["edges"] >= 1, "the edge to be counted")


def test_an_agent_serves_its_signals_and_its_connections(core, agent, queue):
    one = core(mode="observe")
    member = agent("a", one).connected()
    assert member.get("/readyz") == (200, "ready\n") and member.get("/healthz") == (200, "ok\n")
    assert f'port="{queue.port}"' in member.get("/metrics")[1]
    assert str(queue.port) in member.get("/v1/signals")[1]
    assert member.get("/v1/decisions")[0] == 404 and one.get("/v1/signals")[0] == 404
    one.wait(lambda: agents_of(one)["frames"] >= 2, "frames")
    assert one.lines[0]["role"] == "core" and member.lines[0]["role"] == "agent"

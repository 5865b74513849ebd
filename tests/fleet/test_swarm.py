# SPDX-License-Identifier: Apache-2.0
"""`forerun lab swarm`: what it is told on standard input reaches the core as if real hosts said it."""

import json

import pytest


def hosts(core):
    return {host["host"]: host for host in json.loads(core.get("/v1/hosts")[1])["hosts"]}


@pytest.fixture
def one(core, queue):
    return core(mode="observe", target="1000")


def depth(core):
    return core.policy()["metrics"][0]["sum"]


def test_instances_count_on_from_the_first(one, swarm):
    swarm(one, "--agents", "3", "--instance-id", "i-00000000000000fe", "--service", "web", "--host", "sim").connected(3)
    one.wait(lambda: len(hosts(one)) == 3, "three hosts")
    assert {name: host["instance"] for name, host in hosts(one).items()} == {
        "sim-1": "i-00000000000000fe", "sim-2": "i-00000000000000ff", "sim-3": "i-0000000000000100"}


def test_depths_are_set_for_one_or_all(one, swarm, queue):
    fleet = swarm(one, "--agents", "3", "--depth", "1", "--rate", "5", "--port", queue.port, "--service", "web").connected(3)
    one.wait(lambda: depth(one) == 3, "one each")
    fleet.say("depth 10 swarm-2")
    one.wait(lambda: depth(one) == 12, "ten at one")
    fleet.say("depth 2")
    one.wait(lambda: depth(one) == 6, "two each")


def test_hosts_come_go_and_fall_silent(one, swarm, queue):
    fleet = swarm(one, "--agents", "0", "--rate", "5", "--port", queue.port)
    fleet.say("host add x i-0123456789abcdef0 web,api")
    fleet.say("host add y - -")
    one.wait(lambda: set(hosts(one)) == {"x", "y"}, "both hosts")
    assert (hosts(one)["x"]["instance"], hosts(one)["y"]["instance"]) == ("i-0123456789abcdef0", "")
    fleet.say("host remove y")
    fleet.connected(1)
    fleet.say("silence x")
    one.wait(lambda: "stale" in one.policy()["held"] or depth(one) is None, "its silence to be noticed")
    fleet.say("silence 0%")
    one.wait(lambda: depth(one) == 0, "its signals again")


WRONG = {
    "depth": "depth N [HOST]",
    "depth -1": "depth N [HOST]",
    "depth 1 nobody": "depth N [HOST]",
    "edge nobody": "edge [HOST]",
    "silence": "silence N% | silence HOST",
    "silence 101%": "silence N% | silence HOST",
    "silence x%": "silence N% | silence HOST",
    "host add a": "host add NAME INSTANCE SERVICE, with a name that is not there yet",
    "host add swarm-1 - web": "host add NAME INSTANCE SERVICE, with a name that is not there yet",
    "host remove nobody": "host remove NAME, of an agent that is there",
    "host": "depth, edge, silence, host add, host remove or quit",
    "what now": "depth, edge, silence, host add, host remove or quit",
}


def test_a_wrong_command_changes_nothing_and_is_answered(swarm, keys):
    class Nowhere:
        address = "127.0.0.1:9"

    alone = swarm(Nowhere, "--agents", "1", with_keys=keys.shared())
    alone.wait(lambda: alone.lines, "a line")
    alone.process.stdin.write("\n\n".join(WRONG) + "\nquit\n")
    alone.process.stdin.flush()
    assert alone.process.wait(10) == 0
    alone.wait(lambda: alone.lines[-1]["type"] == "summary", "the summary")
    assert [line["expected"] for line in alone.lines if line["type"] == "refused"] == list(WRONG.values())
    assert alone.status()["agents"] == 1


def test_why_connections_end_is_counted(swarm, keys, core, other_keys):
    one = core(mode="observe")
    strangers = swarm(one, "--agents", "2", with_keys=other_keys.swarm())
    strangers.wait(lambda: sum(strangers.status().get("ended", {}).values()) >= 2, "two ends", 20)
    assert all("certificate" in reason for reason in strangers.status()["ended"])

# SPDX-License-Identifier: Apache-2.0
"""Instances of a warm pool: stopped, started and made a policy's, with EC2 failing in its ways."""

import pytest
from cloud_driver import Cloud, documents

TAGS = {"forerun.dev/policy": "web", "forerun.dev/token": "fr-0123456789abcdef-9", "forerun.dev/count": "2"}


@pytest.fixture
def cloud(ec2_world, tmp_path):
    running = Cloud(ec2_world.environment(HOME=str(tmp_path)), documents(tmp_path / "config", ec2_world.world, capacity="on-demand"))
    yield running.ready()
    running.close()
    for entry in ec2_world.log():
        assert entry["model"] is None and entry["signature"] is None, entry


def prepared(cloud, count=2):
    """Instances that ran and were stopped."""
    ids = [i["id"] for i in cloud.launch("first", count, capacity_type="on-demand")["instances"]]
    for one in ids:
        assert cloud.ask("stop", "stopped", {"id": one})["error"] == ""
    return ids


def start(cloud, ids, token="start", **more):
    return cloud.ask("launch", "launched", {"token": token, "count": len(ids), "starts": ids, "tags": TAGS, **more}, token=token)


def shown(cloud):
    return {i["id"]: i for i in cloud.ask("describe", "fleet")["instances"]}


def test_what_was_stopped_is_started_and_is_the_policys(cloud):
    ids = prepared(cloud)
    assert {i["state"] for i in shown(cloud).values()} == {"stopped"}
    result = start(cloud, ids)
    assert result["outcome"] == "done" and [i["id"] for i in result["instances"]] == ids
    assert 0 < result["started_ns"] <= result["sent_ns"] <= result["done_ns"]
    for instance in shown(cloud).values():
        assert (instance["state"], instance["policy"], instance["sequence"], instance["count"]) == ("running", "web", 9, 2)


def test_started_twice_is_started_once(cloud, ec2_world):
    ids = prepared(cloud, 1)
    assert [start(cloud, ids)["outcome"], start(cloud, ids)["outcome"]] == ["done", "done"]
    assert len(ec2_world.ledger(alive=True)[0]["starts"]) == 1


def test_one_without_capacity_does_not_keep_the_others(cloud, ec2_world):
    ids = prepared(cloud)
    first = next(e for e in ec2_world.ledger() if e["id"] == ids[0])
    ec2_world.control(capacity={f"start:{first['type']}/{first['zone']}": 1})
    result = start(cloud, ids)
    assert result["outcome"] == "done" and [i["id"] for i in result["instances"]] == ids[:1]
    assert [(f["instance"], f["code"]) for f in result["failures"]] == [(ids[1], "InsufficientInstanceCapacity")]
    assert {i["policy"] for i in shown(cloud).values()} == {"web"}
    tagged = [e for e in ec2_world.ledger() if e["tags"].get("forerun.dev/count") == "2"]
    assert [e["id"] for e in tagged] == ids[:1], "what did not start is nobody's"


def test_one_that_is_stopping_is_said_to_be(cloud, ec2_world):
    ec2_world.control(stopping_s=30)
    ids = prepared(cloud, 1)
    result = start(cloud, ids)
    assert result["outcome"] == "done" and not result["instances"]
    assert result["failures"][0]["code"] == "IncorrectInstanceState" and not result["no_capacity"]


@pytest.mark.parametrize("action", ["StartInstances", "CreateTags"])
@pytest.mark.parametrize("fault", ["drop_after", "error"])
def test_without_an_answer_the_same_order_is_asked_for_again(cloud, ec2_world, action, fault):
    ids = prepared(cloud)
    ec2_world.control(faults=[{"action": action, "do": fault, "times": 5}])
    result = start(cloud, ids)
    assert result["outcome"] == "unknown" and not result["instances"]
    ec2_world.control(faults=[])
    result = start(cloud, ids)
    assert result["outcome"] == "done" and [i["id"] for i in result["instances"]] == ids
    assert [len(e["starts"]) for e in ec2_world.ledger()] == [1, 1]


def test_hibernation_waits_until_the_instance_can(cloud, ec2_world):
    ec2_world.control(hibernation_ready_s=3600)
    one = cloud.launch("first", 1, capacity_type="on-demand")["instances"][0]["id"]
    assert cloud.ask("stop", "stopped", {"id": one, "hibernate": True})["error"] == "refused"
    ec2_world.control(hibernation_ready_s=0)
    assert cloud.ask("stop", "stopped", {"id": one, "hibernate": True})["error"] == ""
    assert ec2_world.ledger()[0]["hibernated"]

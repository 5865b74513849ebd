# SPDX-License-Identifier: Apache-2.0
"""A warm pool whole: `forerun run` prepares it in moto, starts what rests, and dies in between."""

import json
import pathlib
import re
import sys
import time

import pytest
from running import Forerun, Queue, write_config

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "deploy"))
from authorization import ACCOUNT, Account, requests_of  # noqa: E402
from iam_policy import Request, decide, every_grant, load  # noqa: E402

SIZE = 2


@pytest.fixture
def queue():
    found = Queue()
    yield found
    found.close()


@pytest.fixture
def start(ec2_world, queue, tmp_path):
    """start(annotation): `forerun run` with that warm pool; again for the next life of the same core."""
    running = []

    def starter(warm=f"size={SIZE},state=stopped", **more):
        config = write_config(tmp_path / "config", ec2_world.world, queue.port, **{"most": 4, "target": "0.25", "capacity": "spot, on-demand", **more})
        text = (config / "pool.yaml").read_text()
        (config / "pool.yaml").write_text(text.replace("{name: web}", f'{{name: web, annotations: {{forerun.dev/warm-pool: "{warm}"}}}}', 1))
        running.append(Forerun(config, tmp_path / "state", ec2_world.environment(HOME=str(tmp_path))))
        return running[-1].ready()

    yield starter
    for forerun in running:
        forerun.kill()
    for entry in ec2_world.log():
        assert entry["model"] is None and entry["signature"] is None, entry


def at_rest(ec2):
    return [e for e in ec2.ledger(alive=True) if e.get("stopped")]


def replicas(ec2):
    return [e for e in ec2.ledger(alive=True) if not e.get("stopped") and e["tags"]["forerun.dev/policy"] == "web"]


def prepared(forerun, ec2, count=SIZE):
    """And forerun has seen it."""
    forerun.wait(lambda: len(at_rest(ec2)) == count, f"{count} at rest", 60)
    forerun.wait(lambda: [n["state"] for n in json.loads(forerun.get("/v1/status")[1])["nodes"]].count("stopped") == count, "it to be seen", 40)


def used(decision):
    return {s["source"]: s["count"] for s in decision["sources"] if s["count"]}


def test_it_is_prepared_and_taken_first_and_prepared_again(start, queue, ec2_world):
    forerun = start()
    prepared(forerun, ec2_world)
    assert {e["capacity_type"] for e in ec2_world.ledger()} == {"on-demand"}
    assert {e["tags"]["forerun.dev/policy"] for e in ec2_world.ledger()} == {"warm/web"}
    assert forerun.policy()["replicas"] == 1
    before = {e["id"] for e in at_rest(ec2_world)}
    queue.depth = 30
    decision = forerun.wait(lambda: [d for d in forerun.decisions("scale-up") if d["policy"] == "web"], "the decision")[0]
    forerun.wait(lambda: len(replicas(ec2_world)) == 3, "3 replicas")
    assert used(decision) == {"stopped": 2, "spot": 1}
    assert before <= {e["id"] for e in replicas(ec2_world)}
    prepared(forerun, ec2_world)
    assert len(replicas(ec2_world)) == 3
    text = forerun.explain(decision["id"]).stdout
    assert re.search(r"stopped +2 +time not known yet", text) and "StartInstances on the wire: 2 of the warm pool" in text


def test_without_capacity_at_the_start_it_is_bought_in_the_same_decision(start, queue, ec2_world):
    forerun = start()
    prepared(forerun, ec2_world)
    ec2_world.control(capacity={"start:*": 0})
    queue.depth = 30
    forerun.wait(lambda: len(replicas(ec2_world)) == 3, "3 replicas")
    decision = [d for d in forerun.decisions("scale-up") if d["policy"] == "web"][0]
    assert len(at_rest(ec2_world)) == SIZE
    assert {e["tags"]["forerun.dev/decision"] for e in replicas(ec2_world)} == {decision["id"]}
    assert any("InsufficientInstanceCapacity" in s["text"] for s in decision["steps"])


@pytest.mark.parametrize("action", ["StartInstances", "CreateTags"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_around_a_start_it_starts_once(start, queue, ec2_world, action, when):
    forerun = start()
    prepared(forerun, ec2_world)
    ec2_world.control(faults=[{"action": action, "do": "kill_client", "when": when, "pid": forerun.process.pid, "times": 1}], start_hidden_s=1)
    queue.depth = 30
    forerun.process.wait(20)
    forerun = start()
    forerun.wait(lambda: len(replicas(ec2_world)) == 3, "3 replicas", 60)
    prepared(forerun, ec2_world)
    time.sleep(2)
    assert len(replicas(ec2_world)) == 3 and len(ec2_world.ledger(alive=True)) == 3 + SIZE
    assert max(len(e.get("starts", [])) for e in ec2_world.ledger()) == 1


def test_hibernation_is_asked_for(start, ec2_world):
    ec2_world.control(hibernation_ready_s=2)
    forerun = start("size=1,state=hibernated,refresh=168h")
    prepared(forerun, ec2_world, 1)
    assert at_rest(ec2_world)[0]["hibernated"]
    made = {e["params"]["LaunchTemplateName"]: e["params"] for e in ec2_world.log("CreateLaunchTemplate")}
    launch = ec2_world.log("CreateFleet")[0]["params"]
    used_template = made[launch["LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName"]]
    assert used_template["LaunchTemplateData.HibernationOptions.Configured"] == "true"
    says = [template for template in made.values() if "LaunchTemplateData.HibernationOptions.Configured" in template]
    assert 2 * len(says) <= len(made), "each has a twin that does not, for all other launches"


def test_the_role_needs_the_policy_for_warm_pools_and_no_more(start, queue, ec2_world):
    values = {"REGION": "us-east-1", "ACCOUNT": ACCOUNT, "NAME": "default", "ROLE": "forerun-test-node", "PROFILE": "x", "TABLE": "x"}
    warm = load("warm-pool", **values)
    forerun = start()
    prepared(forerun, ec2_world)
    queue.depth = 30
    forerun.wait(lambda: len(replicas(ec2_world)) == 3, "3 replicas")
    log = [e for e in ec2_world.log() if e["agent"].startswith("forerun") and e["action"] in ("StartInstances", "StopInstances", "CreateTags")]
    account = Account(ec2_world, [])
    asked = [request for entry in log for request in requests_of(entry, account)]
    assert asked and all(decide(warm, request)[0] for request in asked)
    assert {grant for request in asked for grant in decide(warm, request)[1]} == set(every_grant(warm))
    home = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-1"
    own, other = ({"aws:ResourceTag/forerun.dev/owner": name} for name in ("default", "other"))
    for action, context in [("ec2:StopInstances", other), ("ec2:StartInstances", {}), ("ec2:TerminateInstances", own),
                            ("ec2:CreateTags", {**own, "aws:TagKeys": ["forerun.dev/owner"]}), ("ec2:CreateTags", {**own, "aws:TagKeys": ["Name"]}),
                            ("ec2:CreateTags", {**other, "aws:TagKeys": ["forerun.dev/policy"]})]:
        assert not decide(warm, Request(action, home, {"aws:RequestedRegion": "us-east-1", **context}))[0], action


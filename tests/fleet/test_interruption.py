# SPDX-License-Identifier: Apache-2.0
"""EC2 ends an instance: said by its own metadata to its agent, or by EventBridge's queue where no agent is left.

The policy keeps 4 replicas while a connection waits: the agent's host "a" and three instances. An agent "b" plays the agent of
one of them: its metadata is a stand-in that says what the test wants.
"""

import json
import time

import pytest
from imds import Imds
from running import run_binary

SPOT = "/latest/meta-data/spot/instance-action"
REBALANCE = "/latest/meta-data/events/recommendations/rebalance"
LAUNCHED = 3


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


@pytest.fixture
def group(ec2_world):
    """A target group of an ALB, in moto."""
    elb = ec2_world.client("elbv2")
    made = elb.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=ec2_world.world["vpc"], TargetType="instance")
    made = made["TargetGroups"][0]["TargetGroupArn"]

    def members():
        health = elb.describe_target_health(TargetGroupArn=made)["TargetHealthDescriptions"]
        return {target["Target"]["Id"] for target in health}

    members.arn = made
    return members


@pytest.fixture
def metadata():
    started = []

    def start(instance_id):
        started.append(Imds(instance_id=instance_id, role="").start())
        return started[-1]

    yield start
    for one in started:
        one.stop()


def environment(imds):
    return {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url}


def alive(ec2):
    return {entry["id"] for entry in ec2.ledger(alive=True)}


def running(core, ec2):
    core.wait(lambda: len(alive(ec2)) == LAUNCHED, f"{LAUNCHED} instances")
    core.wait(lambda: core.policy()["ready"] == LAUNCHED + 1, "all of them to serve")
    return sorted(alive(ec2))


def steps(decision):
    return [step["text"] for step in decision["steps"]]


def test_a_spot_notice_is_replaced_drained_and_terminated_in_that_order(core, agent, queue, ec2_world, group, metadata):
    one = core(policy=f"web, annotations: {{forerun.dev/target-groups: \"{group.arn}\"}}")
    agent("a", one).connected()
    queue.depth = 30
    ids = running(one, ec2_world)
    one.wait(lambda: group() == set(ids), "all of them to be registered")
    imds = metadata(ids[0])
    agent("b", one, environment=environment(imds)).connected()
    one.wait(lambda: any(f["path"] == SPOT for f in imds.log), "its metadata to be read")

    since, said = len(ec2_world.log()), time.time()
    imds.settings["documents"][SPOT] = json.dumps({"action": "terminate", "time": stamp(120)})
    one.wait(lambda: ec2_world.log("CreateFleet", since), "the replacement to be ordered", 10)
    asked = ec2_world.log("CreateFleet", since)[0]["t_kernel"]
    assert asked - said < 5, "within a second on a quiet machine"
    one.wait(lambda: ids[0] not in group(), "it to be taken out of the target group")
    leaving = json.loads(one.get("/v1/status")[1])["leaving"]
    assert [(n["instance"], n["reason"], n["state"]) for n in leaving] == [(ids[0], "spot", "draining")]
    assert "connections are open" in leaving[0]["waits_for"]
    told = run_binary("status", "--url", f"http://127.0.0.1:{one.port}").stdout
    assert f"{ids[0]}  web, spot, draining for" in told and "connections are open" in told
    assert ec2_world.log("TerminateInstances", since) == [], "connections are open on it"

    queue.pace_s = None
    queue.depth = 0
    one.wait(lambda: ids[0] not in alive(ec2_world), "it to be terminated")
    calls = [e["action"] for e in ec2_world.log(since=since)
             if e["action"] in ("CreateFleet", "CreateTags", "DeregisterTargets", "TerminateInstances")]
    assert calls.index("CreateTags") < calls.index("DeregisterTargets") < calls.index("TerminateInstances")
    assert calls.index("CreateFleet") < calls.index("TerminateInstances") and calls.count("CreateFleet") == 1
    retired, replaced = one.decision("retire"), one.decision("replace", closed=False)
    assert any("drains" in text for text in steps(retired)) and "spot terminate" in " ".join(retired["arithmetic"])
    assert any(f"takes the place of {ids[0]} (spot)" in text for text in steps(replaced))
    metrics = one.get("/metrics")[1]
    assert 'forerun_interruption_notices_total{kind="spot",source="agent"} 1' in metrics
    assert 'forerun_drains_total{reason="spot"} 1' in metrics


def event(kind, instance_id, **detail):
    return json.dumps({"version": "0", "id": "1", "detail-type": kind, "source": "aws.ec2", "account": "123456789012",
                       "time": stamp(0), "region": "us-east-1", "resources": [], "detail": {"instance-id": instance_id, **detail}})


def test_where_no_agent_is_left_the_queue_tells(core, agent, queue, ec2_world):
    sqs = ec2_world.client("sqs")
    url = sqs.create_queue(QueueName="forerun-interruptions")["QueueUrl"]
    one = core("--interruption-queue", "forerun-interruptions")
    agent("a", one).connected()
    queue.depth = 30
    ids = running(one, ec2_world)
    since = len(ec2_world.log())
    for body in (event("EC2 Spot Instance Interruption Warning", "i-0123456789abcdef0", **{"instance-action": "terminate"}),
                 "no JSON at all", event("Something else", ids[0]),
                 event("EC2 Instance Rebalance Recommendation", ids[1]),
                 event("EC2 Spot Instance Interruption Warning", ids[0], **{"instance-action": "terminate"})):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    one.wait(lambda: set(ids[:2]).isdisjoint(alive(ec2_world)), "both to be ended")
    one.wait(lambda: len(alive(ec2_world)) == LAUNCHED, "as many as before")
    assert {ids[2]} < alive(ec2_world) and len(ec2_world.ledger()) == LAUNCHED + 2
    assert {d["arithmetic"][0].partition(":")[0] for d in one.decisions("retire")} == {"spot", "rebalance"}
    one.wait(lambda: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"][
        "ApproximateNumberOfMessages"] == "0", "everything to be read")
    one.wait(lambda: 'forerun_interruption_queue_messages_unknown_total 2' in one.get("/metrics")[1], "what nobody understands")
    metrics = one.get("/metrics")[1]
    assert 'forerun_interruption_notices_total{kind="spot",source="queue"} 1' in metrics
    assert "forerun_interruption_notices_foreign_total 1" in metrics
    assert ec2_world.log("DeleteMessageBatch", since)


def test_a_core_that_is_killed_while_an_instance_drains_goes_on(core, agent, queue, ec2_world, group, metadata):
    """Maintenance, heard with session tokens that die all the time; kill -9 between the deregistration and the end."""
    one = core(policy=f"web, annotations: {{forerun.dev/target-groups: \"{group.arn}\"}}")
    agent("a", one).connected()
    queue.depth = 30
    ids = running(one, ec2_world)
    one.wait(lambda: group() == set(ids), "all of them to be registered")
    imds = metadata(ids[0])
    imds.settings["token_s"] = 1.0
    agent("b", one, environment=environment(imds)).connected()
    event = {"NotBefore": time.strftime("%d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600)), "Code": "instance-retirement",
             "Description": "retirement", "EventId": "instance-event-0d59937288b749b32", "State": "active"}
    done = {**event, "Code": "system-reboot", "State": "completed"}
    imds.settings["documents"]["/latest/meta-data/events/maintenance/scheduled"] = json.dumps([done, event])
    one.wait(lambda: ids[0] not in group(), "it to drain once its replacement serves")
    assert len(ec2_world.ledger()) == LAUNCHED + 1
    assert sum(f["method"] == "PUT" for f in imds.log) > 2, "tokens were renewed"
    one.kill()
    again = core(policy=f"web, annotations: {{forerun.dev/target-groups: \"{group.arn}\"}}", listen=f"127.0.0.1:{one.agents_port}")
    again.wait(lambda: any(n["instance"] == ids[0] for n in json.loads(again.get("/v1/status")[1])["leaving"]), "it to drain on")
    queue.pace_s = None
    queue.depth = 0
    again.wait(lambda: ids[0] not in alive(ec2_world), "it to be terminated")
    assert len(ec2_world.ledger()) == LAUNCHED + 1, "one replacement, not two"
    assert "maintenance: EC2 says by the agent: maintenance instance-retirement at" in again.decision("retire")["arithmetic"][0]
    again.wait(lambda: group() == alive(ec2_world), "the others to be registered")

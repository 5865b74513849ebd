# SPDX-License-Identifier: Apache-2.0
"""A NodePool that is bought through an Auto Scaling group: `forerun run` and moto's groups."""

import pathlib
import sys

import pytest
from running import Forerun, Queue, run_binary, write_config

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "deploy"))
from authorization import ACCOUNT  # noqa: E402
from iam_policy import Request, decide, every_grant, load  # noqa: E402

GROUP = "web-asg"


@pytest.fixture
def queue():
    found = Queue()
    yield found
    found.close()


@pytest.fixture
def group(ec2_world):
    ec2, client = ec2_world.client(), ec2_world.client("autoscaling")
    image = ec2.describe_images(Owners=["amazon"], Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"][0]["ImageId"]
    ec2.create_launch_template(LaunchTemplateName="of-the-group", LaunchTemplateData={"ImageId": image, "InstanceType": "m5.large"})
    subnets = ec2.describe_subnets(Filters=[{"Name": "tag:" + ec2_world.world["tag"]["Key"], "Values": [ec2_world.world["tag"]["Value"]]}])["Subnets"]
    client.create_auto_scaling_group(
        AutoScalingGroupName=GROUP, MinSize=0, MaxSize=5, DesiredCapacity=0, LaunchTemplate={"LaunchTemplateName": "of-the-group"},
        VPCZoneIdentifier=",".join(s["SubnetId"] for s in subnets))
    return client


def configured(directory, ec2, queue, name=GROUP, **more):
    config = write_config(directory / "config", ec2.world, queue.port,
                          **{"most": 4, "target": "0.25", "down_s": 2, "capacity": "on-demand", **more})
    text = (config / "pool.yaml").read_text()
    (config / "pool.yaml").write_text(text.replace("{name: web}", f"{{name: web, annotations: {{forerun.dev/auto-scaling-group: {name}}}}}", 1))
    return config


@pytest.fixture
def start(ec2_world, group, queue, tmp_path):
    running = []

    def starter(*arguments, **more):
        config = configured(tmp_path, ec2_world, queue, **more)
        running.append(Forerun(config, tmp_path / "state", ec2_world.environment(HOME=str(tmp_path)), *arguments))
        return running[-1].ready()

    yield starter
    for forerun in running:
        forerun.kill()


def described(client):
    found = client.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"][0]
    return found["DesiredCapacity"], len(found["Instances"])


def test_it_grows_and_shrinks_by_its_number(start, queue, group, ec2_world):
    forerun = start()
    queue.depth = 30
    forerun.wait(lambda: described(group) == (3, 3), "3 members", 30)
    decision = forerun.decisions("scale-up")[0]
    forerun.wait(lambda: any("found by their group: 3 of 3" in s["text"] for d in forerun.decisions("scale-up") for s in d["steps"]), "all three", 30)
    assert {s["source"]: s["count"] for s in decision["sources"] if s["count"]} == {"auto-scaling-group": 3}
    sent = [e["params"] for e in ec2_world.log("SetDesiredCapacity")]
    assert [(p["DesiredCapacity"], p["HonorCooldown"]) for p in sent] == [("3", "false")]
    assert not ec2_world.log("CreateFleet")
    queue.depth = 0
    forerun.wait(lambda: described(group) == (0, 0), "none", 60)
    assert len(ec2_world.log("SetDesiredCapacity")) == 1
    ended = [e["params"] for e in ec2_world.log("TerminateInstanceInAutoScalingGroup")]
    assert len(ended) == 3 and {p["ShouldDecrementDesiredCapacity"] for p in ended} == {"true"}
    assert not ec2_world.log("TerminateInstances")


def test_members_that_are_there_are_its_replicas(start, queue, group, ec2_world):
    group.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=2)
    queue.depth = 30
    forerun = start()
    forerun.wait(lambda: described(group) == (3, 3), "3 members", 30)
    assert [e["params"]["DesiredCapacity"] for e in ec2_world.log("SetDesiredCapacity") if e["agent"].startswith("forerun")] == ["3"]


def test_beyond_its_largest_size_nothing_is_set(start, queue, group, ec2_world):
    group.update_auto_scaling_group(AutoScalingGroupName=GROUP, MaxSize=1)
    forerun = start()
    queue.depth = 30
    forerun.wait(lambda: any("MaxSize of the Auto Scaling group web-asg is 1" in s["text"] for d in forerun.decisions("scale-up") for s in d["steps"]), "it to be said", 30)
    assert not ec2_world.log("SetDesiredCapacity") and described(group) == (0, 0)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_around_the_call_it_is_set_once(start, queue, group, ec2_world, when):
    forerun = start()
    ec2_world.control(faults=[{"action": "SetDesiredCapacity", "do": "kill_client", "when": when, "pid": forerun.process.pid, "times": 1}])
    queue.depth = 30
    forerun.process.wait(20)
    forerun = start()
    forerun.wait(lambda: described(group) == (3, 3), "3 members", 40)
    forerun.wait(lambda: forerun.policy()["replicas"] == 4, "all to be seen", 30)
    assert described(group) == (3, 3)


@pytest.mark.parametrize("name, most, told", [
    (GROUP, 4, None), ("another", 4, 'there is no Auto Scaling group "another"'), (GROUP, 9, 'MaxSize of the Auto Scaling group "web-asg" is 5')])
def test_check_looks_at_the_group(group, queue, ec2_world, tmp_path, name, most, told):
    config = configured(tmp_path, ec2_world, queue, name, most=most)
    done = run_binary("run", "--config", config, "--check", environment=ec2_world.environment(HOME=str(tmp_path)))
    assert (done.returncode == 0) == (told is None), done.stdout + done.stderr
    assert told is None or told in done.stdout + done.stderr
    assert not ec2_world.log("SetDesiredCapacity")


def requests_of(log):
    arn = f"arn:aws:autoscaling:us-east-1:{ACCOUNT}:autoScalingGroup:u-u-i-d:autoScalingGroupName/{GROUP}"
    region = {"aws:RequestedRegion": "us-east-1"}
    for entry in log:
        if entry["service"] == "autoscaling":
            looks = entry["action"].startswith("Describe")
            yield Request(f"autoscaling:{entry['action']}", "*" if looks else arn, region)
        elif entry["action"] == "CreateTags":
            keys = [v for k, v in entry["params"].items() if k.endswith(".Key")]
            member = {"aws:ResourceTag/aws:autoscaling:groupName": GROUP, "aws:TagKeys": keys}
            yield Request("ec2:CreateTags", f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-1", {**region, **member})


def test_the_role_needs_the_policy_for_the_group_and_no_more(start, queue, group, ec2_world):
    policy = load("auto-scaling-group", REGION="us-east-1", ACCOUNT=ACCOUNT, GROUP=GROUP)
    forerun = start("--drain-blind", "2s")
    queue.depth = 30
    forerun.wait(lambda: described(group) == (3, 3), "3 members", 30)
    queue.depth = 0
    forerun.wait(lambda: described(group) == (0, 0), "none", 60)
    asked = list(requests_of(e for e in ec2_world.log() if e["agent"].startswith("forerun")))
    assert asked and all(decide(policy, request)[0] for request in asked)
    used = {grant for request in asked for grant in decide(policy, request)[1]}
    assert {grant[1] for grant in set(every_grant(policy)) - used} <= {"ec2:DeleteTags"}  # of one that is called back
    other = f"arn:aws:autoscaling:us-east-1:{ACCOUNT}:autoScalingGroup:u-u-i-d:autoScalingGroupName/other"
    for action in ("SetDesiredCapacity", "TerminateInstanceInAutoScalingGroup", "UpdateAutoScalingGroup"):
        assert not decide(policy, Request(f"autoscaling:{action}", other, {"aws:RequestedRegion": "us-east-1"}))[0]

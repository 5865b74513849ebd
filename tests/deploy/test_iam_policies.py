# SPDX-License-Identifier: Apache-2.0
"""deploy/standalone/iam against what forerun really calls: all of it is allowed, nothing else is."""

import json
import pathlib
import re
import time

import cfnlint
import pytest
from authorization import ACCOUNT, Account, requests_of
from cloud_driver import Cloud, documents
from iam_policy import Request, decide, every_grant, load, placeholders
from running import Forerun, Queue, run_binary, write_config
from testbed import Ec2

VALUES = {"REGION": "us-east-1", "ACCOUNT": ACCOUNT, "NAME": "default", "ROLE": "forerun-test-node",
          "PROFILE": "forerun-test-node", "TABLE": "forerun"}
CORE = load("core", **VALUES)
AGENT = load("agent", **VALUES)
GROUP = load("auto-scaling-group", GROUP="web", **VALUES)


DISK = "amiFamily: AL2023\n  blockDeviceMappings: [{deviceName: /dev/xvda, ebs: {snapshotID: snap-0123456789abcdef0}}]"


def change_class(directory, *replacements):
    text = (directory / "class.yaml").read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    (directory / "class.yaml").write_text(text)


def launch_and_retire(ec2, directory, queue, capacity):
    """A whole run: up on the queue, down when it is empty, all that was launched is ended."""
    forerun = Forerun(directory, directory.parent / f"state-{capacity}", ec2.environment(HOME=str(directory)))
    try:
        forerun.ready()
        queue.depth = 2
        forerun.decision()
        queue.depth = 0
        forerun.decision("scale-down")
        forerun.wait(lambda: ec2.ledger() and not ec2.ledger(alive=True), "everything ended")
    finally:
        forerun.kill()


def drain_and_be_refused(ec2, directory, queue, world):
    """With a target group and a queue; EC2 does not terminate at first, so the instance is called back, and goes later."""
    elb, sqs = ec2.client("elbv2"), ec2.client("sqs")
    group = elb.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=world["vpc"], TargetType="instance",
                                    Tags=[{"Key": "forerun.dev/owner", "Value": "default"}])["TargetGroups"][0]["TargetGroupArn"]
    url = sqs.create_queue(QueueName="forerun-default-interruptions")["QueueUrl"]
    config = write_config(directory / "groups", world, queue.port, most=2, target="1", down_s=0, capacity="spot",
                          policy=f"web, annotations: {{forerun.dev/target-groups: \"{group}\"}}")
    ec2.fault("TerminateInstances", "error", status=403, code="UnauthorizedOperation", message="not now")
    forerun = Forerun(config, directory / "state-groups", ec2.environment(HOME=str(directory)), "--drain-blind", "20s",
                      "--interruption-queue", "forerun-default-interruptions")
    try:
        forerun.ready()
        sqs.send_message(QueueUrl=url, MessageBody="{}")
        queue.depth = 2
        forerun.decision()
        forerun.wait(lambda: ec2.log("RegisterTargets"), "the registration")
        queue.depth = 0
        forerun.wait(lambda: ec2.log("DeleteTags"), "it to be called back", 60)
        forerun.wait(lambda: not ec2.ledger(alive=True), "everything ended", 60)
        assert ec2.log("DescribeTargetHealth") and ec2.log("DeleteMessageBatch")
    finally:
        forerun.kill()


def lead_and_pause(ec2, directory):
    """A core with the lease, and the pause in the table."""
    ec2.client("dynamodb").create_table(
        TableName="forerun", BillingMode="PAY_PER_REQUEST", AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}])
    environment = ec2.environment(HOME=str(directory))
    key = directory.parent / "keys"
    assert run_binary("core", "init", "--shared-key", "--dir", key).returncode == 0
    core = Forerun(directory, directory.parent / "state-core", environment, "--shared-key", key / "shared.key", "--listen-agents",
                   "127.0.0.1:0", "--lock-table", "forerun", role="core")
    try:
        core.wait(lambda: "leading with epoch 1" in core.stderr(), "it leads")
        for command in ("pause", "resume"):
            done = run_binary("core", command, "--lock-table", "forerun", environment=environment)
            assert done.returncode == 0, done.stderr
        assert core.stop() == 0
    finally:
        core.kill()


def tidy_and_reserve(ec2, directory):
    """The cloud room with an old template and a capacity reservation. The id and tags of what it deleted."""
    tags = {"forerun.dev/owner": "default"}
    old = ec2.client().create_launch_template(
        LaunchTemplateName="forerun-web-amd64-spot-0000000000000000", LaunchTemplateData={"ImageId": "ami-1"},
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}])["LaunchTemplate"]
    ec2.control(stubs={"DescribeCapacityReservations": (
        "<capacityReservationSet><item><capacityReservationId>cr-0123456789abcdef0</capacityReservationId><instanceType>m5.large</instanceType>"
        "<availabilityZone>us-east-1a</availabilityZone><availableInstanceCount>1</availableInstanceCount></item></capacityReservationSet>")})
    files = documents(directory / "reserved", ec2.world, capacity="reserved, on-demand")
    change_class(directory / "reserved", ("  tags:", "  capacityReservationSelectorTerms: [{id: cr-0123456789abcdef0}]\n  tags:"))
    cloud = Cloud(ec2.environment(HOME=str(directory)), files, "--template-keep", "1s")
    try:
        found = cloud.ready().found_class
        template = next(t["name"] for t in found["templates"] if t["reservation"] and t["architecture"] == "amd64")
        subnet = next(s["id"] for s in found["subnets"] if s["zone"] == "us-east-1a")
        override = {"type": "m5.large", "zone": "us-east-1a", "subnet": subnet, "template": template}
        launched = cloud.launch("reserved-1", capacity_type="reserved", overrides=[override])["instances"]
        ec2.client().terminate_instances(InstanceIds=[i["id"] for i in launched])
        until = time.monotonic() + 20
        while not ec2.log("DeleteLaunchTemplate") and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        cloud.close()
    return {old["LaunchTemplateId"]: tags}


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Every call of `run --check`, of two whole runs (spot by a profile; on-demand by a role, an image by id and a snapshot)
    and of a core with a lease."""
    directory = tmp_path_factory.mktemp("iam")
    ec2, queue = Ec2(log=directory / "moto.log"), Queue()
    try:
        world = ec2.make_world()
        config = {"most": 2, "target": "1", "down_s": 0}
        spot = write_config(directory / "spot", world, queue.port, **config)
        plain = write_config(directory / "plain", world, queue.port, capacity="on-demand", **config)
        image = ec2.client().describe_images(Owners=["amazon"], Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"][0]
        change_class(plain, ("alias: al2023@latest", f"id: {image['ImageId']}"), (f"instanceProfile: {world['instance_profile']}", f"role: {world['role']}\n  {DISK}"))
        start = len(ec2.log())
        gone = tidy_and_reserve(ec2, directory)
        checked = run_binary("run", "--config", spot, "--check", environment=ec2.environment(HOME=str(directory)))
        assert checked.returncode == 0, checked.stdout + checked.stderr
        launch_and_retire(ec2, spot, queue, "spot")
        launch_and_retire(ec2, plain, queue, "on-demand")
        drain_and_be_refused(ec2, directory, queue, world)
        lead_and_pause(ec2, spot)
        log = [e for e in ec2.log(since=start) if e["agent"].startswith("forerun")]
        assert log and all(e["model"] is None and e["signature"] is None for e in log)
        account = Account(ec2, log)
        account.gone = gone
        yield [(e["action"], request) for e in log for request in requests_of(e, account)]
    finally:
        queue.close()
        ec2.close()


def test_the_runs_made_the_calls_that_the_test_is_about(calls):
    assert {"CreateFleet", "CreateLaunchTemplate", "TerminateInstances", "CreateTags", "DeleteTags", "RegisterTargets", "DeregisterTargets", "DescribeInstances", "ListInstanceProfilesForRole",
            "GetInstanceProfile", "GetParameter", "GetProducts"} <= {action for action, _ in calls}


def test_the_core_may_do_all_that_it_does(calls):
    refused = sorted({f"{call}: {r.action} on {r.resource} with {json.dumps(r.context, sort_keys=True)}"
                      for call, r in calls if not decide(CORE, r)[0]})
    assert not refused


def test_the_core_may_do_nothing_that_it_does_not_do(calls):
    """What user data does with the same role is in test_user_data.py."""
    used = {grant for _, request in calls for grant in decide(CORE, request)[1]}
    assert {grant for grant in every_grant(CORE) - used if grant[0] not in ("ReadTheOptions", "ReadTheKey")} == set()


def reference():
    """The Service Authorization Reference as cfn-lint has it: {"ec2": {"Actions": {"runinstances": {"Resources": [...]}}}}"""
    return json.loads((pathlib.Path(cfnlint.__file__).parent / "data/AdditionalSpecs/Policies.json").read_text())


@pytest.mark.parametrize("policy", [CORE, AGENT, GROUP], ids=["core", "agent", "group"])
def test_each_action_is_checked_on_that_kind_of_resource(policy):
    """A pair that AWS never checks would allow nothing and look as if it did."""
    known = reference()
    for _, action, resource in every_grant(policy):
        service, _, name = action.partition(":")
        kinds = known[service]["Actions"][name.lower()].get("Resources", [])
        if resource == "*":
            assert not kinds, action
            continue
        formats = [f for kind in kinds for f in known[service]["Resources"][kind.lower()]["ARNFormats"]]
        patterns = [re.sub(r"\$\{(\w+)\}", lambda m: "[^:]*", f) for f in formats]
        assert any(re.fullmatch(p, resource) for p in patterns), f"{action} on {resource}: {formats}"


# ---- what must be refused ----

HOME = f"arn:aws:ec2:us-east-1:{ACCOUNT}:"
ABROAD = f"arn:aws:ec2:eu-west-1:{ACCOUNT}:"
OWN = {"aws:RequestTag/forerun.dev/owner": "default"}
OTHER = {"aws:RequestTag/forerun.dev/owner": "other"}
IS_OWN = {"aws:ResourceTag/forerun.dev/owner": "default"}
IS_OTHER = {"aws:ResourceTag/forerun.dev/owner": "other"}
TABLE = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/forerun"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/"
TO_EC2 = {"iam:PassedToService": "ec2.amazonaws.com"}


def attacks():
    for action in ("ec2:TerminateInstances", "ec2:StopInstances", "ec2:RebootInstances", "ec2:ModifyInstanceAttribute"):
        yield "an instance without our tag", action, HOME + "instance/i-1", {}
        yield "an instance of another installation", action, HOME + "instance/i-1", IS_OTHER
    yield "our tag only promised in the request", "ec2:TerminateInstances", HOME + "instance/i-1", OWN
    yield "an instance in another region", "ec2:TerminateInstances", ABROAD + "instance/i-1", IS_OWN
    yield "an instance of another account", "ec2:TerminateInstances", "arn:aws:ec2:us-east-1:999999999999:instance/i-1", IS_OWN
    yield "our own instance, but not to stop", "ec2:StopInstances", HOME + "instance/i-1", IS_OWN
    for kind in ("instance", "volume", "network-interface", "spot-instances-request"):
        for tags in ({}, OTHER, {"aws:RequestTag/forerun.dev/policy": "web"}, IS_OWN):
            yield f"a launch with a {kind} not tagged as ours", "ec2:RunInstances", HOME + f"{kind}/*", tags
    for kind in ("fleet", "instance", "volume"):
        for tags in ({}, OTHER):
            yield f"a fleet whose {kind} is not tagged as ours", "ec2:CreateFleet", HOME + f"{kind}/*", tags
    for action in ("ec2:RunInstances", "ec2:CreateFleet"):
        yield "a template that anybody made", action, HOME + "launch-template/lt-1", {}
        yield "a template of another installation", action, HOME + "launch-template/lt-1", IS_OTHER
        yield "another region", action, ABROAD + "instance/*", OWN
        yield "another region's subnet", action, ABROAD + "subnet/subnet-1", {}
        yield "a subnet of another account", action, "arn:aws:ec2:us-east-1:999999999999:subnet/subnet-1", {}
    yield "a key pair to log in with", "ec2:RunInstances", HOME + "key-pair/admin", {}
    yield "a template without the tag", "ec2:CreateLaunchTemplate", HOME + "launch-template/*", {}
    yield "a new version of our template", "ec2:CreateLaunchTemplateVersion", HOME + "launch-template/lt-1", IS_OWN
    for tags in ({}, IS_OTHER, OWN):
        yield "deleting a template that is not ours", "ec2:DeleteLaunchTemplate", HOME + "launch-template/lt-1", tags
    yield "deleting our template elsewhere", "ec2:DeleteLaunchTemplate", ABROAD + "launch-template/lt-1", IS_OWN
    for kind in ("instance", "vpc", "subnet", "security-group", "image"):
        yield "taking over what is there by a tag", "ec2:CreateTags", HOME + f"{kind}/x-1", OWN
        yield "claiming to create it", "ec2:CreateTags", HOME + f"{kind}/x-1", {**OWN, "ec2:CreateAction": "CreateImage"}
    yield "tagging what is made as another's", "ec2:CreateTags", HOME + "instance/*", {**OTHER, "ec2:CreateAction": "RunInstances"}
    yield "tags of a new subnet", "ec2:CreateTags", HOME + "subnet/*", {**OWN, "ec2:CreateAction": "CreateFleet"}
    for tag in ("ec2:CreateTags", "ec2:DeleteTags"):
        draining = {"aws:TagKeys": ["forerun.dev/draining"]}
        yield "a tag that is not named", tag, HOME + "instance/i-1", IS_OWN
        yield "who owns it", tag, HOME + "instance/i-1", {**IS_OWN, "aws:TagKeys": ["forerun.dev/owner"]}
        yield "that it drains, and who owns it", tag, HOME + "instance/i-1", {**IS_OWN, "aws:TagKeys": ["forerun.dev/draining", "forerun.dev/owner"]}
        yield "that another's drains", tag, HOME + "instance/i-1", {**IS_OTHER, **draining}
        yield "that nobody's drains", tag, HOME + "instance/i-1", draining
        yield "that a volume drains", tag, HOME + "volume/vol-1", {**IS_OWN, **draining}
    group = f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}:targetgroup/web/0123456789abcdef"
    for action in ("RegisterTargets", "DeregisterTargets"):
        yield "a target group without our tag", f"elasticloadbalancing:{action}", group, {}
        yield "a target group of another installation", f"elasticloadbalancing:{action}", group, IS_OTHER
        yield "a target group abroad", f"elasticloadbalancing:{action}", group.replace("us-east-1", "eu-west-1"), IS_OWN
    for action in ("ModifyTargetGroup", "DeleteTargetGroup", "ModifyListener", "DeleteLoadBalancer"):
        yield "changing the load balancer", f"elasticloadbalancing:{action}", group, IS_OWN
    ours = f"arn:aws:sqs:us-east-1:{ACCOUNT}:forerun-default-interruptions"
    for action in ("SendMessage", "PurgeQueue", "SetQueueAttributes", "DeleteQueue"):
        yield "what forerun never does to its queue", f"sqs:{action}", ours, {}
    for action in ("ReceiveMessage", "DeleteMessage"):
        yield "another's queue", f"sqs:{action}", ours.replace("default", "other"), {}
    yield "another role", "iam:PassRole", ROLE + "admin", TO_EC2
    yield "a role that begins as ours", "iam:PassRole", ROLE + "forerun-test-node-admin", TO_EC2
    yield "our role, to another service", "iam:PassRole", ROLE + "forerun-test-node", {"iam:PassedToService": "lambda.amazonaws.com"}
    yield "our role, to nobody named", "iam:PassRole", ROLE + "forerun-test-node", {}
    for action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:AddRoleToInstanceProfile", "iam:CreateServiceLinkedRole"):
        yield "changing roles", action, ROLE + "forerun-test-node", {}
    yield "another profile", "iam:GetInstanceProfile", f"arn:aws:iam::{ACCOUNT}:instance-profile/admin", {}
    for action in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query"):
        yield "another installation's lease", f"dynamodb:{action}", TABLE, {"dynamodb:LeadingKeys": ["other"]}
        yield "ours and another's", f"dynamodb:{action}", TABLE, {"dynamodb:LeadingKeys": ["default", "other"]}
        yield "an item that is not named", f"dynamodb:{action}", TABLE, {}
        yield "another table", f"dynamodb:{action}", TABLE + "-2", {"dynamodb:LeadingKeys": ["default"]}
        yield "the table abroad", f"dynamodb:{action}", TABLE.replace("us-east-1", "eu-west-1"), {"dynamodb:LeadingKeys": ["default"]}
    for action in ("Scan", "DeleteTable", "UpdateTable", "BatchWriteItem", "DescribeTable"):
        yield "the table as a whole", f"dynamodb:{action}", TABLE, {}
    yield "parameters of the account", "ssm:GetParameter", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/prod/password", {}
    yield "running commands", "ssm:SendCommand", HOME + "instance/i-1", IS_OWN
    yield "looking abroad", "ec2:DescribeInstances", "*", {"aws:RequestedRegion": "eu-west-1"}
    yield "user data of instances", "ec2:DescribeInstanceAttribute", "*", {}
    yield "another role's credentials", "sts:AssumeRole", ROLE + "admin", {}
    for action in ("ec2:CreateImage", "ec2:AuthorizeSecurityGroupIngress", "ec2:RequestSpotInstances", "ec2:CreateSnapshot"):
        yield "what forerun never calls", action, HOME + "instance/i-1", IS_OWN


@pytest.mark.parametrize("action, resource, context", [
    pytest.param(*attack, id=f"{what}: {attack[0]} {attack[1].rpartition(':')[2]} {n}")
    for n, (what, *attack) in enumerate(attacks())])
def test_an_attack_with_the_core_s_role_is_refused(action, resource, context):
    assert not decide(CORE, Request(action, resource, {"aws:RequestedRegion": "us-east-1", **context}))[0]


def secret(name):
    return f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:{name}"


@pytest.mark.parametrize("action, resource", [
    ("ec2:DescribeInstances", "*"), ("ec2:TerminateInstances", HOME + "instance/i-1"), ("ec2:CreateTags", HOME + "instance/i-1"),
    ("ec2:RunInstances", HOME + "instance/*"), ("iam:PassRole", ROLE + "forerun-test-node"), ("dynamodb:GetItem", TABLE),
    ("dynamodb:UpdateItem", TABLE), ("ssm:PutParameter", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/forerun/default/agent"),
    ("ssm:GetParameter", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/forerun/other/agent"),
    ("ssm:GetParameter", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/forerun/default/agent/more"),
    ("ssm:GetParametersByPath", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/forerun/default"),
    ("secretsmanager:GetSecretValue", secret("forerun/other/key-aB3dE6")), ("secretsmanager:PutSecretValue", secret("forerun/default/key-aB3dE6")),
    ("secretsmanager:GetSecretValue", secret("forerun/default/key-ca-aB3dE6")), ("secretsmanager:ListSecrets", "*"),
])
def test_an_attack_with_an_agent_s_role_is_refused(action, resource):
    context = {"aws:RequestedRegion": "us-east-1", **IS_OWN, **OWN, **TO_EC2, "dynamodb:LeadingKeys": ["default"]}
    assert not decide(AGENT, Request(action, resource, context))[0]


@pytest.mark.parametrize("name, more", [("core", ()), ("agent", ()), ("auto-scaling-group", ("GROUP",))], ids=["core", "agent", "group"])
def test_placeholders_are_those_that_are_documented(name, more):
    assert placeholders(name) <= {*VALUES, *more}

# SPDX-License-Identifier: Apache-2.0
"""The template is what CloudFormation takes, and what it makes is what forerun needs and the IAM files say."""

import json
import pathlib
import re
import subprocess
import sys

import pytest
import yaml
from authorization import ACCOUNT
from iam_policy import load
from testbed import Ec2

TEMPLATE = pathlib.Path(__file__).resolve().parent.parent.parent / "deploy/standalone/cloudformation.yaml"
CORES = "10.0.1.10,10.0.2.10:9911"
VALUES = {"REGION": "us-east-1", "ACCOUNT": ACCOUNT, "NAME": "shop", "ROLE": "forerun-shop-agent", "PROFILE": "forerun-shop-agent",
          "TABLE": "forerun-shop"}
POLICY_MOST = 6144  # characters of a managed policy, white space not counted


def lint(path):
    return subprocess.run([pathlib.Path(sys.executable).parent / "cfn-lint", "--", path], capture_output=True, text=True, timeout=120)


def test_cfn_lint_has_nothing_against_the_template():
    done = lint(TEMPLATE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_cfn_lint_would_find_a_wrong_action_in_a_policy(tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(TEMPLATE.read_text().replace("ec2:TerminateInstances", "ec2:TerminateInstance"))
    assert "'terminateinstance' is not one of" in lint(wrong).stdout


def test_the_template_has_no_aliases_which_cloudformation_refuses():
    assert not [t for t in yaml.scan(TEMPLATE.read_text()) if isinstance(t, (yaml.AliasToken, yaml.AnchorToken))]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """The stack at moto: (EC2, outputs)."""
    ec2 = Ec2(log=tmp_path_factory.mktemp("stack") / "moto.log")
    try:
        vpc = ec2.client().create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        cloudformation = ec2.client("cloudformation")
        parameters = {"Name": "shop", "VpcId": vpc, "CoreAddresses": CORES}
        cloudformation.create_stack(
            StackName="forerun", TemplateBody=TEMPLATE.read_text(), Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()])
        made = cloudformation.describe_stacks(StackName="forerun")["Stacks"][0]
        assert made["StackStatus"] == "CREATE_COMPLETE"
        yield ec2, {o["OutputKey"]: o["OutputValue"] for o in made["Outputs"]}
    finally:
        ec2.close()


@pytest.mark.parametrize("part", ["core", "agent"])
def test_the_role_has_the_policy_of_the_file_and_no_other(stack, part):
    iam = stack[0].client("iam")
    role = f"forerun-shop-{part}"
    policies = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert [p["PolicyName"] for p in policies] == [role]
    assert not iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_policy_version(PolicyArn=policies[0]["PolicyArn"], VersionId="v1")["PolicyVersion"]["Document"]
    assert document == load(part, **VALUES)
    assert len(json.dumps(document, separators=(",", ":"))) <= POLICY_MOST
    trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"]
    assert [(s["Principal"], s["Action"]) for s in trust] == [({"Service": "ec2.amazonaws.com"}, "sts:AssumeRole")]
    profile = iam.get_instance_profile(InstanceProfileName=role)["InstanceProfile"]
    assert [r["RoleName"] for r in profile["Roles"]] == [role]


def test_the_table_has_the_key_of_the_lease(stack):
    ec2, outputs = stack
    assert outputs["LockTable"] == "forerun-shop"
    table = ec2.client("dynamodb").describe_table(TableName="forerun-shop")["Table"]
    assert table["KeySchema"] == [{"AttributeName": "name", "KeyType": "HASH"}]
    assert table["AttributeDefinitions"] == [{"AttributeName": "name", "AttributeType": "S"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


class Plain(yaml.SafeLoader):
    """The template with functions as plain values."""


Plain.add_multi_constructor("!", lambda loader, _, node: loader.construct_scalar(node))


def test_the_shared_key_is_one_that_forerun_takes(stack):
    secret = yaml.load(TEMPLATE.read_text(), Plain)["Resources"]["SharedKey"]["Properties"]
    assert secret["Name"] == "forerun/${Name}/key"
    # moto's CloudFormation makes no secrets: Secrets Manager itself is asked for what stands there.
    secrets = stack[0].client("secretsmanager")
    made = {secrets.get_random_password(**secret["GenerateSecretString"])["RandomPassword"] for _ in range(20)}
    assert len(made) == 20 and all(re.fullmatch("[0-9a-f]{64}", one) for one in made)


def test_the_options_are_options_files(stack):
    ssm = stack[0].client("ssm")
    agent, core = (yaml.safe_load(ssm.get_parameter(Name=f"/forerun/shop/{p}")["Parameter"]["Value"]) for p in ("agent", "core"))
    assert agent == {"core": CORES, "shared-key": "/etc/forerun/keys/shared.key"}
    assert core == {"name": "shop", "config": "/etc/forerun/conf.d", "shared-key": "/etc/forerun/keys/shared.key",
                    "lock-table": "forerun-shop", "interruption-queue": "forerun-shop-interruptions", "mode": "observe"}


def test_what_ec2_says_of_instances_goes_into_the_queue(stack):
    ec2, outputs = stack
    sqs, events = ec2.client("sqs"), ec2.client("events")
    url = sqs.get_queue_url(QueueName=outputs["InterruptionQueue"])["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["MessageRetentionPeriod"] == "300"
    rules = {r["Name"]: r for r in events.list_rules()["Rules"]}
    assert set(rules) == {"forerun-shop-instances", "forerun-shop-health"}
    for rule in rules:
        assert [t["Arn"] for t in events.list_targets_by_rule(Rule=rule)["Targets"]] == [attributes["QueueArn"]]
    kinds = {k for r in rules.values() for k in json.loads(r["EventPattern"])["detail-type"]}
    source = (TEMPLATE.parent.parent.parent / "user/cloud/queue.c").read_text()
    assert kinds == set(re.findall(r'\{"((?:EC2|AWS) [A-Z][^"]+)", take_', source))
    policy = yaml.load(TEMPLATE.read_text(), Plain)["Resources"]["InterruptionQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert [(s["Principal"], s["Action"]) for s in policy] == [({"Service": "events.amazonaws.com"}, "sqs:SendMessage")]
    assert policy[0]["Condition"]["ArnEquals"]["aws:SourceArn"] == ["InstanceRule.Arn", "HealthRule.Arn"]


def test_agents_alone_reach_the_cores_on_one_port(stack):
    ec2, outputs = stack
    groups = {g["GroupId"]: g["IpPermissions"] for g in ec2.client().describe_security_groups(
        GroupIds=[outputs["SecurityGroup"], outputs["CoreSecurityGroup"]])["SecurityGroups"]}
    assert groups[outputs["SecurityGroup"]] == []
    [rule] = groups[outputs["CoreSecurityGroup"]]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 9911, 9911)
    assert [p["GroupId"] for p in rule["UserIdGroupPairs"]] == [outputs["SecurityGroup"]]
    assert not rule["IpRanges"] and not rule["Ipv6Ranges"]

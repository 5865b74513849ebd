# SPDX-License-Identifier: Apache-2.0
"""What can be asked without launching, and the catalog: requirements, prices, its copy on disk."""

import json
import re

import pytest
from cloud_driver import Cloud, documents


@pytest.fixture
def cloud(ec2_world, tmp_path):
    started = []

    def starter(*options, change=None, **config):
        """change: (file, pattern, replacement)."""
        files = documents(tmp_path / "config", ec2_world.world, **config)
        for name, old, new in change or []:
            path = tmp_path / "config" / f"{name}.yaml"
            text = path.read_text()
            assert old in text, (old, text)
            path.write_text(text.replace(old, new))
        running = Cloud(ec2_world.environment(HOME=str(tmp_path)), files, *options)
        started.append(running)
        return running

    yield starter
    for running in started:
        running.close()
    for entry in ec2_world.log():
        assert entry["model"] is None, entry


def check(running):
    return running.ask("check", "checked", timeout=60)["problems"]


def test_a_good_configuration_has_no_problem_and_no_effect(cloud, ec2_world):
    assert check(cloud(capacity="spot, on-demand")) == []
    assert ec2_world.ledger() == []
    assert ec2_world.client().describe_launch_templates()["LaunchTemplates"] == []


def test_a_class_is_told_with_line_and_column(cloud, tmp_path):
    problems = check(cloud(change=[("class", "forerun.dev/discovery", "no/such")]))
    assert problems[0]["where"] == f"{tmp_path}/config/class.yaml:8:3"
    assert problems[0]["text"] == "no subnet in us-east-1 has tags no/such=test, expected at least one"


@pytest.mark.parametrize("old, new, line, words", [
    ("id: sg-", "id: sg-f00", 9, "no security group in us-east-1 has id sg-f00"),
    ("instanceProfile: forerun-test-node", "instanceProfile: nobody", 7, "IAM has no instance profile nobody in this account"),
    ("alias: al2023@latest", "alias: al2023@v20250101", 6, "a pinned version is only published for EKS"),
    ("[{alias: al2023@latest}]", "[{id: ami-00000000000000000}]\n  amiFamily: AL2023", 6, "ami-00000000000000000"),
])
def test_each_field_is_told(cloud, tmp_path, old, new, line, words):
    problems = check(cloud(change=[("class", old, new)]))
    assert problems[0]["where"] == f"{tmp_path}/config/class.yaml:{line}:3" and words in problems[0]["text"], problems


def test_a_role_that_does_not_exist_is_told(cloud, ec2_world):
    ec2_world.fault("ListInstanceProfilesForRole", "error", status=404, code="NoSuchEntity", message="no such role")
    problems = check(cloud(change=[("class", "instanceProfile: forerun-test-node", "role: nobody")]))
    assert problems[0]["text"] == "IAM has no role nobody in this account"


def test_a_role_without_a_profile_says_how_to_make_one(cloud, ec2_world):
    ec2_world.client("iam").create_role(RoleName="bare", AssumeRolePolicyDocument="{}")
    problems = check(cloud(change=[("class", "instanceProfile: forerun-test-node", "role: bare")]))
    assert "role bare has no instance profile: make one with `aws iam create-instance-profile" in problems[0]["text"]


def test_a_role_stands_for_its_profile(cloud, ec2_world):
    running = cloud(change=[("class", "instanceProfile:", "role:")]).ready()
    data = ec2_world.log("CreateLaunchTemplate")[0]["params"]
    assert data["LaunchTemplateData.IamInstanceProfile.Name"] == ec2_world.world["instance_profile"]
    assert running.found_class["ready"]


def test_requirements_that_leave_nothing_are_told(cloud, tmp_path):
    problems = check(cloud(zones="us-east-1q"))
    assert problems == [{"where": f"{tmp_path}/config/pool.yaml:11:7", "text": "the requirements of NodePool web leave no "
                         "instance type in us-east-1, expected at least one"}]


def test_a_launch_that_is_not_allowed_is_told(cloud, ec2_world, tmp_path):
    ec2_world.fault("CreateFleet", "error", status=403, code="UnauthorizedOperation", message="You are not authorized")
    problems = check(cloud())
    assert problems[0]["where"].startswith(f"{tmp_path}/config/pool.yaml:")
    assert "CreateFleet (DryRun) for NodePool web is refused" in problems[0]["text"]
    assert "UnauthorizedOperation: You are not authorized" in problems[0]["text"]


def test_only_what_some_pool_could_buy_is_asked_for_and_kept(cloud, ec2_world):
    catalog = cloud(types="m5.large, m6g.large", capacity="spot").ready().found_catalog["offerings"]
    assert {(o["type"], o["architecture"], o["capacity_type"]) for o in catalog} == {
        ("m5.large", "amd64", "spot"), ("m6g.large", "arm64", "spot")}
    assert {o["zone"] for o in catalog} == {"us-east-1a", "us-east-1b"}
    asked = ec2_world.log("DescribeInstanceTypes")[0]["params"]
    assert {v for k, v in asked.items() if re.match(r"Filter\.1\.Value", k)} == {"m5.large", "m6g.large"}


def test_families_are_asked_for_by_wildcard(cloud, ec2_world):
    change = [("pool", "key: node.kubernetes.io/instance-type", "key: karpenter.k8s.aws/instance-family")]
    catalog = cloud(types="m5, c6g", change=change).ready().found_catalog["offerings"]
    assert {o["type"].split(".")[0] for o in catalog} == {"m5", "c6g"} and len({o["type"] for o in catalog}) > 10
    assert not any("metal" in o["type"] for o in catalog)


def prices(running, capacity_type):
    """From the newest catalog that has them all."""
    for _ in range(6):
        found = {(o["type"], o["zone"]): o["usd"] for o in running.found_catalog["offerings"]
                 if o["capacity_type"] == capacity_type}
        if found and None not in found.values():
            return found
        running.found_catalog = running.wait("catalog")
    raise AssertionError(found)


def test_prices_come_from_the_lists(cloud):
    import prices as listed

    running = cloud(capacity="spot, on-demand").ready()
    for (kind, zone), usd in prices(running, "on-demand").items():
        assert usd == pytest.approx(listed.on_demand(kind))
    for (kind, zone), usd in prices(running, "spot").items():
        assert usd == pytest.approx(listed.spot(kind, zone))


def test_a_price_that_is_not_to_be_had_is_not_known(cloud, ec2_world):
    ec2_world.fault("GetProducts", "error", status=400, code="AccessDeniedException", message="no", times=50)
    running = cloud(capacity="on-demand").ready()
    assert {o["usd"] for o in running.found_catalog["offerings"]} == {None}


def test_the_copy_on_disk_serves_while_the_api_is_away(cloud, ec2_world, tmp_path):
    first = cloud("--cache", str(tmp_path), capacity="spot, on-demand").ready()
    wanted = prices(first, "on-demand")
    assert None not in prices(first, "spot").values()
    first.close()
    for action in ("DescribeInstanceTypes", "DescribeInstanceTypeOfferings", "GetProducts", "DescribeSpotPriceHistory"):
        ec2_world.fault(action, "error", status=503, code="Unavailable", message="away", times=1000)
    again = cloud("--cache", str(tmp_path), capacity="spot, on-demand").ready()
    assert prices(again, "on-demand") == wanted
    assert any(re.search(r"catalog: 2 types from .*/catalog.json, 0.0 h old", line) for line in again.errors)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version":1}', "\0", '{"version":1,"for":"x","fetched":"y","types":3}'])
def test_a_copy_that_is_damaged_is_left_alone(cloud, tmp_path, text):
    (tmp_path / "catalog.json").write_text(text)
    assert cloud("--cache", str(tmp_path)).ready().found_catalog["offerings"]


def test_the_eks_image_is_taken_with_a_cluster_version(cloud, ec2_world):
    cloud("--cluster-version", "1.34").ready()
    names = [json.loads(e["params"])["Name"] for e in ec2_world.log("GetParameter")]
    assert names == [f"/aws/service/eks/optimized-ami/1.34/amazon-linux-2023/{arch}/standard/recommended/image_id"
                     for arch in ("x86_64", "arm64")]


def test_the_template_says_what_the_class_says(cloud, ec2_world):
    more = ("spec:\n  userData: |\n    #!/bin/sh\n    echo ü > /tmp/x\n"
            "  blockDeviceMappings: [{deviceName: /dev/xvda, ebs: {volumeSize: 20Gi, volumeType: gp3, iops: 3000, "
            "throughput: 125, encrypted: true, deleteOnTermination: true}}]\n"
            "  metadataOptions: {httpTokens: required, httpPutResponseHopLimit: 2}")
    cloud(capacity="spot, on-demand", change=[("class", "spec:", more)]).ready()
    for entry in ec2_world.log("CreateLaunchTemplate"):
        p = entry["params"]
        data = {k.removeprefix("LaunchTemplateData."): v for k, v in p.items() if k.startswith("LaunchTemplateData.")}
        assert data["UserData"] == "IyEvYmluL3NoCmVjaG8gw7wgPiAvdG1wL3gK"
        assert data["BlockDeviceMapping.1.Ebs.VolumeSize"] == "20" and data["BlockDeviceMapping.1.Ebs.Encrypted"] == "true"
        assert data["MetadataOptions.HttpTokens"] == "required" and data["MetadataOptions.HttpPutResponseHopLimit"] == "2"
        assert data["SecurityGroupId.1"] == ec2_world.world["security_group"]
        kinds = [v for k, v in data.items() if k.endswith("ResourceType")]
        spot = "-spot-" in p["LaunchTemplateName"]
        assert kinds == ["volume", "network-interface"] + ["spot-instances-request"] * spot

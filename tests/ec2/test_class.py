# SPDX-License-Identifier: Apache-2.0
"""EC2NodeClass as AWS has it: images by each kind of term, reservations, templates as EC2 keeps them, and those of no use.

Every request is compared with botocore's own serialisation by the proxy (model.py).
"""

import base64
import json
import re
import subprocess
import time
import tomllib

import pytest
import yaml
from cloud_driver import Cloud, documents
from running import run_binary

CLUSTER = ("--cluster-name", "shop", "--cluster-endpoint", "https://shop.example.com", "--cluster-ca", "Zm9yZXJ1bg==",
           "--cluster-cidr", "172.20.0.0/16", "--cluster-version", "1.32")
OWNER = {"Key": "forerun.dev/owner", "Value": "default"}


@pytest.fixture
def cloud(ec2_world, tmp_path):
    started = []

    def starter(*options, spec=None, pool=None, **config):
        """spec, pool: what changes in the class' and the pool's spec; None takes a field away."""
        files = documents(tmp_path / "config", ec2_world.world, **{"capacity": "on-demand", **config})
        for name, changes in (("class", spec), ("pool", pool)):
            path = tmp_path / "config" / f"{name}.yaml"
            text = yaml.safe_load(path.read_text())
            at = text["spec"] if name == "class" else text["spec"]["template"]
            for key, value in (changes or {}).items():
                at.pop(key, None) if value is None else at.__setitem__(key, value)
            path.write_text(yaml.safe_dump(text, sort_keys=False))
        running = Cloud(ec2_world.environment(HOME=str(tmp_path)), files, *options)
        started.append(running)
        return running

    yield starter
    for running in started:
        running.close()
    for entry in ec2_world.log():
        assert entry["model"] is None, entry


def template_data(ec2, name):
    return ec2.client().describe_launch_template_versions(LaunchTemplateName=name, Versions=["1"])["LaunchTemplateVersions"][0]["LaunchTemplateData"]


def user_data(ec2, name):
    return base64.b64decode(template_data(ec2, name).get("UserData", "")).decode()


def register(ec2, name, architecture="x86_64", tags=()):
    like = ec2.client().describe_images(Owners=["amazon"], Filters=[{"Name": "architecture", "Values": [architecture]}])["Images"][0]
    made = ec2.client().copy_image(Name=name, SourceImageId=like["ImageId"], SourceRegion="us-east-1")["ImageId"]
    if tags:
        ec2.client().create_tags(Resources=[made], Tags=[{"Key": k, "Value": v} for k, v in tags])
    return made


def asked(ec2, action):
    """Of forerun, and not of the test itself."""
    return [e["params"] for e in ec2.log(action) if e["agent"].startswith("forerun")]


def images(found):
    return {t["architecture"]: t["image"] for t in found["templates"]}


# ---- images ----

def test_a_name_with_a_wildcard_and_tags_finds_an_image(cloud, ec2_world):
    ours = register(ec2_world, "web-2026-01", tags=[("team", "web"), ("stage", "prod")])
    register(ec2_world, "web-2026-02", tags=[("team", "db")])
    found = cloud(spec={"amiFamily": "Custom", "amiSelectorTerms": [{"name": "web-*", "owner": "self", "tags": {"team": "web", "stage": "*"}}]}).ready()
    assert images(found.found_class) == {"amd64": ours}
    query = asked(ec2_world, "DescribeImages")[0]
    assert query["Owner.1"] == "self" and query["IncludeDeprecated"] == "true"


def test_a_name_without_owner_is_looked_for_among_ours_and_amazons(cloud, ec2_world):
    register(ec2_world, "web-1")
    cloud(spec={"amiFamily": "Custom", "amiSelectorTerms": [{"name": "web-1"}]}).ready()
    query = asked(ec2_world, "DescribeImages")[0]
    assert (query["Owner.1"], query["Owner.2"]) == ("self", "amazon")


def image_xml(number, created, architecture="x86_64", deprecated=None, name=None):
    end = f"<deprecationTime>{deprecated}</deprecationTime>" if deprecated else ""
    return (f"<item><imageId>ami-{number:017x}</imageId><name>{name or number}</name><creationDate>{created}</creationDate>"
            f"<architecture>{architecture}</architecture>{end}</item>")


@pytest.mark.parametrize("listed, chosen", [
    ([image_xml(1, "2024-05-01T00:00:00.000Z"), image_xml(2, "2025-05-01T00:00:00.000Z")], 2),
    ([image_xml(2, "2025-05-01T00:00:00.000Z"), image_xml(1, "2024-05-01T00:00:00.000Z")], 2),
    ([image_xml(1, "2024-05-01T00:00:00.000Z"), image_xml(2, "2025-05-01T00:00:00.000Z", deprecated="2025-06-01T00:00:00.000Z")], 1),
    ([image_xml(2, "2025-05-01T00:00:00.000Z", deprecated="2999-06-01T00:00:00.000Z"), image_xml(1, "2024-05-01T00:00:00.000Z")], 2),
    ([image_xml(1, "2024-05-01T00:00:00.000Z", deprecated="2025-01-01T00:00:00.000Z"),
      image_xml(2, "2023-05-01T00:00:00.000Z", deprecated="2025-01-01T00:00:00.000Z")], 1),
    ([image_xml(1, "2024-05-01T00:00:00.000Z", name="b"), image_xml(2, "2024-05-01T00:00:00.000Z", name="a")], 1),
    ([image_xml(1, "2024-05-01T00:00:00.000Z"), image_xml(2, "2025-05-01T00:00:00.000Z", architecture="i386")], 1),
])
def test_the_newest_that_is_not_deprecated_wins(cloud, ec2_world, listed, chosen):
    ec2_world.control(stubs={"DescribeImages": f"<imagesSet>{''.join(listed)}</imagesSet>"})
    found = cloud(spec={"amiFamily": "Custom", "amiSelectorTerms": [{"tags": {"a": "b"}}]}).ready()
    assert images(found.found_class) == {"amd64": f"ami-{chosen:017x}"}


def test_any_of_several_terms_gives_an_image_for_each_architecture(cloud, ec2_world):
    parameter, arm = register(ec2_world, "x86"), register(ec2_world, "arm", "arm64")
    ec2_world.client("ssm").put_parameter(Name="/forerun/ami", Value=parameter, Type="String")
    found = cloud(spec={"amiFamily": "Custom", "amiSelectorTerms": [{"ssmParameter": "/forerun/ami"}, {"id": arm}]}).ready()
    assert images(found.found_class) == {"amd64": parameter, "arm64": arm}
    assert len(asked(ec2_world, "DescribeImages")) == 1


@pytest.mark.parametrize("term, words", [
    ({"name": "no-such-*"}, "term 1: no image in us-east-1 matches"),
    ({"tags": {"no": "such"}}, "term 1: no image in us-east-1 matches"),
    ({"ssmParameter": "/no/such"}, "SSM parameter /no/such does not exist"),
    ({"ssmParameter": "/forerun/words"}, "SSM parameter /forerun/words holds no image id"),
])
def test_a_term_that_finds_nothing_is_told_with_its_place(cloud, ec2_world, tmp_path, term, words):
    ec2_world.client("ssm").put_parameter(Name="/forerun/words", Value="hello", Type="String")
    problems = cloud(spec={"amiFamily": "Custom", "amiSelectorTerms": [term]}).ask("check", "checked", timeout=60)["problems"]
    assert re.fullmatch(re.escape(f"{tmp_path}/config/class.yaml:") + r"\d+:3", problems[0]["where"]) and words in problems[0]["text"], problems


def pool_spec():
    return {"nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "web"}}


@pytest.mark.parametrize("alias, version, expected", [
    ("al2@latest", "1.32", ["amazon-linux-2/recommended", "amazon-linux-2-arm64/recommended"]),
    ("al2@v20250101", "1.32", ["amazon-linux-2/amazon-eks-node-1.32-v20250101", "amazon-linux-2-arm64/amazon-eks-arm64-node-1.32-v20250101"]),
    ("al2023@v20250101", "1.34", ["amazon-linux-2023/x86_64/standard/amazon-eks-node-al2023-x86_64-standard-1.34-v20250101",
                                  "amazon-linux-2023/arm64/standard/amazon-eks-node-al2023-arm64-standard-1.34-v20250101"]),
    ("bottlerocket@v1.46.0", "1.34", ["bottlerocket/aws-k8s-1.34/x86_64/1.46.0", "bottlerocket/aws-k8s-1.34/arm64/1.46.0"]),
    ("bottlerocket@latest", "1.34", ["bottlerocket/aws-k8s-1.34/x86_64/latest", "bottlerocket/aws-k8s-1.34/arm64/latest"]),
])
def test_each_alias_has_its_parameters(cloud, ec2_world, alias, version, expected):
    ec2_world.control(stubs={"GetParameter": {"Parameter": {"Value": "ami-0123456789abcdef0"}}})
    cloud("--cluster-version", version, spec={"amiSelectorTerms": [{"alias": alias}]}).ready()
    names = [json.loads(e["params"])["Name"] for e in ec2_world.log("GetParameter")]
    assert [n.removeprefix("/aws/service/").removeprefix(f"eks/optimized-ami/{version}/").removesuffix("/image_id") for n in names] == expected


# ---- templates ----

def test_all_of_the_class_is_in_the_template_that_ec2_keeps(cloud, ec2_world):
    spec = {
        "placementGroupSelector": {"name": "near"}, "connectionTracking": {"tcpEstablishedTimeout": 350, "udpStreamTimeout": 90, "udpTimeout": 30},
        "cpuOptions": {"nestedVirtualization": "enabled"},
        "associatePublicIPAddress": True, "ipPrefixCount": 2, "detailedMonitoring": True,
        "metadataOptions": {"httpEndpoint": "enabled", "httpProtocolIPv6": "enabled", "httpPutResponseHopLimit": 3, "httpTokens": "optional"},
        "blockDeviceMappings": [{"deviceName": "/dev/xvda", "rootVolume": True, "ebs": {
            "volumeSize": "53G", "volumeType": "gp3", "iops": 4000, "throughput": 250, "encrypted": True, "deleteOnTermination": True,
            "kmsKeyID": "alias/forerun", "snapshotID": "snap-0123456789abcdef0", "volumeInitializationRate": 200}}]}
    running = cloud(spec=spec).ready()
    sent = ec2_world.log("CreateLaunchTemplate")[0]["params"]
    kept = template_data(ec2_world, running.found_class["templates"][0]["name"])
    interface = kept["NetworkInterfaces"][0]
    assert interface["AssociatePublicIpAddress"] is True and interface["Groups"] == [ec2_world.world["security_group"]]
    assert sent["LaunchTemplateData.NetworkInterface.1.Ipv4PrefixCount"] == "2" and "LaunchTemplateData.SecurityGroupId.1" not in sent
    tracking = "LaunchTemplateData.NetworkInterface.1.ConnectionTrackingSpecification."
    assert [sent[tracking + k] for k in ("TcpEstablishedTimeout", "UdpStreamTimeout", "UdpTimeout")] == ["350", "90", "30"]
    assert sent["LaunchTemplateData.Placement.GroupName"] == "near" and sent["LaunchTemplateData.CpuOptions.NestedVirtualization"] == "enabled"
    assert kept["Monitoring"] == {"Enabled": True}
    assert sent["LaunchTemplateData.MetadataOptions.HttpPutResponseHopLimit"] == "3"
    disk = "LaunchTemplateData.BlockDeviceMapping.1.Ebs."
    assert {k.removeprefix(disk): v for k, v in sent.items() if k.startswith(disk)} == {
        "VolumeSize": "50", "VolumeType": "gp3", "Iops": "4000", "Throughput": "250", "Encrypted": "true", "DeleteOnTermination": "true",
        "KmsKeyId": "alias/forerun", "SnapshotId": "snap-0123456789abcdef0", "VolumeInitializationRate": "200"}


def test_interfaces_are_those_of_the_class(cloud, ec2_world):
    spec = {"ipPrefixCount": 1, "networkInterfaces": [{"networkCardIndex": 0, "deviceIndex": 0, "interfaceType": "interface"},
                                                      {"networkCardIndex": 1, "deviceIndex": 1, "interfaceType": "efa-only"}]}
    cloud(spec=spec).ready()
    sent = ec2_world.log("CreateLaunchTemplate")[0]["params"]
    at = "LaunchTemplateData.NetworkInterface."
    group = ec2_world.world["security_group"]
    assert {k.removeprefix(at): v for k, v in sent.items() if k.startswith(at)} == {
        "1.NetworkCardIndex": "0", "1.DeviceIndex": "0", "1.InterfaceType": "interface", "1.SecurityGroupId.1": group, "1.Ipv4PrefixCount": "1",
        "2.NetworkCardIndex": "1", "2.DeviceIndex": "1", "2.InterfaceType": "efa-only", "2.SecurityGroupId.1": group}


@pytest.mark.parametrize("family, devices", [
    ("AL2023", {"/dev/xvda": "20"}), ("AL2", {"/dev/xvda": "20"}), ("Bottlerocket", {"/dev/xvda": "4", "/dev/xvdb": "20"}), ("Custom", {})])
def test_without_mappings_each_family_has_karpenters(cloud, ec2_world, family, devices):
    image = register(ec2_world, "one")
    cloud(spec={"amiFamily": family, "amiSelectorTerms": [{"id": image}], "blockDeviceMappings": None}).ready()
    sent = ec2_world.log("CreateLaunchTemplate")[0]["params"]
    at = "LaunchTemplateData.BlockDeviceMapping."
    found = {sent[f"{at}{n}.DeviceName"]: sent[f"{at}{n}.Ebs.VolumeSize"] for n in range(1, 5) if f"{at}{n}.DeviceName" in sent}
    assert found == devices
    assert all(sent[f"{at}{n}.Ebs.Encrypted"] == "true" and sent[f"{at}{n}.Ebs.VolumeType"] == "gp3" for n in range(1, len(devices) + 1))


def test_a_cluster_s_nodes_get_the_user_data_of_their_pool(cloud, ec2_world):
    pool = {"metadata": {"labels": {"team": "web"}}, "spec": {**pool_spec(), "requirements": [],
            "taints": [{"key": "dedicated", "value": "web", "effect": "NoSchedule"}]}}
    running = cloud(*CLUSTER, pool=pool, spec={"kubelet": {"maxPods": 42}, "userData": "#!/bin/sh\necho mine\n"}).ready()
    templates = running.found_class["templates"]
    assert {t["pool"] for t in templates} == {"web"}
    spot = next(t["name"] for t in templates if t["capacity_type"] == "spot")
    text = user_data(ec2_world, spot)
    config = yaml.safe_load(text.rpartition("Content-Type: application/node.eks.aws\n\n")[2].partition("\n--//--")[0])
    assert config["spec"]["cluster"] == {"apiServerEndpoint": "https://shop.example.com", "certificateAuthority": "Zm9yZXJ1bg==",
                                         "cidr": "172.20.0.0/16", "name": "shop"}
    assert config["spec"]["kubelet"]["config"]["maxPods"] == 42
    assert {"key": "dedicated", "value": "web", "effect": "NoSchedule"} in config["spec"]["kubelet"]["config"]["registerWithTaints"]
    assert "karpenter.sh/capacity-type=spot," in config["spec"]["kubelet"]["flags"][0] and "team=web" in config["spec"]["kubelet"]["flags"][0]
    assert "#!/bin/sh\necho mine\n" in text
    kept = next(s for s in template_data(ec2_world, spot)["TagSpecifications"] if s["ResourceType"] == "instance")
    assert {"Key": "kubernetes.io/cluster/shop", "Value": "owned"} in kept["Tags"]


def test_bottlerocket_s_settings_are_toml_as_python_reads_it(cloud, ec2_world):
    ec2_world.control(stubs={"GetParameter": {"Parameter": {"Value": "ami-0123456789abcdef0"}}})
    given = 'settings.motd = "h\\u00e9 \\"x\\""\n[settings.kubernetes]\nregistry-qps = 10\n[[settings.x]]\na = [1, 2.5, 1979-05-27]\n[[settings.x]]\n"b c" = {d = true}\n'
    running = cloud(*CLUSTER, spec={"amiSelectorTerms": [{"alias": "bottlerocket@latest"}], "userData": given, "instanceStorePolicy": "RAID0"}).ready()
    made = tomllib.loads(user_data(ec2_world, running.found_class["templates"][0]["name"]))["settings"]
    wanted = tomllib.loads(given)["settings"]
    assert made["motd"] == wanted["motd"] and made["x"] == wanted["x"]
    assert made["kubernetes"]["registry-qps"] == 10 and made["kubernetes"]["cluster-name"] == "shop"
    assert made["kubernetes"]["node-taints"]["karpenter.sh/unregistered"] == [":NoExecute"]
    assert made["bootstrap-commands"]["000-mount-instance-storage"]["mode"] == "always"


def test_user_data_that_does_not_merge_is_told_with_its_place(cloud, tmp_path):
    running = cloud(*CLUSTER, spec={"userData": "MIME-Version: 1.0\nContent-Type: text/plain\n\nhello\n"})
    problems = running.ask("check", "checked", timeout=60)["problems"]
    assert re.fullmatch(re.escape(f"{tmp_path}/config/class.yaml:") + r"\d+:3", problems[0]["where"])
    assert problems[0]["text"].startswith("the MIME archive has no header Content-Type: multipart/"), problems


# ---- reservations ----

def reservation(number, kind="m5.large", zone="us-east-1a", available=3, extra=""):
    return (f"<item><capacityReservationId>cr-{number:017x}</capacityReservationId><instanceType>{kind}</instanceType>"
            f"<availabilityZone>{zone}</availabilityZone><availableInstanceCount>{available}</availableInstanceCount>"
            f"<state>active</state>{extra}</item>")


def reserved(ec2, *items):
    ec2.control(stubs={"DescribeCapacityReservations": f"<capacityReservationSet>{''.join(items)}</capacityReservationSet>"})


def test_each_reservation_has_a_template_of_its_own(cloud, ec2_world):
    reserved(ec2_world, reservation(2, extra="<endDateType>limited</endDateType><endDate>2999-01-01T00:00:00.000Z</endDate>"),
             reservation(1, "g5.xlarge", "us-east-1b", 1, "<reservationType>capacity-block</reservationType>"),
             reservation(3, extra="<endDate>2001-01-01T00:00:00.000Z</endDate>"))
    running = cloud(capacity="reserved, on-demand", spec={"capacityReservationSelectorTerms": [
        {"tags": {"team": "web"}, "ownerID": "123456789012", "instanceMatchCriteria": "targeted"}]}).ready()
    found = running.found_class
    assert [(r["id"][-1], r["type"], r["zone"], r["available"], r["kind"]) for r in found["reservations"]] == [
        ("1", "g5.xlarge", "us-east-1b", 1, 1), ("2", "m5.large", "us-east-1a", 3, 0)]
    into = {t["reservation"]: t for t in found["templates"] if t["capacity_type"] == "reserved" and t["architecture"] == "amd64"}
    assert set(into) == {r["id"] for r in found["reservations"]}
    sent = {e["params"]["LaunchTemplateName"]: e["params"] for e in ec2_world.log("CreateLaunchTemplate")}
    at = "LaunchTemplateData.CapacityReservationSpecification."
    for number, template in into.items():
        said = sent[template["name"]]
        assert said[at + "CapacityReservationPreference"] == "capacity-reservations-only"
        assert said[at + "CapacityReservationTarget.CapacityReservationId"] == number
        assert said.get("LaunchTemplateData.InstanceMarketOptions.MarketType") == ("capacity-block" if number.endswith("1") else None)
    plain = next(t for t in found["templates"] if t["capacity_type"] == "on-demand")
    assert sent[plain["name"]][at + "CapacityReservationPreference"] == "none"
    query = asked(ec2_world, "DescribeCapacityReservations")[0]
    assert [query[f"Filter.{n}.Name"] for n in range(1, 5)] == ["state", "owner-id", "tag:team", "instance-match-criteria"]


def test_a_reservation_that_is_gone_hinders_no_other_launch(cloud, ec2_world, tmp_path):
    ec2_world.fault("DescribeCapacityReservations", "error", status=400, code="InvalidCapacityReservationId.NotFound", message="gone", times=9)
    spec = {"capacityReservationSelectorTerms": [{"id": "cr-0123456789abcdef0"}]}
    running = cloud(capacity="reserved, on-demand", spec=spec).ready()
    assert running.found_class["reservations"] == [] and {t["capacity_type"] for t in running.found_class["templates"]} == {"on-demand"}
    assert ec2_world.log("DescribeCapacityReservations")[0]["params"]["CapacityReservationId.1"] == "cr-0123456789abcdef0"
    problems = running.ask("check", "checked", timeout=60)["problems"]
    assert "term 1: no active capacity reservation in us-east-1 matches" in problems[0]["text"]


# ---- of no use ----

def test_an_old_template_of_ours_that_nothing_uses_is_deleted(cloud, ec2_world):
    ec2 = ec2_world.client()

    def make(name, owner):
        ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"ImageId": "ami-1"}, TagSpecifications=[
            {"ResourceType": "launch-template", "Tags": [{**OWNER, "Value": owner}]}])

    make("forerun-web-amd64-spot-0000000000000000", "default")
    make("forerun-web-amd64-spot-1111111111111111", "other")
    make("somebody-elses", "default")
    running = cloud("--template-keep", "1s", "--fleet-idle-every", "500ms").ready()
    until = time.monotonic() + 20
    while ec2_world.log("DeleteLaunchTemplate") == [] and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(2.5)  # another look
    left = {t["LaunchTemplateName"] for t in ec2.describe_launch_templates()["LaunchTemplates"]}
    assert left == {"forerun-web-amd64-spot-1111111111111111", "somebody-elses"} | {t["name"] for t in running.found_class["templates"]}
    assert len(asked(ec2_world, "DescribeLaunchTemplates")) >= 2


def test_observe_mode_deletes_no_template(cloud, ec2_world):
    ec2_world.client().create_launch_template(
        LaunchTemplateName="forerun-web-amd64-spot-0000000000000000", LaunchTemplateData={"ImageId": "ami-1"},
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": [OWNER]}])
    cloud("--read-only", "--template-keep", "500ms", "--fleet-idle-every", "300ms").ready()
    time.sleep(2)
    assert ec2_world.log("DeleteLaunchTemplate") == []


# ---- the instance store without a cluster ----

def stub_commands(directory, label=""):
    """Commands that say how they were called instead of doing it."""
    directory.mkdir()
    bodies = {"mountpoint": "exit 1", "blkid": f'[ -n "{label}" ] && echo "{label}"', "mount": "", "mkfs.xfs": "", "mdadm": ""}
    for name, body in bodies.items():
        (directory / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"$CALLS"\n{body}\n')
        (directory / name).chmod(0o755)


@pytest.mark.parametrize("disks, label, expected", [
    (0, "", []),
    (1, "", ["mkfs.xfs -f -L instance-store D/nvme0", "mount -o noatime D/nvme0 D/mnt/instance-store"]),
    (2, "", ["mdadm --create --run --level=0 --raid-devices=2 D/md/instance-store D/nvme0 D/nvme1",
             "mkfs.xfs -f -L instance-store D/md/instance-store", "mount -o noatime D/md/instance-store D/mnt/instance-store"]),
    (2, "/dev/md127", ["mount -o noatime /dev/md127 D/mnt/instance-store"]),
], ids=["no disk", "one disk", "two disks", "made before"])
def test_the_script_makes_one_file_system_of_all_disks(cloud, ec2_world, tmp_path, disks, label, expected):
    running = cloud(spec={"instanceStorePolicy": "RAID0", "userData": "#!/bin/sh\necho mine\n"}).ready()
    text = user_data(ec2_world, running.found_class["templates"][0]["name"])
    script = text[text.index("#!/bin/sh\n# instanceStorePolicy"):text.index("\n--//", text.index("# instanceStorePolicy"))]
    host = tmp_path / "host"
    for path in ("/dev/disk/by-id", "/dev/md", "/mnt/instance-store"):
        script = script.replace(path, f"{host}/{path.removeprefix('/dev/disk/').removeprefix('/dev/').removeprefix('/')}")
    (host / "by-id").mkdir(parents=True)
    for number in range(disks):
        (host / f"nvme{number}").touch()
        for name in (f"AWS{number}", f"AWS{number}-ns-1"):  # udev makes two links for each
            (host / "by-id" / f"nvme-Amazon_EC2_NVMe_Instance_Storage_{name}").symlink_to(host / f"nvme{number}")
    stub_commands(tmp_path / "bin", label)
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=20,
                          env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "CALLS": str(tmp_path / "calls")})
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "calls").read_text().replace(str(host), "D").splitlines()
    assert [c for c in calls if not c.startswith(("mountpoint", "blkid"))] == expected
    assert text.index("# instanceStorePolicy") < text.index("echo mine")


# ---- the options ----

@pytest.mark.parametrize("options, problems", [
    (["--cluster-name", "shop"], ["--cluster-name: needs --cluster-endpoint and --cluster-ca"]),
    (["--cluster-dns", "10.0.0.10"], ["--cluster-name: missing beside --cluster-endpoint"]),
    (["--cluster-name", "a b", "--cluster-endpoint", "http://x", "--cluster-ca", "%", "--cluster-cidr", "10.0.0.0", "--cluster-dns", "nine"],
     ['--cluster-name: found "a b", expected the name', '--cluster-endpoint: found "http://x", expected an https:// URL',
      '--cluster-ca: found "%", expected base64', '--cluster-cidr: found "10.0.0.0", expected addresses such as',
      '--cluster-dns: found "nine", expected an address such as']),
])
def test_options_of_a_cluster_that_make_no_sense_are_told(ec2_world, tmp_path, options, problems):
    files = documents(tmp_path / "config", ec2_world.world)
    done = run_binary("run", "--config", files[0].parent, "--check", *options, environment=ec2_world.environment(HOME=str(tmp_path)))
    told = [line for line in done.stdout.splitlines() if line.startswith("--cluster")]
    assert done.returncode == 1 and len(told) == len(problems)
    assert all(line.startswith(words) for line, words in zip(told, problems)), told

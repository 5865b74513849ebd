# SPDX-License-Identifier: Apache-2.0
"""deploy/standalone/user-data.sh on a host that boots: the instance joins by itself."""

import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import textwrap

import pytest
from authorization import ACCOUNT, requests_of
from iam_policy import decide, load
from imds import DEFAULTS
from machine import Machine
from running import Forerun, write_config
from testbed import BUILD, Ec2

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "deploy/standalone/user-data.sh"
BUCKET = "forerun-packages"
KEY = "0123456789abcdef" * 4
AGENT_OPTIONS = "core: {0.gateway}:9911\nshared-key: /etc/forerun/keys/shared.key\n"
VALUES = {"REGION": "us-east-1", "ACCOUNT": ACCOUNT, "NAME": "default", "ROLE": "r", "PROFILE": "r", "TABLE": "t"}


def script(**settings):
    """The user data with its settings changed, as its reader does it."""
    text = SCRIPT.read_text()
    for key, value in settings.items():
        text, count = re.subn(rf"^{key}=\S*", f"{key}={value}", text, flags=re.M)
        assert count == 1
    return text


def make(*arguments):
    done = subprocess.run(["make", "-s", "-C", ROOT, f"BUILD={BUILD}", *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """{"deb": path, "tar.gz": path}"""
    directory = tmp_path_factory.mktemp("packages")
    tree, archive = directory / "tree", directory / "forerun.tar.gz"
    make("install", f"DESTDIR={tree}", "PREFIX=/usr")
    subprocess.run(["tar", "-czf", archive, "--owner=root", "--group=root", "-C", tree, "."], check=True)
    return {"deb": pathlib.Path(make("deb").strip().splitlines()[-1]), "tar.gz": archive}


@pytest.fixture
def aws(tmp_path):
    """An account with the parameters, the key and a bucket; the role of the instance may sign."""
    ec2 = Ec2(log=tmp_path / "moto.log")
    try:
        role = {"secret": DEFAULTS["secret_key"], "token": DEFAULTS["session_token"]}
        ec2.control(credentials={DEFAULTS["access_key"]: role})
        ec2.client("secretsmanager").create_secret(Name="forerun/default/key", SecretString=KEY)
        ec2.client("s3").create_bucket(Bucket=BUCKET)
        yield ec2
    finally:
        ec2.close()


@pytest.fixture
def machine(aws, tmp_path):
    """machine(**metadata): one that is not booted yet."""
    made = []

    def maker(**metadata):
        made.append(Machine(tmp_path / f"machine-{len(made)}", aws, [f"{BUCKET}.s3.us-east-1.amazonaws.com"], **metadata))
        return made[-1]

    yield maker
    for one in made:
        one.close()


def offer(aws, package):
    """The package in the bucket: the settings of the script for it."""
    data = package.read_bytes()
    aws.client("s3").put_object(Bucket=BUCKET, Key=package.name, Body=data)
    return {"package": f"s3://{BUCKET}/{package.name}", "sha256": hashlib.sha256(data).hexdigest()}


def put_options(aws, part, text):
    aws.client("ssm").put_parameter(Name=f"/forerun/default/{part}", Type="String", Value=text)


def test_shellcheck_has_nothing_against_the_scripts():
    scripts = [SCRIPT, pathlib.Path(__file__).parent / "boot.sh", *(ROOT / "scripts").glob("demo*.sh")]
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_nothing_in_the_script_looks_like_a_variable_of_a_document():
    text = SCRIPT.read_text()
    assert "${" not in text and len(text) < 16384


def follow_role(aws, machine, part):
    """The unit runs as it shall; what the role asked AWS for is all that its policy allows for it."""
    assert machine.state(f"forerun-{part}.service") == "active", machine.journal()
    stat = machine.run("stat", "-c", "%U:%G %a %n", f"/etc/forerun/{part}.yaml", "/etc/forerun/keys", "/etc/forerun/keys/shared.key").stdout
    assert stat.splitlines() == [f"root:forerun 640 /etc/forerun/{part}.yaml", "root:forerun 750 /etc/forerun/keys",
                                 "root:forerun 640 /etc/forerun/keys/shared.key"]
    assert machine.run("cat", "/etc/forerun/keys/shared.key").stdout == KEY
    assert machine.run("systemctl", "is-enabled", f"forerun-{part}.service").stdout.strip() == "enabled"
    calls = [e for e in aws.log() if e["access_key"] == DEFAULTS["access_key"] and e["agent"].startswith("curl")]
    assert all(e["signature"] is None and e["status"] == 200 for e in calls), calls
    asked = [r for e in calls if e["service"] != "s3" for r in requests_of(e, None)]
    policy = load(part, **VALUES)
    assert all(decide(policy, r)[0] for r in asked)
    used = {grant[0] for r in asked for grant in decide(policy, r)[1]}
    assert used == {"ReadTheOptions", "ReadTheKey"}
    if part == "agent":
        assert used == {s["Sid"] for s in policy["Statement"]}


def capabilities(machine, part):
    pid = machine.run("systemctl", "show", "-P", "MainPID", f"forerun-{part}.service").stdout.strip()
    status = machine.run("cat", f"/proc/{pid}/status").stdout
    return {int(re.search(rf"^{name}:\s*(\w+)", status, re.M)[1], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh")}


@pytest.fixture
def core(aws, tmp_path):
    """core(address): one that listens there for agents, with a policy for the service web."""
    key = tmp_path / "shared.key"
    key.write_text(KEY + "\n")
    key.chmod(0o600)
    started = []

    def starter(address):
        config = write_config(tmp_path / "config", aws.make_world(), 80)
        started.append(Forerun(config, tmp_path / "core", aws.environment(HOME=str(tmp_path)), "--shared-key", key, "--listen-agents",
                               f"{address}:9911", mode="observe", role="core"))
        return started[0].ready()

    yield starter
    for one in started:
        one.kill()


def run_instance(aws, service):
    """One that somebody else launched, as EC2 knows it: its id."""
    ec2 = aws.client()
    image = ec2.describe_images(Owners=["amazon"], Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"][0]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "forerun.dev/service", "Value": service}]}]
    made = ec2.run_instances(ImageId=image["ImageId"], InstanceType="m5.large", MinCount=1, MaxCount=1, TagSpecifications=tags)
    return made["Instances"][0]["InstanceId"]


@pytest.mark.parametrize("kind, service, replicas", [("deb", "web", 1), ("tar.gz", "api", 0)])
def test_a_new_instance_joins_as_an_agent_of_the_service_in_its_tag(aws, machine, packages, core, kind, service, replicas):
    host = machine(instance_id=run_instance(aws, service))
    put_options(aws, "agent", AGENT_OPTIONS.format(host))
    host.start(script(**offer(aws, packages[kind])))
    assert host.user_data_done() == "success", host.journal()
    follow_role(aws, host, "agent")
    assert capabilities(host, "agent") == {1 << 12 | 1 << 38 | 1 << 39}  # net_admin, perfmon, bpf
    deciding = core(host.gateway)
    host.wait(lambda: "connected to the core" in host.journal(), "the agent's log to say so")
    deciding.wait(lambda: json.loads(deciding.get("/v1/status")[1])["hosts"]["reporting"] == 1, "the core to say so")
    deciding.wait(lambda: deciding.policy()["replicas"] == replicas, "the core to count it as a host of its service alone")


def test_a_core_starts_as_user_data_too_without_any_capability(aws, machine, packages):
    put_options(aws, "core", "shared-key: /etc/forerun/keys/shared.key\nlock-table: forerun\nmode: observe\n")
    aws.client("dynamodb").create_table(
        TableName="forerun", BillingMode="PAY_PER_REQUEST", AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}])
    host = machine().start(script(part="core", **offer(aws, packages["deb"])))
    assert host.user_data_done() == "success", host.journal()
    follow_role(aws, host, "core")
    assert capabilities(host, "core") == {0}
    host.wait(lambda: "leading with epoch 1" in host.journal(), "it leads")
    assert "StatusText=leading" in host.run("systemctl", "show", "forerun-core.service").stdout


def test_it_waits_for_its_role_and_its_options(aws, machine, packages):
    host = machine(role="").start(script(**offer(aws, packages["deb"])))
    host.wait(lambda: "no role of this instance yet" in host.journal(), "it waits for its role")
    host.set_metadata(role=DEFAULTS["role"])
    host.wait(lambda: "no Parameter.Value: ParameterNotFound" in host.journal(), "it says what is missing")
    put_options(aws, "agent", AGENT_OPTIONS.format(host))
    assert host.user_data_done() == "success", host.journal()
    assert host.state("forerun-agent.service") == "active"
    said = host.journal()
    assert KEY not in said and DEFAULTS["secret_key"] not in said


def test_a_package_with_another_checksum_is_not_installed(aws, machine, packages):
    host = machine().start(script(**{**offer(aws, packages["deb"]), "sha256": "0" * 64}))
    assert host.user_data_done() == "exit-code"
    assert f"has not the checksum {'0' * 64}" in host.journal()
    assert host.state("forerun-agent.service") == "inactive" and not aws.log("GetSecretValue")


CLASS = """
apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata: {name: web}
spec:
  amiSelectorTerms: [{alias: al2023@latest}]
  role: forerun-default-agent
  subnetSelectorTerms: [{tags: {service: web}}]
  securityGroupSelectorTerms: [{tags: {service: web}}]
  userData: |
"""


def test_the_script_goes_into_a_class_as_it_is(tmp_path):
    shutil.copytree(ROOT / "deploy/examples/standalone", tmp_path / "conf")
    (tmp_path / "conf/class.yaml").write_text(CLASS + textwrap.indent(SCRIPT.read_text(), "    "))
    done = subprocess.run([BUILD / "forerun", "simulate", "--options-file", "/dev/null", "--config", tmp_path / "conf", "--shape",
                           "step:at=1s,from=5,to=50", "--duration", "3s"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr

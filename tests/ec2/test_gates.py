# SPDX-License-Identifier: Apache-2.0
"""The test bed's faults that tell two clients apart, and those of EC2's view and clock. boto3 is the client."""

import json
import os
import signal
import subprocess
import threading
import time
import urllib.request

import botocore.exceptions
import pytest
import world
from test_proxy import A, code, fleet, ids, template

# The reset may come before connect() has returned.
CUT = (botocore.exceptions.HTTPClientError, botocore.exceptions.EndpointConnectionError)


@pytest.fixture
def two(ec2_world):
    """A client for each of two names, with the names' URLs."""
    template(ec2_world)
    return {name: world.client(ec2_world.listen(name), "ec2") for name in ("one", "two")}


def test_the_ledger_says_who_launched_when_and_under_which_token(ec2_world, two):
    before = time.time()
    launched = ids(fleet(ec2_world, 1, [A], client=two["one"])) + ids(fleet(ec2_world, 1, [A], token="t2", client=two["two"]))
    entries = ec2_world.ledger()
    assert [(e["id"], e["token"], e["asked"]["client"]) for e in entries] == [(launched[0], "t1", "one"), (launched[1], "t2", "two")]
    calls = ec2_world.log("CreateFleet")
    for entry, call in zip(entries, calls):
        assert entry["asked"]["n"] == call["n"] and entry["asked"]["connection"] == call["connection"]
        assert before <= entry["asked"]["t_kernel"] <= entry["launched"] <= call["t_reply"]


def test_a_fault_can_wait_for_one_client(ec2_world, two):
    ec2_world.fault("CreateFleet", "error", client="two", status=500, code="InternalError")
    fleet(ec2_world, 1, [A], client=two["one"])
    with pytest.raises(botocore.exceptions.ClientError):
        fleet(ec2_world, 1, [A], token="t2", client=two["two"])


def test_other_tags_under_the_same_token_are_other_parameters(ec2_world):
    template(ec2_world)
    fleet(ec2_world, 1, [A])
    client = ec2_world.client()
    form = ec2_world.log("CreateFleet")[0]["params"]
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        client.create_fleet(
            Type="instant", ClientToken="t1", TargetCapacitySpecification={"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"},
            SpotOptions={"AllocationStrategy": form["SpotOptions.AllocationStrategy"]},
            LaunchTemplateConfigs=[{"LaunchTemplateSpecification": {"LaunchTemplateName": "forerun-lt", "Version": "$Latest"},
                                    "Overrides": [{"InstanceType": A[0], "SubnetId": ec2_world.world["subnets"][A[1]], "AvailabilityZone": A[1]}]}],
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "forerun.dev/owner", "Value": "y"}]}])
    assert code(failure) == ("IdempotentParameterMismatch", 400)
    assert len(ec2_world.ledger()) == 1


def test_without_honoured_tokens_each_call_launches(ec2_world):
    template(ec2_world)
    ec2_world.control(honour_tokens=False)
    assert ids(fleet(ec2_world, 1, [A])) != ids(fleet(ec2_world, 1, [A]))
    assert len(ec2_world.ledger()) == 2


def test_a_refusing_gate_cuts_one_client_and_lets_the_other_through(ec2_world, two):
    two["one"].describe_vpcs()
    ec2_world.control(gates={"one": "refuse"})
    with pytest.raises(CUT):
        fleet(ec2_world, 1, [A], client=two["one"])
    assert ec2_world.ledger() == []
    two["two"].describe_vpcs()
    ec2_world.control(gates={})
    fleet(ec2_world, 1, [A], client=two["one"])


def test_a_gate_can_be_between_a_client_and_one_service(ec2_world, two):
    ec2_world.control(gates={"one/ec2": "refuse"})
    with pytest.raises(CUT):
        two["one"].describe_vpcs()
    world.client(ec2_world.listen("one"), "sts").get_caller_identity()


@pytest.mark.parametrize("how, launched", [("lose", 0), ("hold", 1)])
def test_what_a_gate_keeps_is_lost_or_happens_late(ec2_world, two, how, launched):
    ec2_world.control(gates={"one": how})
    gave_up = []

    def ask():
        with pytest.raises(CUT):
            fleet(ec2_world, 1, [A], client=world.client(two["one"].meta.endpoint_url, "ec2", read_timeout=0.5))
        gave_up.append(True)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(10)
    assert gave_up and ec2_world.ledger() == []
    ec2_world.control(gates={})
    time.sleep(0.3)
    assert len(ec2_world.ledger()) == launched


def test_a_process_can_be_stopped_when_its_call_arrives(ec2_world, two):
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            ec2_world.control(pids={"one": sleeper.pid})
            ec2_world.fault("CreateFleet", "kill_client", when="before", signal=signal.SIGSTOP)
            assert ids(fleet(ec2_world, 1, [A], client=two["one"])), "what is on the wire happens"
            with open(f"/proc/{sleeper.pid}/stat") as stat:
                assert stat.read().split()[2] == "T"
        finally:
            os.kill(sleeper.pid, signal.SIGKILL)


def test_how_long_an_instance_is_hidden_is_drawn_for_each_from_a_seed(ec2_world):
    def drawn():
        ec2_world.reset()
        ec2_world.make_world()
        template(ec2_world)
        ec2_world.control(seed=7, hidden_s=[0.2, 2.0], synthetic_fleet=True)
        fleet(ec2_world, 5, [A])
        return [e["hidden_s"] for e in ec2_world.ledger()]

    first = drawn()
    assert drawn() == first
    ec2_world.control(seed=7, hidden_s=0.0)
    fleet(ec2_world, 1, [A], token="t2")
    shown = ec2_world.client().describe_instances()["Reservations"]
    assert [r["Instances"][0]["InstanceId"] for r in shown][-1] == ec2_world.ledger()[-1]["id"]


def test_a_list_can_be_stale(ec2_world):
    template(ec2_world)
    fleet(ec2_world, 1, [A])
    ec2_world.fault("DescribeInstances", "stale", s=5)
    client = ec2_world.client()
    assert client.describe_instances()["Reservations"] == []
    assert len(client.describe_instances()["Reservations"]) == 1


def test_a_long_list_comes_in_pages(ec2_world):
    template(ec2_world)
    ec2_world.control(synthetic_fleet=True)
    launched = ids(fleet(ec2_world, 25, [A]))
    pages = list(ec2_world.client().get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 10}))
    assert [len(p["Reservations"]) for p in pages] == [10, 10, 5]
    assert [r["Instances"][0]["InstanceId"] for p in pages for r in p["Reservations"]] == launched


def test_a_clock_that_differs_refuses(ec2):
    ec2.control(skew_s=600)
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        ec2.client().describe_vpcs()
    assert code(failure) == ("RequestExpired", 400)


def test_a_container_gets_sessions_and_all_of_them_can_end(ec2):
    with urllib.request.urlopen(f"{ec2.url}/v1/credentials", timeout=10) as reply:
        given = json.load(reply)
    client = ec2.client(access_key=given["AccessKeyId"], secret_key=given["SecretAccessKey"], token=given["Token"])
    client.describe_vpcs()
    ec2.control(expire_sessions=True)
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        client.describe_vpcs()
    assert code(failure) == ("RequestExpired", 400)
    ec2.client().describe_vpcs()

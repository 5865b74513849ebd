# SPDX-License-Identifier: Apache-2.0
"""Two cores with one lease: the one that stands by is ready to launch in the moment in which it leads."""

import collections
import time

TABLE = "forerun-test"


def make_table(ec2):
    ec2.client("dynamodb").create_table(
        TableName=TABLE, BillingMode="PAY_PER_REQUEST", AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}])


def leads(core):
    return "leading with epoch" in core.stderr()


def test_the_other_core_launches_as_soon_as_it_leads(core, agent, queue, ec2_world):
    make_table(ec2_world)
    lease = ("--lock-table", TABLE, "--lease", "2s")
    first = core(*lease, name="first", most=6)
    second = core(*lease, name="second", most=6, ready=False)
    # A class that only the leader could resolve would keep the other from launching.
    second.wait(lambda: "launch templates" in second.stderr(), "the one that stands by knows its templates")
    assert leads(first) and not leads(second)
    agent("a", first, second).connected(2)
    queue.depth = 1
    first.wait(lambda: len(ec2_world.ledger()) == 3, "the first launches", 20)
    first.kill()
    second.wait(lambda: leads(second), "the second leads", 20)
    led = time.monotonic()
    queue.depth = 2
    second.wait(lambda: len(ec2_world.ledger()) > 3, "the second launches", 20)
    assert time.monotonic() - led < 15, "EC2 was not asked in the moment in which it led"
    asked = {e["params"]["ClientToken"]: int(e["params"]["TargetCapacitySpecification.TotalTargetCapacity"])
             for e in ec2_world.log("CreateFleet")}
    assert collections.Counter(e["token"] for e in ec2_world.ledger()) == asked


def test_a_leader_that_is_stopped_hands_over_at_once(core, ec2_world):
    make_table(ec2_world)
    lease = ("--lock-table", TABLE, "--lease", "60s")
    first = core(*lease, name="first")
    second = core(*lease, name="second", ready=False)
    assert leads(first)
    assert first.stop() == 0
    second.wait(lambda: leads(second), "the second leads, long before the lease has run out", 20)

# SPDX-License-Identifier: Apache-2.0
"""Two cores with one lock table: one leads, the other stands by with warm connections; identity documents of agents."""

import json
import time

import pytest
from members import run_binary
from test_identity_document import DOCUMENT, ID, Signer

LAUNCHED = 3
TABLE = "forerun-lock"


@pytest.fixture
def table(ec2_world):
    ec2_world.client("dynamodb").create_table(
        TableName=TABLE, AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST")
    return TABLE


@pytest.fixture
def pair(core, table):
    """The leader and the one that stands by."""
    first = core("--lock-table", table, "--lease", "1s", name="first")
    first.wait(lambda: lease(first)["leading"], "the first to lead")
    return first, core("--lock-table", table, "--lease", "1s", name="second")


def lease(core):
    return next((line["lease"] for line in reversed(core.lines) if line["type"] == "status" and line["lease"]), {"leading": False})


def test_a_standby_says_so_and_is_ready(pair):
    leader, standby = pair
    assert leader.get("/readyz") == (200, "ready\n")
    status, text = standby.get("/readyz")
    assert (status, text) == (200, f"ready: standing by for {lease(leader)['holder']}\n")
    assert "standing by until the lease in the table" in standby.stderr()


def test_a_standby_takes_over_and_launches_nothing_twice(pair, agent, queue, ec2_world):
    leader, standby = pair
    agent("a", leader, standby).connected(2)
    queue.depth = 30
    leader.wait(lambda: len(ec2_world.ledger()) == LAUNCHED, "the launch")
    assert standby.decisions() == [] or all(decision["launched"] == 0 for decision in standby.decisions())
    leader.kill()
    standby.wait(lambda: lease(standby)["leading"], "the standby to lead", 15)
    assert lease(standby)["epoch"] == 2
    standby.wait(lambda: standby.policy()["replicas"] == LAUNCHED + 1, "what was launched before")
    time.sleep(2)
    assert len(ec2_world.ledger()) == LAUNCHED
    assert len([call for call in ec2_world.log("CreateFleet") if call["status"] == 200]) == 1


def test_a_new_leader_launches_what_the_old_one_could_not(pair, agent, queue, ec2_world):
    leader, standby = pair
    agent("a", leader, standby).connected(2)
    time.sleep(1.5)
    leader.kill()
    queue.depth = 30
    standby.wait(lambda: len(ec2_world.ledger()) == LAUNCHED, "the launch by the new leader")
    assert {entry["tags"]["forerun.dev/epoch"] for entry in ec2_world.ledger()} == {"2"}


def test_a_pause_in_the_table_holds_all_cores(pair, agent, queue, ec2_world, tmp_path):
    leader, standby = pair
    agent("a", leader, standby).connected(2)
    environment = ec2_world.environment(HOME=str(tmp_path))
    paused = run_binary("core", "pause", "--lock-table", TABLE, "--reason", "audit", environment=environment)
    assert paused.returncode == 0, paused.stderr
    for one in pair:
        one.wait(lambda one=one: "audit" in one.stderr(), "the pause to be seen")
    queue.depth = 30
    leader.wait(lambda: "audit" in leader.policy()["held"], "the pause to be named")
    time.sleep(1)
    assert ec2_world.ledger() == []
    resumed = run_binary("core", "resume", "--lock-table", TABLE, environment=environment)
    assert resumed.returncode == 0, resumed.stderr
    leader.wait(lambda: len(ec2_world.ledger()) == LAUNCHED, "the launch")


def test_a_table_that_is_not_there_is_named(core):
    alone = core("--lock-table", "none-such", "--lease", "1s", ready=False)
    alone.wait(lambda: alone.get("/readyz")[0] == 503 and "none-such" in alone.get("/readyz")[1], "the problem")
    assert not lease(alone)["leading"]


@pytest.fixture
def imds():
    from imds import Imds
    running = Imds(instance_id=ID).start()
    yield running
    running.stop()


def on_ec2(imds):
    return {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url}


def test_an_instance_whose_metadata_comes_late_is_known_in_the_end(core, agent, imds):
    one = core(mode="observe")
    imds.settings["put_status"] = 404
    member = agent("a", one, environment=on_ec2(imds)).connected()
    hosts = lambda: {host["host"]: host["instance"] for host in json.loads(one.get("/v1/hosts")[1])["hosts"]}  # noqa: E731
    one.wait(lambda: "a" in hosts(), "the host")
    assert not hosts()["a"]
    imds.settings["put_status"] = 200
    one.wait(lambda: hosts()["a"] == ID, "the instance")
    member.connected()


def test_only_an_agent_with_its_instances_document_is_taken(core, agent, imds, tmp_path):
    signer, other = Signer(tmp_path, "ours"), Signer(tmp_path, "other")
    one = core("--identity-certificates", signer.certificate, mode="observe")

    def documents(by, text=DOCUMENT):
        where = "/latest/dynamic/instance-identity/"
        imds.settings["documents"] = {where + "document": text, where + "rsa2048": by.sign(text)}

    without = agent("a", one)
    without.wait(lambda: without.links() and "identity document" in without.links()[0]["reason"], "the reason")
    without.kill()
    documents(other)
    forged = agent("a", one, environment=on_ec2(imds))
    forged.wait(lambda: forged.links() and "identity document" in forged.links()[0]["reason"], "the reason")
    forged.kill()
    documents(signer, DOCUMENT.replace(ID, "i-0fffffffffffffff0"))
    stolen = agent("a", one, environment=on_ec2(imds))
    stolen.wait(lambda: stolen.links() and f"is of i-0fffffffffffffff0, but the agent says it is on {ID}" in stolen.links()[0]["reason"],
                "the reason")
    stolen.kill()
    documents(signer)
    agent("a", one, environment=on_ec2(imds)).connected()

# SPDX-License-Identifier: Apache-2.0
"""Leadership by a lease in DynamoDB: one holds it, a standby takes it, and who lost it acts no more."""

import json
import signal
import time

import pytest
from cloud_driver import Cloud

TTL_S = 1.5
TABLE = "forerun-lock"


@pytest.fixture
def table(ec2):
    client = ec2.client("dynamodb")
    client.create_table(TableName=TABLE, AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
                        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST")
    return client


@pytest.fixture
def core(ec2, tmp_path):
    """core("a"): a process that asks AWS at a port of its own."""
    started = []

    def starter(name, ttl_s=TTL_S, wait=True):
        running = Cloud(ec2.environment(HOME=str(tmp_path), AWS_ENDPOINT_URL=ec2.listen(name)))
        running.name = name
        started.append(running)
        running.send("lease", {"table": TABLE, "name": "web", "holder": name, "ttl_ms": ttl_s * 1000})
        if wait:
            running.acquired = running.wait("acquired")
        return running

    yield starter
    for running in started:
        running.close()
    for entry in ec2.log():
        assert entry["model"] is None and entry["signature"] is None, entry


@pytest.fixture
def operator(ec2, tmp_path):
    """Who pauses a core from elsewhere."""
    running = Cloud(ec2.environment(HOME=str(tmp_path)))
    yield running
    running.close()


def status(running):
    return running.ask("lease-status", "lease-status")


def until(what, seconds=10):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def item(table):
    found = table.get_item(TableName=TABLE, Key={"name": {"S": "web"}}, ConsistentRead=True).get("Item", {})
    return {name: next(iter(value.values())) for name, value in found.items()}


def order(token):
    """Of a launch template that is not there: it launches nothing."""
    override = {"type": "m5.large", "zone": "us-east-1a", "subnet": "subnet-0", "template": "forerun-none"}
    return {"token": token, "count": 1, "overrides": [override]}


def launch(running, token="t"):
    return running.ask("launch", "launched", order(token), token=token)


def test_the_first_takes_it_and_keeps_it(core, table):
    a = core("a")
    assert (a.acquired["epoch"], a.acquired["state"]) == (1, "")
    first = item(table)
    assert (first["holder"], first["epoch"], first["ttl_ms"]) == ("a", "1", "1500")
    time.sleep(2 * TTL_S)
    now = status(a)
    assert now["held"] == 1 and now["renewals"] >= 3 and 0 < now["left_ns"] <= 0.9 * TTL_S * 1e9
    assert item(table)["epoch"] == "1" and item(table)["rvn"] != first["rvn"]


def test_a_standby_watches_and_takes_over_from_the_dead(core, table):
    a, b = core("a"), core("b", wait=False)
    a.send('lease-state {"web":{"next":7}}')
    until(lambda: item(table).get("state") == '{"web":{"next":7}}', 2)
    time.sleep(2 * TTL_S)
    assert status(b)["held"] == 0 and status(b)["holder"] == "a"
    a.process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    taken = b.wait("acquired", timeout=5)
    # The last renewal was up to a third of the ttl before, and is seen up to 100 ms later.
    assert 0.5 * TTL_S < time.monotonic() - killed < 2.5 * TTL_S
    assert taken["epoch"] == 2 and taken["state"] == '{"web":{"next":7}}'


def test_a_standby_that_came_too_late_has_no_problem(core, table, ec2):
    """Its write got no answer, and meanwhile another has the lease: all is well."""
    a, b = core("a"), core("b", wait=False)
    until(lambda: status(b)["holder"] == "a")
    ec2.fault("UpdateItem", "error", client="b", status=500, code="InternalServerError", times=100)
    a.close()
    until(lambda: status(b)["problem"])
    again = core("c")
    assert again.acquired["epoch"] == 2
    ec2.control(faults=[])
    until(lambda: status(b)["holder"] == "c")
    until(lambda: not status(b)["problem"])


def test_a_clean_end_hands_over_at_once(core, table):
    a, b = core("a", ttl_s=10), core("b", ttl_s=10, wait=False)
    until(lambda: status(b)["holder"] == "a")
    a.send("lease-state last words")
    a.close()
    began = time.monotonic()
    taken = b.wait("acquired", timeout=5)
    assert time.monotonic() - began < 3
    assert (taken["epoch"], taken["state"]) == (2, "last words")


def test_a_long_name_of_a_host_is_a_holder(core, table):
    name = "ip-10-0-123-234.ap-northeast-1.compute.internal/1234567/" + "f" * 16 + "x" * 60
    core(name)
    assert item(table)["holder"] == name and core("b", wait=False).ask("lease-status", "lease-status")


def test_a_new_state_is_written_at_once(core, table):
    a = core("a", ttl_s=20)
    a.send("lease-state one")
    until(lambda: item(table).get("state") == "one", 3)
    a.send("lease-state two")
    until(lambda: item(table).get("state") == "two", 3)


def test_a_large_state_is_not_written_more_often_than_dynamodb_takes(core, table, ec2):
    """190 KB are 190 units of the 1,000 a second that an item takes."""
    a = core("a", ttl_s=20)
    a.send("lease-fill 190000")
    for number in range(40):
        a.send(f"lease-state {number}")
        time.sleep(0.05)
    until(lambda: item(table).get("state", "").startswith("39 "), 3)
    writes = [e for e in ec2.log("UpdateItem") if e["bytes"] > 190000]
    assert 3 <= len(writes) <= 9
    assert status(a)["held"] == 1


def test_a_state_that_no_item_takes_costs_no_lease(core, table):
    a = core("a")
    a.send("lease-fill 400000")
    a.send("lease-state large")
    until(lambda: any("does not fit an item" in line for line in a.errors))
    time.sleep(1.5 * TTL_S)
    assert status(a)["held"] == 1 and not [e for e in a.seen if e["event"] == "lost"]
    a.send("lease-fill 0")
    a.send("lease-state small")
    until(lambda: item(table).get("state") == "small")


def test_a_state_that_dynamodb_refuses_costs_no_lease(core, table, ec2):
    a = core("a")
    ec2.fault("UpdateItem", "error", status=400, code="ValidationException", message="Item size has exceeded the maximum")
    a.send("lease-state large")
    time.sleep(1.5 * TTL_S)
    assert status(a)["held"] == 1 and not [e for e in a.seen if e["event"] == "lost"]
    a.send("lease-state s")
    until(lambda: item(table).get("state") == "s")


@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "garbage", "truncate"])
def test_an_answer_lost_on_the_way_costs_no_lease(core, table, ec2, fault):
    a = core("a")
    ec2.fault("UpdateItem", fault, times=2)
    until(lambda: all(f["times"] == 0 for f in ec2.call("/_ctl")["faults"]))
    time.sleep(1.5 * TTL_S)
    assert status(a)["held"] == 1
    assert [e for e in a.seen if e["event"] == "lost"] == [] and item(table)["epoch"] == "1"


def test_an_acquisition_whose_answer_is_lost_is_one(core, table, ec2):
    ec2.fault("UpdateItem", "drop_after")
    a = core("a")
    assert a.acquired["epoch"] == 1 and item(table)["epoch"] == "1" and status(a)["held"] == 1


@pytest.mark.parametrize("status_code, code", [(400, "ProvisionedThroughputExceededException"), (500, "InternalServerError")])
def test_a_throttled_renewal_is_tried_again(core, table, ec2, status_code, code):
    a = core("a")
    ec2.fault("UpdateItem", "error", status=status_code, code=code, message="slow", times=3)
    time.sleep(2 * TTL_S)
    assert status(a)["held"] == 1 and status(a)["failures"] >= 3 and item(table)["epoch"] == "1"


@pytest.mark.parametrize("gate", ["lose", "hold", "refuse"])
def test_who_is_cut_off_stops_before_another_begins(core, table, ec2, gate):
    a, b = core("a"), core("b", wait=False)
    until(lambda: status(b)["holder"] == "a")
    ec2.control(gates={"a/dynamodb": gate} if gate != "refuse" else {"a": gate})
    lost, taken = a.wait("lost", timeout=5), b.wait("acquired", timeout=5)
    assert lost["mono_ns"] < taken["mono_ns"] and taken["epoch"] == 2
    assert "no renewal came through in time" in lost["why"]
    refused = launch(a)
    assert (refused["outcome"], refused["code"], refused["sent_ns"]) == ("refused", "NotLeader", 0)
    assert ec2.log("CreateFleet") == []
    # What the network kept arrives now: it changes nothing.
    ec2.control(gates={})
    until(lambda: status(a)["holder"] == "b")
    time.sleep(TTL_S)
    assert item(table)["holder"] == "b" and item(table)["epoch"] == "2" and status(b)["held"] == 1


def test_who_stood_still_knows_it_before_it_acts(core, table, ec2):
    a, b = core("a"), core("b", wait=False)
    until(lambda: status(b)["holder"] == "a")
    a.send(f"freeze {int(2500 * TTL_S)}\nlaunch {json.dumps(order('late'))}")
    b.wait("acquired", timeout=5)
    result = a.wait("launched", token="late")
    assert (result["outcome"], result["code"]) == ("refused", "NotLeader")
    assert ec2.log("CreateFleet") == [] and a.wait("lost")


def test_who_holds_it_may_launch(core, table, ec2):
    launched = launch(core("a"))
    assert launched["code"] != "NotLeader" and len(ec2.log("CreateFleet")) >= 1
    standby = core("b", wait=False)
    assert launch(standby)["code"] == "NotLeader"


def test_what_waits_for_its_answer_when_the_lease_goes_is_not_known(core, table, ec2):
    """libcurl would write a POST again on a new connection: not without the lease."""
    a = core("a")
    warm = launch(a, "warm")
    assert warm["code"] != "NotLeader"
    sent = len(ec2.log("CreateFleet"))
    ec2.fault("CreateFleet", "delay_before", s=2 * TTL_S)
    ec2.control(gates={"a/dynamodb": "lose"})
    a.send("launch", order("cut"))
    a.wait("lost", timeout=5)
    ec2.control(gates={"a": "refuse", "a/dynamodb": "lose"})
    result = a.wait("launched", token="cut")
    assert (result["outcome"], result["code"]) == ("unknown", "NotLeader")
    assert len(ec2.log("CreateFleet")) == sent + 1


def test_two_that_start_together_are_one_leader(core, table):
    both = [core(name, wait=False) for name in "ab"]
    time.sleep(2 * TTL_S)
    assert sorted(status(c)["held"] for c in both) == [0, 1] and item(table)["epoch"] == "1"


def test_an_item_that_was_deleted_is_a_lease_that_was_lost(core, table):
    a = core("a")
    table.delete_item(TableName=TABLE, Key={"name": {"S": "web"}})
    assert "deleted" in a.wait("lost")["why"]
    assert a.wait("acquired")["epoch"] == 1


def test_a_table_that_is_missing_is_said_with_the_way_to_make_it(core, ec2):
    a = core("a", wait=False)
    problem = until(lambda: status(a)["problem"])
    assert "aws dynamodb create-table --table-name forerun-lock" in problem and "PAY_PER_REQUEST" in problem
    words = problem.partition("aws dynamodb create-table ")[2].split()
    given = dict(zip(words[::2], words[1::2]))
    name, kind = (part.partition("=")[2] for part in given["--attribute-definitions"].split(","))
    ec2.client("dynamodb").create_table(
        TableName=given["--table-name"], AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind}],
        KeySchema=[{"AttributeName": name, "KeyType": "HASH"}], BillingMode=given["--billing-mode"])
    assert a.wait("acquired")["epoch"] == 1 and status(a)["problem"] == ""
    assert sum("lock table" in line for line in a.errors) == 1


def test_dynamodb_has_an_endpoint_of_its_own(ec2, table, tmp_path):
    environment = ec2.environment(HOME=str(tmp_path), AWS_ENDPOINT_URL="http://127.0.0.1:1", AWS_ENDPOINT_URL_DYNAMODB=ec2.url)
    running = Cloud(environment)
    try:
        running.send("lease", {"table": TABLE, "name": "web", "holder": "a", "ttl_ms": 1500})
        assert running.wait("acquired")["epoch"] == 1
    finally:
        running.close()


def test_what_is_not_allowed_is_said_and_not_asked_for_in_haste(core, table, ec2):
    for action in ("GetItem", "UpdateItem"):
        ec2.fault(action, "error", status=400, code="AccessDeniedException", message="no", times=1000)
    a = core("a", wait=False)
    assert "dynamodb:GetItem and UpdateItem on table/forerun-lock" in until(lambda: status(a)["problem"])
    time.sleep(1)
    assert len(ec2.log("GetItem")) <= 4


@pytest.mark.parametrize("broken", [{"holder": {"N": "5"}}, {"epoch": {"S": "x"}}, {"rvn": {"S": "x" * 500}},
                                    {"epoch": {"N": "-1"}}])
def test_an_item_of_somebody_else_is_left_alone(core, table, broken):
    table.put_item(TableName=TABLE, Item={"name": {"S": "web"}, **broken})
    before = item(table)
    a = core("a", wait=False)
    assert "none of forerun's" in until(lambda: status(a)["problem"])
    time.sleep(1.5 * TTL_S)
    assert item(table) == before and status(a)["held"] == 0


def test_a_pause_reaches_holder_and_standby_and_is_lifted(core, table, operator):
    a, b = core("a"), core("b", wait=False)
    assert operator.ask("pause", "pause-done", {"table": TABLE, "name": "web", "why": "a \"look\"\n"})["error"] == ""
    for one in (a, b):
        told = one.wait("paused", timeout=3)
        assert told["is"] == 1 and told["why"] == 'a "look" '
    time.sleep(TTL_S)
    assert status(a)["held"] == 1, "a pause takes no lease away"
    a.close()
    b.wait("acquired")
    assert item(table)["paused"]
    assert operator.ask("pause", "pause-done", {"table": TABLE, "name": "web", "why": ""})["error"] == ""
    assert b.wait("paused", timeout=3)["is"] == 0 and "paused" not in item(table)


def test_pausing_what_is_not_there_is_an_error(operator, table):
    answer = operator.ask("pause", "pause-done", {"table": TABLE, "name": "typo", "why": "x"})
    assert answer["error"] and "table forerun-lock has no item typo" in answer["text"]
    answer = operator.ask("pause", "pause-done", {"table": "other", "name": "web", "why": "x"})
    assert "aws dynamodb create-table --table-name other" in answer["text"]

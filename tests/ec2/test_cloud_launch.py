# SPDX-License-Identifier: Apache-2.0
"""What one launch comes to, with EC2 failing in its ways: every request as the service's model and signed right."""

import time

import pytest
from cloud_driver import Cloud, documents

SPOT_POOLS = [f"spot:{t}/us-east-1{z}" for t in ("m5.large", "c5.large") for z in "ab"]


@pytest.fixture
def cloud(ec2_world, tmp_path):
    """cloud(**config): ready, on the test bed."""
    started = []

    def starter(*options, environment=None, **config):
        running = Cloud(environment or ec2_world.environment(HOME=str(tmp_path)),
                        documents(tmp_path / "config", ec2_world.world, **{"capacity": "spot, on-demand", **config}),
                        *options)
        started.append(running)
        return running.ready()

    yield starter
    for running in started:
        running.close()
    for entry in ec2_world.log():
        assert entry["model"] is None, entry
        assert entry["signature"] is None, entry


def alive(ec2):
    return sorted(e["id"] for e in ec2.ledger(alive=True))


def ids(result):
    return sorted(i["id"] for i in result["instances"])


def test_a_launch_says_which_instances_came(cloud, ec2_world):
    result = cloud().launch("one", 3)
    assert result["outcome"] == "done" and len(result["instances"]) == 3 and not result["failures"]
    assert result["request_id"] and result["fleet_id"].startswith("fleet-")
    assert ids(result) == alive(ec2_world)
    for instance in result["instances"]:
        assert instance["type"] in ("m5.large", "c5.large") and instance["zone"] in ("us-east-1a", "us-east-1b")
    assert 0 < result["started_ns"] <= result["sent_ns"] <= result["done_ns"]


def test_on_demand_has_templates_of_its_own(cloud):
    running = cloud()
    result = running.launch("od", 1, capacity_type="on-demand")
    assert result["outcome"] == "done" and len(result["instances"]) == 1
    shown = running.ask("describe", "fleet")["instances"]
    assert [i["capacity_type"] for i in shown] == ["on-demand"]


def test_the_fleet_shows_what_the_tags_say(cloud):
    running = cloud()
    result = running.launch("tagged", 2)
    shown = running.ask("describe", "fleet")["instances"]
    assert sorted(i["id"] for i in shown) == ids(result)
    for instance in shown:
        assert (instance["decision"], instance["token"], instance["pool"], instance["policy"]) == (
            "tagged", "tagged", "web", "web")
        assert instance["state"] == "running" and instance["address"] and abs(instance["launched"] - time.time()) < 120


def test_what_was_launched_in_a_sequence_says_so(cloud, ec2_world):
    running = cloud()
    order = running.order("fr-0123456789abcdef-7", 2)
    order["tags"] |= {"forerun.dev/service": "api", "forerun.dev/count": "2", "forerun.dev/epoch": "5"}
    running.ask("launch", "launched", order)
    for instance in running.ask("describe", "fleet")["instances"]:
        assert (instance["sequence"], instance["count"], instance["epoch"]) == (7, 2, 5)
        assert (instance["service"], instance["owned"], instance["pause"]) == ("api", 1, 0)


@pytest.mark.parametrize("token, sequence", [
    ("fr-0123456789abcdef-9007199254740991", 9007199254740991), ("fr-0123456789abcdef-", 0), ("fr-0123-7", 0),
    ("fr-0123456789ABCDEF-7", 0), ("fr-0123456789abcdef-7x", 0), ("old-1", 0), ("fr-0123456789abcdef-99999999999999999999", 0)])
def test_only_a_token_of_a_sequence_has_a_number(cloud, token, sequence):
    running = cloud()
    running.launch(token)
    assert [i["sequence"] for i in running.ask("describe", "fleet")["instances"]] == [sequence]


def test_a_host_that_names_its_service_is_shown_and_is_not_ours(cloud, ec2_world):
    client = ec2_world.client()
    running = cloud()
    image = running.found_class["templates"][0]["image"]

    def host(**tags):
        tags = [{"Key": f"forerun.dev/{key}", "Value": value} for key, value in tags.items()]
        made = client.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="m5.large",
                                    TagSpecifications=[{"ResourceType": "instance", "Tags": tags}] if tags else [])
        return made["Instances"][0]["InstanceId"]

    plain, api, other = host(), host(service="api"), host(owner="other", service="web")
    silent = host(owner="other")
    paused, lifted = host(service="api", pause="look"), host(service="api", pause="false")
    shown = {i["id"]: i for i in running.ask("describe", "fleet")["instances"]}
    assert set(shown) == {api, other, paused, lifted} and plain not in shown and silent not in shown
    assert all(i["owned"] == 0 for i in shown.values())
    assert (shown[api]["service"], shown[other]["service"]) == ("api", "web")
    assert (shown[api]["pause"], shown[paused]["pause"], shown[lifted]["pause"]) == (0, 1, 0)
    assert len(ec2_world.log("DescribeInstances")) >= 1


def test_a_fleet_of_several_pages_is_whole(cloud, ec2_world):
    running = cloud()
    ec2_world.control(instances_per_page=5)
    launched = [i for n in range(3) for i in ids(running.launch(f"page-{n}", 4))]
    before = len(ec2_world.log("DescribeInstances"))
    shown = [i["id"] for i in running.ask("describe", "fleet")["instances"]]
    assert sorted(shown) == sorted(launched)
    assert any("NextToken" in e["params"] for e in ec2_world.log("DescribeInstances")[before:])


def test_another_owner_s_instances_are_not_shown(cloud, ec2_world):
    running = cloud()
    running.launch("mine")
    assert cloud("--name", "other").ask("describe", "fleet")["instances"] == []


def test_partial_fulfilment_is_instances_and_failures(cloud, ec2_world):
    ec2_world.control(capacity={**dict.fromkeys(SPOT_POOLS, 0), "spot:m5.large/us-east-1b": 2})
    result = cloud().launch("partial", 5)
    assert result["outcome"] == "done" and len(result["instances"]) == 2
    assert all((i["type"], i["zone"]) == ("m5.large", "us-east-1b") for i in result["instances"])
    assert result["no_capacity"] == 1 and ids(result) == alive(ec2_world)
    assert {(f["type"], f["zone"]) for f in result["failures"]} >= {("c5.large", "us-east-1a"), ("c5.large", "us-east-1b")}


def test_no_capacity_names_every_type_and_zone(cloud, ec2_world):
    ec2_world.control(capacity=dict.fromkeys(SPOT_POOLS, 0))
    result = cloud().launch("none", 2)
    assert result["outcome"] == "done" and result["no_capacity"] == 1 and result["instances"] == []
    assert {f"spot:{f['type']}/{f['zone']}" for f in result["failures"]} == set(SPOT_POOLS)
    assert {f["code"] for f in result["failures"]} <= {"InsufficientInstanceCapacity", "UnfulfillableCapacity"}
    assert alive(ec2_world) == []


def test_a_throttle_is_to_be_asked_again(cloud, ec2_world):
    running = cloud()
    ec2_world.fault("CreateFleet", "error", status=503, code="RequestLimitExceeded", message="Request limit exceeded.")
    first = running.launch("slow", 1)
    assert first["outcome"] == "unknown" and first["throttled"] == 1 and first["code"] == "RequestLimitExceeded"
    assert alive(ec2_world) == []
    assert running.launch("slow", 1)["outcome"] == "done" and len(alive(ec2_world)) == 1


@pytest.mark.parametrize("status, code, outcome", [
    (400, "InvalidParameterValue", "refused"), (403, "UnauthorizedOperation", "refused"),
    (400, "IdempotentParameterMismatch", "refused"), (500, "InternalError", "unknown"),
    (503, "Unavailable", "unknown"), (500, "InsufficientInstanceCapacity", "refused")])
def test_an_error_is_refused_or_unknown(cloud, ec2_world, status, code, outcome):
    running = cloud()
    ec2_world.fault("CreateFleet", "error", status=status, code=code, message="because")
    result = running.launch("error", 1)
    assert (result["outcome"], result["code"], result["text"]) == (outcome, code, "because")
    assert result["no_capacity"] == (code == "InsufficientInstanceCapacity") and result["request_id"]


@pytest.mark.parametrize("how", ["rst", "fin"])
@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
def test_a_cut_launch_asked_for_again_has_one_effect(cloud, ec2_world, fault, how):
    """Whether libcurl or the caller asks again: the token makes it one."""
    running = cloud()
    ec2_world.fault("CreateFleet", fault, times=2, how=how)
    first = running.launch("cut", 2)
    assert first["outcome"] in ("unknown", "done")
    again = first
    for _ in range(3):
        again = running.launch("cut", 2)
        if again["outcome"] == "done":
            break
    assert again["outcome"] == "done" and ids(again) == alive(ec2_world) and len(alive(ec2_world)) == 2


@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
def test_a_cut_on_a_fresh_connection_is_unknown(ec2_world, tmp_path, fault):
    """Nothing was sent before, so there is no reused connection on which libcurl would ask again."""
    ready = Cloud(ec2_world.environment(HOME=str(tmp_path)), documents(tmp_path / "a", ec2_world.world)).ready()
    order = ready.order("fresh", 1)
    ready.close()
    ec2_world.fault("CreateFleet", fault, connection="fresh")
    cold = Cloud(ec2_world.environment(HOME=str(tmp_path)))
    try:
        first = cold.ask("launch", "launched", order)
        assert first["outcome"] == "unknown" and first["code"] == "NoAnswer" and first["sent_ns"] > 0
        assert len(alive(ec2_world)) == (1 if fault == "drop_after" else 0)
        again = cold.ask("launch", "launched", order)
        assert again["outcome"] == "done" and ids(again) == alive(ec2_world) and len(ids(again)) == 1
    finally:
        cold.close()


def test_a_cut_on_a_reused_connection_has_one_effect(cloud, ec2_world):
    running = cloud()
    time.sleep(1)  # the two warm connections are made at the start
    ec2_world.fault("CreateFleet", "drop_after", connection="reused")
    result = running.launch("reused", 2)
    if result["outcome"] != "done":
        result = running.launch("reused", 2)
    assert result["outcome"] == "done" and ids(result) == alive(ec2_world) and len(ids(result)) == 2
    fleets = ec2_world.log("CreateFleet")
    assert len(fleets) >= 2 and len({e["params"]["ClientToken"] for e in fleets}) == 1


def test_the_same_order_makes_the_same_bytes(cloud, ec2_world):
    running = cloud()
    running.launch("same", 1)
    running.launch("same", 1)
    first, second = ec2_world.log("CreateFleet")
    assert first["params"] == second["params"] and list(first["params"]) == list(second["params"])
    assert len(alive(ec2_world)) == 1


@pytest.mark.parametrize("fault", ["garbage", "truncate", "truncate_xml"])
def test_an_answer_that_makes_no_sense_is_unknown(cloud, ec2_world, fault):
    running = cloud()
    ec2_world.fault("CreateFleet", fault)
    first = running.launch("odd", 1)
    assert first["outcome"] == "unknown" and first["instances"] == [] and first["code"] in ("Garbage", "NoAnswer")
    again = running.launch("odd", 1)
    assert again["outcome"] == "done" and ids(again) == alive(ec2_world) and len(ids(again)) == 1


def test_a_late_answer_is_waited_for_and_holds_up_nothing(cloud, ec2_world):
    running = cloud()
    ec2_world.fault("CreateFleet", "delay", s=3)
    running.send("launch", running.order("late", 1))
    began = time.monotonic()
    assert running.launch("prompt", 1)["outcome"] == "done"
    running.ask("describe", "fleet")
    assert time.monotonic() - began < 3, "another launch and a describe queued behind the late one"
    assert running.wait("launched", token="late")["outcome"] == "done"


def test_an_answer_30_s_late_is_still_taken(cloud, ec2_world):
    running = cloud()
    ec2_world.fault("CreateFleet", "delay", s=30)
    result = running.launch("later", 1, timeout=60)
    assert result["outcome"] == "done" and ids(result) == alive(ec2_world)
    assert result["done_ns"] - result["sent_ns"] >= 29e9


def test_a_launch_does_not_wait_for_a_describe(cloud, ec2_world):
    running = cloud()
    ec2_world.fault("DescribeInstances", "delay", s=4, times=4)
    running.send("describe")
    time.sleep(0.3)
    result = running.launch("ahead", 1, timeout=10)
    assert result["outcome"] == "done" and result["done_ns"] - result["started_ns"] < 3.5e9


def test_the_connection_is_warm_when_a_launch_comes(cloud, ec2_world):
    running = cloud()
    time.sleep(2.5)
    running.launch("warm", 1)
    entry = ec2_world.log("CreateFleet")[0]
    assert any(e["connection"] == entry["connection"] and e["action"] != "CreateFleet" for e in ec2_world.log())


def test_a_launch_template_that_was_deleted_is_made_again(cloud, ec2_world):
    running = cloud()
    client = ec2_world.client()
    names = [t["name"] for t in running.found_class["templates"]]
    for name in names:
        client.delete_launch_template(LaunchTemplateName=name)
    assert running.launch("lost", 1)["outcome"] == "refused"
    running.wait("class")
    found = client.describe_launch_templates()["LaunchTemplates"]
    assert sorted(t["LaunchTemplateName"] for t in found) == sorted(names)
    assert running.launch("found", 1)["outcome"] == "done"


def test_templates_that_exist_are_taken_as_they_are(cloud, ec2_world):
    first = cloud().found_class["templates"]
    again = cloud().found_class["templates"]
    assert first == again
    assert len(ec2_world.client().describe_launch_templates()["LaunchTemplates"]) == len(first) == 4


def test_a_standby_names_the_templates_and_makes_them_when_it_leads(ec2_world, tmp_path):
    ec2_world.client("dynamodb").create_table(
        TableName="lock", AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST")
    ec2_world.fault("UpdateItem", "error", status=400, code="ProvisionedThroughputExceededException", message="", times=1000)
    running = Cloud(ec2_world.environment(HOME=str(tmp_path)), documents(tmp_path / "c", ec2_world.world))
    try:
        running.send("lease", {"table": "lock", "name": "web", "holder": "a", "ttl_ms": 1000})
        running.ready()
        named = {t["name"] for t in running.found_class["templates"]}
        assert named and ec2_world.client().describe_launch_templates()["LaunchTemplates"] == []
        ec2_world.control(faults=[])
        running.wait("acquired")
        running.wait("class")
        made = {t["LaunchTemplateName"] for t in ec2_world.client().describe_launch_templates()["LaunchTemplates"]}
        assert made == named
    finally:
        running.close()


# ---- what is known before a launch ----


def test_a_launch_counts_the_addresses_of_its_subnets_anew(cloud, ec2_world):
    running = cloud()
    before = {s["id"]: s["free"] for s in running.found_class["subnets"]}
    result = running.launch("addresses", 3)
    zones = [i["zone"] for i in result["instances"]]
    after = {s["id"]: s["free"] for s in running.wait("class", timeout=4)["subnets"]}
    assert sum(before.values()) - sum(after.values()) == 3 and len(zones) == 3
    counted = len(ec2_world.log("DescribeSubnets"))
    for number in range(4):
        running.launch(f"more-{number}", 1)
    assert len(ec2_world.log("DescribeSubnets")) <= counted + 1, "at most every 5 s"
    assert {s["id"] for s in running.wait("class", timeout=8)["subnets"]} == set(after)


def test_quotas_come_with_the_catalog(cloud):
    running = cloud()
    catalog = running.found_catalog
    while len(catalog["quotas"]) < 2:
        catalog = running.wait("catalog")
    quotas = {q["capacity_type"]: q for q in catalog["quotas"]}
    assert quotas["on-demand"]["vcpus"] == 640 and quotas["spot"]["vcpus"] == 256
    assert "Standard" in quotas["spot"]["name"] and {"m", "c", "t"} <= set(quotas["spot"]["categories"].split(","))


@pytest.mark.parametrize("code", ["AccessDeniedException", "NoSuchResourceException"])
def test_without_the_permission_quotas_are_not_known(ec2_world, tmp_path, code):
    ec2_world.fault("GetServiceQuota", "error", status=400, code=code, message="no", times=100)
    running = Cloud(ec2_world.environment(HOME=str(tmp_path)), documents(tmp_path / "c", ec2_world.world))
    try:
        assert running.ready().found_catalog["quotas"] == []
        deadline = time.monotonic() + 5
        while not any("vCPU quota" in line for line in running.errors):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert running.launch("all the same", 1)["outcome"] == "done"
    finally:
        running.close()


# ---- observe mode ----


def test_a_dry_run_says_whether_it_would_be_allowed(cloud, ec2_world):
    running = cloud()
    order = running.order("dry", 2, dry_run=True)
    result = running.ask("launch", "launched", order)
    assert (result["outcome"], result["code"]) == ("refused", "DryRunOperation") and result["request_id"]
    ec2_world.fault("CreateFleet", "error", status=403, code="UnauthorizedOperation", message="You are not authorized")
    result = running.ask("launch", "launched", order)
    assert (result["outcome"], result["code"]) == ("refused", "UnauthorizedOperation")
    assert alive(ec2_world) == [] and {e["params"]["DryRun"] for e in ec2_world.log("CreateFleet")} == {"true"}


def test_a_dry_run_without_a_template_says_what_could_not_be_looked_at(cloud, ec2_world):
    running = cloud("--read-only")
    assert ec2_world.client().describe_launch_templates()["LaunchTemplates"] == []
    ec2_world.fault("CreateFleet", "error", status=400, code="InvalidLaunchTemplateName.NotFoundException", message="gone")
    result = running.ask("launch", "launched", running.order("dry", 1, dry_run=True))
    assert result["outcome"] == "refused" and "observe mode makes no launch template" in result["text"]
    time.sleep(0.5)
    assert ec2_world.log("CreateLaunchTemplate") == []


def test_terminating_says_what_came_of_it(cloud, ec2_world):
    running = cloud()
    result = running.launch("end", 2)
    ended = running.ask("terminate", "terminated", {"decision": "d", "instances": ids(result)})
    assert ended["error"] == "" and ended["request_id"]
    assert alive(ec2_world) == []
    assert {i["state"] for i in running.ask("describe", "fleet")["instances"]} <= {"terminated", "shutting-down"}


def test_an_unknown_id_does_not_keep_the_others(cloud, ec2_world):
    """EC2 terminates none of a call in which one id is unknown."""
    running = cloud()
    one, other = ids(running.launch("both", 2))
    ended = running.ask("terminate", "terminated",
                        {"decision": "d", "instances": [one, "i-00000000000000000", other]})
    assert ended["error"] == "again" and ended["code"] == "InvalidInstanceID.NotFound"
    assert alive(ec2_world) == []


def test_a_throttled_termination_is_to_be_asked_again(cloud, ec2_world):
    running = cloud()
    result = running.launch("keep", 1)
    ec2_world.fault("TerminateInstances", "error", status=503, code="RequestLimitExceeded", message="slow")
    ended = running.ask("terminate", "terminated", {"decision": "d", "instances": ids(result)})
    assert ended["error"] == "again" and alive(ec2_world) == ids(result)
    ec2_world.fault("TerminateInstances", "error", status=403, code="UnauthorizedOperation", message="no")
    ended = running.ask("terminate", "terminated", {"decision": "d", "instances": ids(result)})
    assert (ended["error"], ended["code"]) == ("refused", "UnauthorizedOperation")


def test_pages_without_instances_are_not_the_end(cloud, ec2_world):
    running = cloud()
    ec2_world.control(stubs={"DescribeInstances": "<reservationSet/><nextToken>more</nextToken>"})
    running.send("describe")
    deadline = time.monotonic() + 10
    while not any(e["params"].get("NextToken") == "more" for e in ec2_world.log("DescribeInstances")):
        assert time.monotonic() < deadline, "the page behind an empty one was not asked for"
        time.sleep(0.05)
    ec2_world.control(stubs={"DescribeInstances": "<reservationSet/>"})
    assert running.wait("fleet")["instances"] == []


def test_background_calls_are_tried_until_they_work(ec2_world, tmp_path):
    for action in ("DescribeSubnets", "DescribeInstanceTypes", "GetParameter", "CreateLaunchTemplate"):
        ec2_world.fault(action, "error", status=503, code="RequestLimitExceeded", message="slow")
    ec2_world.fault("DescribeSecurityGroups", "drop_before")
    ec2_world.fault("DescribeInstanceTypeOfferings", "truncate_xml")
    running = Cloud(ec2_world.environment(HOME=str(tmp_path)), documents(tmp_path / "c", ec2_world.world))
    try:
        running.ready()
        assert running.found_class["ready"] and running.found_catalog["offerings"]
    finally:
        running.close()


def test_what_was_found_serves_on_while_aws_is_away(cloud, ec2_world):
    running = cloud("--refresh-every", "500ms")
    ec2_world.fault("DescribeSubnets", "error", status=403, code="UnauthorizedOperation", message="gone", times=100)
    view = None
    deadline = time.monotonic() + 10
    while not view or not view["problem"]:
        assert time.monotonic() < deadline
        view = running.wait("class")
    assert view["ready"] == 1 and "UnauthorizedOperation: gone" in view["problem"] and view["subnets"]

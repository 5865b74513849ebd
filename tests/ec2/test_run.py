# SPDX-License-Identifier: Apache-2.0
"""`forerun run` whole: a real accept queue in the kernel, real calls to EC2 as it can behave.

The policy of these tests wants 4 replicas as soon as one connection waits (target 0.25 for each, at most 4), and this host
is one of them: so any queue makes one decision, for 3 instances, however deep it was when the edge was seen.
"""

import json
import re
import signal
import subprocess
import time

import pytest
from running import Forerun, bpf_held, bpf_objects, run_binary, write_config

LAUNCHED = 3


def settled(forerun, ec2, count=LAUNCHED, seconds=60):
    """Waits until EC2 has so many and forerun knows all of them, then makes sure that it stays so."""
    forerun.wait(lambda: len(ec2.ledger(alive=True)) >= count, f"{count} instances in EC2", seconds)
    forerun.wait(lambda: forerun.policy()["replicas"] == count + 1 and all(d["closed"] or d["launched"] >= 1 for d in forerun.decisions("scale-up")),
                 f"{count + 1} replicas known", seconds)
    time.sleep(0.5)
    assert len(ec2.ledger(alive=True)) == count, "no more than was decided"
    return ec2.ledger(alive=True)


def effects(ec2):
    """CreateFleet calls that were answered with 200, by token."""
    found = {}
    for entry in ec2.ledger():
        found.setdefault(entry["token"], []).append(entry["id"])
    return found


def numbered(ledger):
    """The numbers of the launches in their lane."""
    tokens = {re.fullmatch(r"fr-[0-9a-f]{16}-([1-9][0-9]*)", e["token"]) for e in ledger}
    return {int(t[1]) for t in tokens}


def test_a_queue_launches_instances_with_tags_under_the_first_number(start, queue, ec2_world):
    forerun = start()
    queue.depth = 30
    decision = forerun.decision(closed=False)
    ledger = settled(forerun, ec2_world)
    assert decision["replicas"] == {"before": 1, "wanted": 4, "decided": 4}
    assert numbered(ledger) == {1}
    for entry in ledger:
        hashes = {entry["tags"].pop(f"forerun.dev/{kind}-hash") for kind in ("class", "pool")}
        assert all(re.fullmatch("[0-9a-f]{16}", text) for text in hashes)
        assert entry["tags"] == {
            "Name": "forerun/web", "service": "web", "forerun.dev/owner": "default", "forerun.dev/nodepool": "web",
            "forerun.dev/policy": "web", "forerun.dev/decision": decision["id"], "forerun.dev/token": entry["token"],
            "forerun.dev/service": "web", "forerun.dev/count": str(LAUNCHED), "forerun.dev/epoch": "0"}
    calls = ec2_world.log("CreateFleet")
    assert [c["status"] for c in calls] == [200]
    form = calls[0]["params"]
    assert form["Type"] == "instant" and form["SpotOptions.AllocationStrategy"] == "price-capacity-optimized"
    pools = {(form[f"LaunchTemplateConfigs.1.Overrides.{i}.InstanceType"], form[f"LaunchTemplateConfigs.1.Overrides.{i}.AvailabilityZone"])
             for i in range(1, 5)}
    assert pools == {(t, z) for t in ("m5.large", "c5.large") for z in ("us-east-1a", "us-east-1b")}


def test_the_decision_was_made_on_the_edge(start, queue):
    forerun = start()
    time.sleep(0.5)
    queue.depth = 30
    decision = forerun.decision(closed=False)
    assert decision["edge_to_decision_ms"] >= 0, "an edge led to it, not a tick"
    forerun.wait(lambda: (forerun.policies()["totals"]["edge_to_sent_seconds"] or 0) > 0, "the time from edge to wire")


def test_a_standing_queue_launches_once(start, queue, ec2_world):
    ec2_world.control(pending_s=4)
    forerun = start()
    queue.depth = 30
    settled(forerun, ec2_world)
    time.sleep(6)
    assert len(ec2_world.ledger()) == LAUNCHED
    assert len(effects(ec2_world)) == 1
    assert forerun.policy()["wanted"] <= 4


def test_a_pool_without_capacity_is_left_for_another_in_the_same_decision(start, queue, ec2_world):
    ec2_world.control(capacity={"*/us-east-1a": 0, "c5.large/us-east-1b": 1, "m5.large/us-east-1b": 2})
    forerun = start()
    queue.depth = 30
    ledger = settled(forerun, ec2_world)
    assert {(e["type"], e["zone"]) for e in ledger} == {("c5.large", "us-east-1b"), ("m5.large", "us-east-1b")}
    decisions = forerun.decisions("scale-up")
    assert len(decisions) == 1 and decisions[0]["launched"] == LAUNCHED


def test_without_any_spot_capacity_on_demand_is_launched(start, queue, ec2_world):
    ec2_world.control(capacity={"spot:*": 0})
    forerun = start(capacity="spot, on-demand")
    queue.depth = 30
    ledger = settled(forerun, ec2_world)
    assert {e["capacity_type"] for e in ledger} == {"on-demand"}
    decision = forerun.decision(closed=False)
    assert numbered(ledger) == {2} and {e["tags"]["forerun.dev/decision"] for e in ledger} == {decision["id"]}, \
        "the second attempt of the same decision"
    assert any("InsufficientInstanceCapacity" in step["text"] for step in decision["steps"])


def test_partial_fulfilment_is_completed_from_another_pool(start, queue, ec2_world):
    ec2_world.control(capacity={"spot:c5.large/*": 0, "spot:m5.large/us-east-1a": 1, "spot:m5.large/us-east-1b": 1})
    forerun = start(capacity="spot, on-demand")
    queue.depth = 30
    ledger = settled(forerun, ec2_world)
    assert sorted(e["capacity_type"] for e in ledger) == ["on-demand", "spot", "spot"]
    assert len(forerun.decisions("scale-up")) == 1


def test_no_capacity_anywhere_is_said_and_not_hammered(start, queue, ec2_world):
    ec2_world.control(capacity={"*": 0})
    forerun = start(capacity="spot, on-demand")
    queue.depth = 30
    decision = forerun.decision()
    assert decision["launched"] == 0 and decision["failed"] == LAUNCHED
    time.sleep(2)
    assert ec2_world.ledger() == []
    assert len(ec2_world.log("CreateFleet")) <= 4
    ec2_world.control(capacity={})


def test_a_throttled_launch_is_asked_again_with_the_same_token(start, queue, ec2_world):
    ec2_world.fault("CreateFleet", "error", times=2, status=503, code="RequestLimitExceeded", message="Request limit exceeded.")
    forerun = start()
    queue.depth = 30
    ledger = settled(forerun, ec2_world)
    calls = ec2_world.log("CreateFleet")
    assert [c["status"] for c in calls] == [503, 503, 200]
    assert len({c["params"]["ClientToken"] for c in calls}) == 1 and len(ledger) == LAUNCHED


@pytest.mark.parametrize("connection", ["fresh", "reused"])
@pytest.mark.parametrize("how", ["rst", "fin"])
@pytest.mark.parametrize("do", ["drop_before", "drop_after"])
def test_a_cut_connection_launches_exactly_once(start, queue, ec2_world, do, how, connection):
    ec2_world.fault("CreateFleet", do, how=how, connection=connection)
    if connection == "fresh":
        ec2_world.control(idle_s=0.2)
    forerun = start()
    time.sleep(0.6)
    queue.depth = 30
    settled(forerun, ec2_world)
    calls = ec2_world.log("CreateFleet")
    assert calls[0]["fault"] == do, "the fault met its connection"
    assert len(calls) >= 2 and len(effects(ec2_world)) == 1
    assert len({c["params"]["ClientToken"] for c in calls}) == 1


@pytest.mark.parametrize("do", ["garbage", "truncate", "truncate_xml"])
def test_a_reply_that_cannot_be_read_launches_exactly_once(start, queue, ec2_world, do):
    ec2_world.fault("CreateFleet", do)
    forerun = start()
    queue.depth = 30
    settled(forerun, ec2_world)
    calls = ec2_world.log("CreateFleet")
    assert len(calls) >= 2 and len(effects(ec2_world)) == 1
    assert len({c["params"]["ClientToken"] for c in calls}) == 1


def test_a_server_error_is_asked_again(start, queue, ec2_world):
    ec2_world.fault("CreateFleet", "error", status=500, code="InternalError")
    forerun = start()
    queue.depth = 30
    settled(forerun, ec2_world)
    assert [c["status"] for c in ec2_world.log("CreateFleet")] == [500, 200]


def test_a_reply_30_seconds_late_launches_exactly_once(start, queue, ec2_world):
    ec2_world.fault("CreateFleet", "delay", s=30)
    forerun = start()
    queue.depth = 30
    forerun.decision(closed=False)
    time.sleep(5)
    assert len(ec2_world.ledger()) == LAUNCHED, "it had its effect at once"
    assert forerun.get("/healthz")[0] == 200, "nothing waits for it"
    settled(forerun, ec2_world, seconds=60)
    assert len(effects(ec2_world)) == 1


def test_instances_that_are_not_visible_yet_count(start, queue, ec2_world):
    ec2_world.control(hidden_s=4)
    forerun = start()
    queue.depth = 30
    settled(forerun, ec2_world)
    time.sleep(5)
    assert len(ec2_world.ledger()) == LAUNCHED


def test_wrong_credentials_are_said_with_their_source(start, ec2_world, tmp_path):
    forerun = start(environment=ec2_world.environment(AWS_SECRET_ACCESS_KEY="wrong", HOME=str(tmp_path)), ready=False, wrong_signatures=True)
    forerun.wait(lambda: forerun.port, "the start line")
    forerun.wait(lambda: "AuthFailure" in forerun.get("/readyz")[1] + forerun.stderr(), "the failure is said")
    status, text = forerun.get("/readyz")
    assert status == 503 and "environment" in text + forerun.stderr()
    assert ec2_world.ledger() == []


def test_expired_credentials_are_refreshed_in_flight(start, queue, ec2_world, imds, tmp_path):
    def key(name, expires):
        ec2_world.control(credentials={name: {"secret": f"secret-{name}", "token": f"token-{name}", "expires": expires}})
        imds.settings.update(access_key=name, secret_key=f"secret-{name}", session_token=f"token-{name}")

    key("ASIAFIRST", time.time() + 3600)
    environment = {k: v for k, v in ec2_world.environment(HOME=str(tmp_path)).items() if not k.startswith("AWS_")}
    environment |= {"AWS_ENDPOINT_URL": ec2_world.url, "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url}
    forerun = start(environment=environment, wrong_signatures=True)
    assert json.loads(forerun.get("/v1/policies")[1])["cloud"]["credentials"] == "IMDSv2"
    # EC2 takes the first ones no more, although they said to be good for hours.
    ec2_world.control(credentials={"ASIAFIRST": {"secret": "secret-ASIAFIRST", "token": "token-ASIAFIRST", "expires": time.time() - 1}})
    key("ASIASECOND", time.time() + 3600)
    queue.depth = 30
    settled(forerun, ec2_world)
    calls = ec2_world.log("CreateFleet")
    assert calls[-1]["access_key"] == "ASIASECOND" and calls[-1]["status"] == 200
    assert len({c["params"]["ClientToken"] for c in calls}) == 1


def foreign(ec2, tags):
    image = ec2.client("ssm").get_parameter(Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64")
    reply = ec2.client().run_instances(
        ImageId=image["Parameter"]["Value"], InstanceType="m5.large", MinCount=1, MaxCount=1,
        SubnetId=ec2.world["subnets"]["us-east-1a"],
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}])
    return reply["Instances"][0]["InstanceId"]


def test_scale_down_terminates_only_what_forerun_launched(start, queue, ec2_world):
    others = {
        foreign(ec2_world, {"Name": "forerun/web", "service": "web"}),
        foreign(ec2_world, {"forerun.dev/owner": "other", "forerun.dev/nodepool": "web", "forerun.dev/policy": "web",
                            "forerun.dev/decision": "x", "forerun.dev/token": "x"}),
    }
    forerun = start(down_s=1)
    queue.depth = 30
    forerun.wait(lambda: len(ec2_world.ledger(alive=True)) == LAUNCHED + len(others), "launched")
    own = {e["id"] for e in ec2_world.ledger()} - others
    forerun.wait(lambda: forerun.policy()["replicas"] == LAUNCHED + 1, "own replicas only")
    queue.depth = 0
    forerun.wait(lambda: {e["id"] for e in ec2_world.ledger(alive=True)} == others, "all of its own terminated", 60)
    ended = {i for c in ec2_world.log("TerminateInstances") for k, i in c["params"].items() if k.startswith("InstanceId")}
    assert ended == own
    assert forerun.decision("scale-down", closed=False)["replicas"]["before"] > 1


def test_launches_per_minute_are_limited(start, queue, ec2_world):
    forerun = start("--max-launches-per-minute", "2")
    queue.depth = 30
    forerun.wait(lambda: len(ec2_world.ledger()) >= 2, "what the limit allows")
    time.sleep(3)
    assert len(ec2_world.ledger()) == 2
    assert any("launches per minute" in line and "bound" in line for line in forerun.decision(closed=False)["limits"])
    assert "--max-launches-per-minute" in forerun.policy()["held"]


def test_the_pools_cpu_is_limited(start, queue, ec2_world):
    forerun = start(limits="limits: {cpu: 4}")
    queue.depth = 30
    forerun.wait(lambda: len(ec2_world.ledger()) >= 2, "what the limit allows")
    time.sleep(3)
    assert len(ec2_world.ledger()) == 2, "two of 2 vCPUs"
    assert any("cpu: " in line for line in forerun.decision(closed=False)["limits"])


def test_dollars_per_hour_are_limited(start, queue, ec2_world):
    # c5.large costs 0.085, m5.large 0.096.
    forerun = start("--max-usd-per-hour", "0.20", capacity="on-demand")
    queue.depth = 30
    forerun.wait(lambda: len(ec2_world.ledger()) >= 2, "what the limit allows", 60)
    time.sleep(3)
    assert len(ec2_world.ledger()) == 2


def test_the_policys_maximum_holds(start, queue, ec2_world):
    forerun = start(most=2)
    queue.depth = 200
    settled(forerun, ec2_world, 1)


def test_observe_decides_and_launches_nothing(start, queue, ec2_world):
    forerun = start(mode="observe")
    queue.depth = 30
    decision = forerun.decision()
    assert decision["mode"] == "observe" and decision["replicas"]["wanted"] == 4
    time.sleep(1)
    assert ec2_world.ledger() == [] and ec2_world.log("TerminateInstances") == []
    assert all(call["params"]["DryRun"] == "true" for call in ec2_world.log("CreateFleet"))
    assert "observe mode: nothing was called" in forerun.explain(decision["id"]).stdout


def test_explain_says_signals_arithmetic_limits_calls_and_times(start, queue, ec2_world):
    forerun = start()
    time.sleep(0.5)
    queue.depth = 30
    decision = forerun.decision(closed=False)
    settled(forerun, ec2_world)
    forerun.wait(lambda: sum("running" in s["text"] for s in forerun.decision(closed=False)["steps"]) == LAUNCHED, "running in the steps")
    done = forerun.explain(decision["id"])
    text = done.stdout
    assert done.returncode == 0 and f"Decision {decision['id']}: scale-up" in text
    assert "forerun_accept_queue_depth" in text and f"127.0.0.1:{queue.port}" in text
    assert "0.25" in text and "launches per minute" in text
    assert re.search(r"request [0-9a-f]{8}-[0-9a-f-]+", text), "EC2's request id"
    for entry in ec2_world.ledger():
        assert entry["id"] in text
    assert re.search(r"0\.000  the queue crossed its threshold", text) and "CreateFleet" in text and "running" in text
    assert forerun.explain("--last").stdout == text
    assert json.loads(forerun.explain(decision["id"], "--json").stdout)["id"] == decision["id"]
    unknown = forerun.explain("fr-nothing-0-0")
    assert unknown.returncode != 0 and "fr-nothing-0-0" in unknown.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_leaves_nothing_in_the_kernel(start, queue, number):
    forerun = start()
    held = bpf_held(forerun.process.pid)
    assert any(kind == "prog" for kind, _ in held) and any(kind == "link" for kind, _ in held)
    assert forerun.stop(number) == 0
    until = time.monotonic() + 5
    while held & bpf_objects() and time.monotonic() < until:
        time.sleep(0.1)  # the kernel frees programs after a grace period
    assert not held & bpf_objects()


def test_http_answers_are_what_they_should_be(start, queue):
    forerun = start()
    queue.depth = 30
    forerun.decision(closed=False)
    assert forerun.get("/healthz") == (200, "ok\n") and forerun.get("/readyz") == (200, "ready\n")
    depth = re.compile(rf'^forerun_accept_queue_depth{{[^}}]*port="{queue.port}"[^}}]*}} [1-9]', re.M)  # a mean of 300 ms
    metrics = forerun.wait(lambda: (page := forerun.get("/metrics")[1]) and depth.search(page) and page, "a depth in /metrics")
    checked = subprocess.run(["promtool", "check", "metrics"], input=metrics, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (checked.returncode, checked.stdout) == (0, ""), "not a word"
    _, open_metrics = forerun.get("/metrics", {"Accept": "application/openmetrics-text; version=1.0.0"})
    assert open_metrics.endswith("# EOF\n")
    listeners = json.loads(forerun.get("/v1/signals")[1])["listeners"]
    assert any(str(queue.port) in json.dumps(item) for item in listeners)
    assert json.loads(forerun.get("/v1/decisions")[1])["decisions"]
    assert forerun.get("/nothing")[0] == 404


def test_json_lines_tell_the_start_each_decision_and_every_second(start, queue):
    forerun = start()
    queue.depth = 30
    forerun.decision(closed=False)
    forerun.wait(lambda: any(line["type"] == "decision" for line in forerun.lines), "a decision line")
    forerun.wait(lambda: sum(line["type"] == "status" for line in forerun.lines) >= 2, "status lines")
    assert forerun.lines[0]["type"] == "start" and forerun.lines[0]["mode"] == "act"
    status = [line for line in forerun.lines if line["type"] == "status"][-1]
    assert {"listeners", "policies", "totals", "cloud", "probe"} <= set(status)


def test_check_finds_nothing_wrong_here(ec2_world, queue, tmp_path):
    config = write_config(tmp_path / "config", ec2_world.world, queue.port)
    done = run_binary("run", "--check", "--config", config, "--state-dir", tmp_path / "state",
                      environment=ec2_world.environment(HOME=str(tmp_path)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert ec2_world.ledger() == []
    dry = ec2_world.log("CreateFleet")
    assert all(c["params"].get("DryRun") == "true" for c in dry)


def test_check_names_the_subnet_tag_that_finds_nothing(ec2_world, queue, tmp_path):
    config = write_config(tmp_path / "config", {**ec2_world.world, "tag": {"Key": "no", "Value": "such"}}, queue.port)
    done = run_binary("run", "--check", "--config", config, "--state-dir", tmp_path / "state",
                      environment=ec2_world.environment(HOME=str(tmp_path)))
    assert done.returncode == 1
    assert re.search(r"class\.yaml:\d+:\d+: .*subnet", done.stdout + done.stderr)


def test_a_second_forerun_on_the_same_state_is_refused(start, ec2_world, tmp_path):
    forerun = start()
    second = Forerun(tmp_path / "config", forerun.state, forerun.environment)
    assert second.process.wait(20) != 0
    assert "another forerun uses the state directory" in second.stderr()
    second.kill()


def test_a_restart_finds_what_was_launched_and_launches_no_more(start, queue, ec2_world):
    forerun = start()
    queue.depth = 30
    settled(forerun, ec2_world)
    forerun.stop()
    again = start()
    settled(again, ec2_world)
    time.sleep(2)
    assert len(ec2_world.ledger()) == LAUNCHED

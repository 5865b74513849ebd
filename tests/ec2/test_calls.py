# SPDX-License-Identifier: Apache-2.0
"""How calls go out: on a connection that lives, at EC2's own rate, with credentials that are there, by a clock that is right."""

import time

import pytest
from cloud_driver import Cloud, bare_environment, documents


@pytest.fixture
def cloud(ec2_world, tmp_path):
    """cloud(): ready, with the launches' connections warm."""
    started = []

    def starter(environment=None):
        running = Cloud(environment or ec2_world.environment(HOME=str(tmp_path)),
                        documents(tmp_path / "config", ec2_world.world, capacity="spot, on-demand"))
        started.append(running)
        running.ready()
        time.sleep(0.5)
        return running

    yield starter
    for running in started:
        running.close()


def status(running):
    return running.ask("status", "status")


def alive(ec2):
    return sorted(e["id"] for e in ec2.ledger(alive=True))


def ids(result):
    return sorted(i["id"] for i in result["instances"])


# ---- connections ----


def test_a_launch_leaves_a_dead_connection_at_once(cloud, ec2_world):
    """The path is gone and nobody says so: nothing is acknowledged. TCP itself would try for minutes."""
    running = cloud()
    assert ec2_world.deafen() >= 2
    began = time.time()
    result = running.launch("dead", 2, timeout=8)
    calls = ec2_world.log("CreateFleet")
    assert result["outcome"] == "done" and ids(result) == alive(ec2_world) and len(ids(result)) == 2
    assert len(calls) == 1, "what went to the dead one never arrived"
    assert calls[0]["t_kernel"] - began < 2 and result["done_ns"] - result["started_ns"] < 4e9
    assert status(running)["hedged"] == 1
    assert any("connection to EC2 is dead" in line for line in running.errors)


def test_the_next_launch_finds_a_connection_that_lives(cloud, ec2_world):
    running = cloud()
    ec2_world.deafen()
    running.launch("first", 1, timeout=8)
    time.sleep(0.5)
    hedged = status(running)["hedged"]
    assert running.launch("second", 1, timeout=8)["outcome"] == "done"
    assert status(running)["hedged"] == hedged and len(alive(ec2_world)) == 2


def test_a_termination_leaves_a_dead_connection_too(cloud, ec2_world):
    running = cloud()
    launched = running.launch("end", 1)
    time.sleep(0.3)
    ec2_world.deafen()
    ended = running.ask("terminate", "terminated", {"decision": "d", "instances": ids(launched)}, timeout=8)
    assert ended["error"] == "" and alive(ec2_world) == []


def test_who_is_only_slow_is_asked_once(cloud, ec2_world):
    running = cloud()
    ec2_world.fault("CreateFleet", "delay", s=2)
    assert running.launch("slow", 1)["outcome"] == "done"
    assert len(ec2_world.log("CreateFleet")) == 1 and status(running)["hedged"] == 0


def test_a_launch_has_connections_that_no_describe_takes(cloud, ec2_world):
    running = cloud()
    running.ask("describe", "fleet")
    running.launch("own", 1)
    described = {e["connection"] for e in ec2_world.log("DescribeInstances") if e["params"].get("DryRun") != "true"}
    entry = ec2_world.log("CreateFleet")[0]
    assert entry["connection"] not in described and entry["request"] > 1


# ---- rates ----


def test_launches_keep_to_ec2_s_rate_and_describes_do_not_wait_for_them(cloud, ec2_world):
    """EC2's own bucket, 50 and 5 a second, never refuses one: who finds it empty waits here."""
    running = cloud()
    ec2_world.control(synthetic_fleet=True, model_check=False, buckets={"CreateFleet": [50, 5]})
    for number in range(48):
        running.send("launch", running.order(f"rate-{number}"))
    began = time.monotonic()
    running.ask("describe", "fleet", timeout=5)
    assert time.monotonic() - began < 4
    outcomes = [e["outcome"] for e in running.seen if e["event"] == "launched"]
    while len(outcomes) < 48:
        outcomes.append(running.wait("launched")["outcome"])
    assert set(outcomes) == {"done"} and not any(e["fault"] for e in ec2_world.log("CreateFleet"))
    rates = running.ask("rates", "rates")
    assert rates["CreateFleet"]["waits"] >= 1 and rates["CreateFleet"]["waited_ns"] > 0
    assert rates["DescribeInstances"]["waits"] == 0 and rates["DescribeInstances"]["size"] == 80
    assert any("CreateFleet waits" in line for line in running.errors)


def test_a_throttle_closes_the_bucket_for_as_long_as_ec2_says(cloud, ec2_world):
    running = cloud()
    ec2_world.fault("CreateFleet", "error", status=503, code="RequestLimitExceeded", message="slow", retry_after_ms=1500)
    assert running.launch("slow", 1)["throttled"] == 1
    began = time.monotonic()
    running.ask("describe", "fleet")
    assert time.monotonic() - began < 1.2, "a describe has a bucket of its own"
    assert running.launch("slow", 1)["outcome"] == "done"
    first, second = [e["t_kernel"] for e in ec2_world.log("CreateFleet")]
    assert second - first >= 1.49


def test_terminations_count_their_instances(cloud, ec2_world):
    running = cloud()
    ec2_world.control(synthetic_fleet=True)
    launched = running.launch("many", 200)
    began = time.monotonic()
    running.ask("terminate", "terminated", {"decision": "d", "instances": ids(launched)})
    rates = running.ask("rates", "rates")
    assert 780 <= rates["TerminateInstances/instances"]["tokens"] <= 781 + 20 * (time.monotonic() - began)
    assert rates["TerminateInstances/instances"]["size"] == 980 and rates["TerminateInstances"]["size"] == 95


# ---- credentials and clock ----


def test_renewing_the_credentials_delays_no_launch(cloud, ec2_world, imds, tmp_path):
    """The next ones are asked for while the old ones still hold, from a service that takes its time."""
    settings = imds.settings
    ec2_world.control(credentials={settings["access_key"]: {"secret": settings["secret_key"],
                                                            "token": settings["session_token"]}})
    settings["expires_in_s"] = 6
    running = cloud(bare_environment(tmp_path, AWS_REGION="us-east-1", AWS_ENDPOINT_URL=ec2_world.url,
                                     AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{imds.url}/v1/credentials"))
    settings["delay_s"] = 1.5
    asked = len(imds.log)
    deadline = time.monotonic() + 10
    while len(imds.log) == asked:
        assert time.monotonic() < deadline, "nobody renewed"
        time.sleep(0.02)
    began = time.time()
    result = running.launch("meanwhile", 1)
    assert result["outcome"] == "done" and ec2_world.log("CreateFleet")[0]["t_kernel"] - began < 1
    assert all(e["signature"] is None for e in ec2_world.log("CreateFleet"))


@pytest.mark.parametrize("skew_s, words", [(600, "600 s behind that of AWS"), (-600, "600 s ahead of that of AWS")])
def test_a_wrong_clock_is_named(cloud, ec2_world, skew_s, words):
    running = cloud()
    ec2_world.control(skew_s=skew_s)
    result = running.launch("skew", 1)
    assert result["outcome"] == "refused" and result["code"] == "RequestExpired"
    assert words.replace("600", "599") in result["text"] or words in result["text"] or words.replace("600", "601") in result["text"]
    assert abs(status(running)["clock_offset_s"] - skew_s) < 3
    assert any("the clock of this host is" in line and "timedatectl" in line for line in running.errors)
    assert len(ec2_world.log("CreateFleet")) == 1, "no new credentials were fetched for it"
    ec2_world.control(skew_s=0)
    assert running.launch("skew", 1)["outcome"] == "done"

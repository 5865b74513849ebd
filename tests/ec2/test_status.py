# SPDX-License-Identifier: Apache-2.0
"""`forerun status`, /v1/status and the fleet's families of /metrics, on a forerun that launches three instances."""

import http.server
import json
import re
import shutil
import subprocess
import threading

import pytest
from running import run_binary

LAUNCHED = 3


def status(forerun, *arguments):
    return run_binary("status", "--url", f"http://127.0.0.1:{forerun.port}", *arguments)


def page(forerun):
    done = status(forerun)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 100, "readable at 100 columns"
    return done.stdout


def series(text):
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name] = float(value)
    return found


@pytest.fixture
def launching(start, queue, ec2_world):
    """Three instances are called for; they run after two seconds and count as serving one later."""
    ec2_world.control(pending_s=2)
    forerun = start("--max-usd-per-hour", "5")
    queue.depth = 30
    forerun.decision(closed=False)
    return forerun


def test_what_is_on_its_way_says_why_and_how_long(launching):
    forerun = launching
    told = forerun.wait(lambda: (found := json.loads(status(forerun, "--json").stdout))["nodes"] and found, "instances in /v1/status")
    coming = told["coming"][0]
    decision = forerun.decisions("scale-up")[0]
    assert coming["decision"] == decision["id"] and coming["policy"] == "web" and coming["count"] == LAUNCHED
    assert coming["stage"] in ("pending", "running")
    assert len(told["nodes"]) == LAUNCHED
    assert {n["decision"] for n in told["nodes"]} == {decision["id"]} and {n["agent"] for n in told["nodes"]} == {"none"}
    shown = page(forerun)
    assert f"{decision['id']}  web +{LAUNCHED}, decided " in shown
    assert "ON ITS WAY (why: forerun explain ID)" in shown
    for node in told["nodes"]:
        assert re.search(rf"{node['instance']} +(pending|running|serving) .* {node['type']} +{node['zone']} ", shown)


def test_what_came_of_it_is_in_status_and_metrics(launching):
    forerun = launching
    decision = forerun.decision(seconds=60)
    told = json.loads(status(forerun, "--json").stdout)
    latency = told["scaling_latency"]
    assert told["coming"] == [] and latency["count"] == LAUNCHED
    assert 3 <= latency["p50_seconds"] <= latency["p95_seconds"] < 15
    assert latency["share_over_15_s"] == 0
    stages = latency["stage_mean_seconds"]
    assert stages["called"] < 1 and stages["running"] >= 1.5 and 0.9 <= stages["serving"] < 3 and stages["connected"] is None
    lead = next(l for l in told["lead_times"] if l["family"] == "")
    assert lead["samples"] == LAUNCHED and 3 <= lead["p75"] < 15
    assert told["money"]["usd_per_hour"] > 0 and told["money"]["usd_per_hour_limit"] == 5
    price = told["money"]["usd_per_hour"] / LAUNCHED
    assert 0 < told["money"]["usd_per_scaled_replica"] <= price * 15 / 3600
    shown = page(forerun)
    assert f"({LAUNCHED} instances)" in shown and "of 5 USD an hour" in shown and f"({LAUNCHED} launches)" in shown
    assert len(re.findall(r"^i-\S+ +serving ", shown, re.M)) == LAUNCHED
    steps = [s["text"] for s in decision["steps"]]
    assert sum("serves: it has run for so long, " in s for s in steps) == LAUNCHED

    code, text = forerun.get("/metrics")
    found = series(text)
    assert code == 200
    assert found["forerun_scaling_latency_seconds_count"] == LAUNCHED
    assert found['forerun_scaling_latency_seconds_bucket{le="15"}'] == LAUNCHED
    assert found['forerun_scaling_latency_over_ratio{seconds="15"}'] == 0
    assert found['forerun_launch_stage_seconds_count{stage="running"}'] == LAUNCHED
    assert found['forerun_pool_instances_running{pool="web"}'] == LAUNCHED
    assert found["forerun_instances_served_total"] == LAUNCHED
    assert 3 <= found['forerun_lead_time_seconds{pool="web"}'] < 15
    assert found['forerun_instances_by_agent{agent="none"}'] == LAUNCHED


def test_what_was_learned_is_still_known_after_a_restart(launching, start):
    launching.decision(seconds=60)
    before = json.loads(status(launching, "--json").stdout)
    launching.kill()
    again = start()
    after = json.loads(status(again, "--json").stdout)
    assert after["scaling_latency"]["count"] == LAUNCHED
    assert after["scaling_latency"]["p95_seconds"] == pytest.approx(before["scaling_latency"]["p95_seconds"], abs=1e-3)
    assert [l["samples"] for l in after["lead_times"]] == [l["samples"] for l in before["lead_times"]]


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text"])
def test_metrics_are_clean(launching, accept):
    launching.decision(seconds=60)
    text = launching.get("/metrics", {"Accept": accept})[1]
    if accept != "text/plain":
        assert text.endswith("# EOF\n")
        return
    checked = subprocess.run([shutil.which("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
    assert checked.returncode == 0 and checked.stderr == "", checked.stderr


def test_the_age_of_the_catalog_is_in_all_three(launching):
    launching.decision(seconds=60)
    told = json.loads(status(launching, "--json").stdout)["cloud"]["catalog"]
    assert told["types"] > 0 and all(0 <= told[f"{part}_age_seconds"] < 300 for part in ("types", "prices", "spot"))
    text = launching.get("/metrics", {"Accept": "text/plain"})[1]
    for part in ("types", "prices", "spot"):
        assert f'forerun_catalog_age_seconds{{part="{part}"}} ' in text
    assert re.search(r"catalog  \d+ types \S+( \S+)? old; prices on demand .* old, on spot .* old", status(launching).stdout)


def test_where_nothing_listens_it_says_what_to_do():
    done = run_binary("status", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1 and done.stdout == ""
    assert "nothing answers at http://127.0.0.1:9" in done.stderr and "--url http://HOST:PORT" in done.stderr


def test_another_server_is_no_forerun(queue):
    queue.pace_s = 0.1
    queue.depth = 1
    done = run_binary("status", "--url", f"http://127.0.0.1:{queue.port}")
    assert done.returncode == 1
    assert "no forerun that tells its status" in done.stderr


HOSTILE = [
    {},
    [],
    {"role": 7},
    {"role": "\u001b]0;x\u0007", "host": "\u001b[2J" * 4000, "version": None, "up_seconds": 1e308},
    {"role": "core", "services": 3, "services_count": -1e300, "nodes": {"a": 1}, "pools": "x", "brakes": [None, 1, {"holding": True}]},
    {"role": "core", "services_count": 1e300, "services": [None, [], {"metrics": {}, "deciding": 1e300}, {"metrics": [{"metric": "x" * 5000, "value": 1e-300}]}],
     "coming": [{}], "lead_times": [{"pool": None}], "nodes": [{"instance": "i" * 3000, "age_seconds": -1e300, "usd_per_hour": 1e308}], "nodes_count": 1e18,
     "scaling_latency": {"count": 1e300, "p50_seconds": 1e300}, "money": {"usd_per_hour": -1}, "lease": {"leading": 3}, "cores": [{}], "hosts": [], "cloud": {}},
]


@pytest.mark.parametrize("answer", HOSTILE)
def test_a_server_that_lies_neither_crashes_it_nor_moves_the_cursor(answer):
    class Lying(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Lying)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = run_binary("status", "--url", f"127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode in (0, 1), done.stderr
    assert all(c == "\n" or " " <= c <= "~" for c in done.stdout)
    assert all(len(line) <= 100 for line in done.stdout.splitlines())

# SPDX-License-Identifier: Apache-2.0
"""The alert rules that are shipped: Prometheus takes them, they fire, and they name only metrics that forerun has."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).parents[2]
RULES = ROOT / "deploy/examples/prometheus/forerun.rules.yaml"

TEST = """
rule_files: [{rules}]
evaluation_interval: 15s
tests:
- interval: 15s
  input_series:
  - {{series: 'forerun_leading{{job="core", instance="a"}}', values: '1x20 0x40'}}
  - {{series: 'forerun_leading{{job="core", instance="b"}}', values: '0x60'}}
  - {{series: 'forerun_brake_holding{{job="core", instance="a", brake="usd-per-day"}}', values: '3x60'}}
  - {{series: 'forerun_brake_holding{{job="core", instance="b", brake="standby"}}', values: '1x60'}}
  - {{series: 'forerun_hosts{{job="core", instance="a", state="reporting"}}', values: '80x60'}}
  - {{series: 'forerun_hosts{{job="core", instance="a", state="silent"}}', values: '20x60'}}
  - {{series: 'forerun_scaling_latency_seconds_bucket{{job="core", instance="a", le="60"}}', values: '0x60'}}
  - {{series: 'forerun_scaling_latency_seconds_bucket{{job="core", instance="a", le="90"}}', values: '0+1x60'}}
  - {{series: 'forerun_scaling_latency_seconds_bucket{{job="core", instance="a", le="+Inf"}}', values: '0+1x60'}}
  alert_rule_test:
  - {{eval_time: 4m, alertname: ForerunNobodyLeads, exp_alerts: []}}
  - eval_time: 10m
    alertname: ForerunNobodyLeads
    exp_alerts:
    - exp_labels: {{severity: page, job: core}}
      exp_annotations: {{summary: "No core leads: nothing is launched or terminated",
                        action: "forerun status on each core; is the DynamoDB table in reach?"}}
  - {{eval_time: 9m, alertname: ForerunBrakeHolds, exp_alerts: []}}
  - eval_time: 11m
    alertname: ForerunBrakeHolds
    exp_alerts:
    - exp_labels: {{severity: ticket, job: core, brake: usd-per-day}}
      exp_annotations: {{summary: "The brake usd-per-day holds for 10 minutes",
                        action: "forerun status says which services want what; raise the limit or find out who asks"}}
  promql_expr_test:
  - {{expr: 'count(ALERTS{{alertname="ForerunHostsSilent", alertstate="firing"}})', eval_time: 5m, exp_samples: [{{labels: '{{}}', value: 1}}]}}
  - {{expr: 'count(ALERTS{{alertname="ForerunScalingSlow", alertstate="firing"}})', eval_time: 16m, exp_samples: [{{labels: '{{}}', value: 1}}]}}
  - {{expr: 'count(ALERTS{{alertname="ForerunTwoLead"}})', eval_time: 10m, exp_samples: []}}
"""


def promtool(*arguments):
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_prometheus_takes_the_rules():
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_they_fire_and_only_then(tmp_path):
    (tmp_path / "test.yaml").write_text(TEST.format(rules=RULES))
    done = promtool("test", "rules", tmp_path / "test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_they_name_only_what_forerun_serves():
    named = set(re.findall(r"\bforerun_[a-z_]+", " ".join(re.findall(r"expr: (.*)", RULES.read_text()))))
    served = " ".join(p.read_text() for p in (ROOT / "user/cmd").glob("serve*.c"))
    missing = {n for n in named if f'"{re.sub("_(total|bucket)$", "", n)}"' not in served}
    assert len(named) > 10 and not missing, missing

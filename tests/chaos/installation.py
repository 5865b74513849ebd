# SPDX-License-Identifier: Apache-2.0
"""What a site writes down: documents, a shared key, and the command lines of its cores."""

import json
import pathlib

from processes import BINARY
from schedule import TARGET, VISIBLE_WITHIN_S

LEASE_S = 1.0


def shared_key(directory):
    path = pathlib.Path(directory) / "shared.key"
    path.write_text("5a" * 32 + "\n")
    path.chmod(0o600)
    return path


POLICY = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: {name}, annotations: {{forerun.dev/service: {name}}}}}
spec:
  scaleTargetRef: {{apiVersion: karpenter.sh/v1, kind: NodePool, name: pool}}
  minReplicas: 1
  maxReplicas: {most}
  metrics:
    - type: External
      external:
        metric:
          name: forerun_accept_queue_depth
          selector: {{matchLabels: {{port: "{port}", window: 300ms, statistic: peak}}}}
        target: {{type: AverageValue, averageValue: "{target}"}}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 0
      policies: [{{type: Pods, value: 100, periodSeconds: 15}}]
    scaleDown:
      stabilizationWindowSeconds: {down_s}
      policies: [{{type: Pods, value: 100, periodSeconds: 1}}]
"""

POOL = """
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {{name: pool}}
spec:
  disruption: {{consolidateAfter: Never}}
  limits: {{cpu: {cpu}}}
  template:
    spec:
      nodeClassRef: {{group: karpenter.k8s.aws, kind: EC2NodeClass, name: web}}
      requirements:
        - {{key: node.kubernetes.io/instance-type, operator: In, values: {types}}}
        - {{key: karpenter.sh/capacity-type, operator: In, values: {capacity}}}
        - {{key: topology.kubernetes.io/zone, operator: In, values: {zones}}}
"""

CLASS = """
apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata: {{name: web}}
spec:
  amiSelectorTerms: [{{alias: al2023@latest}}]
  instanceProfile: {profile}
  subnetSelectorTerms: [{{tags: {{"{key}": "{value}"}}}}]
  securityGroupSelectorTerms: [{{id: {group}}}]
"""


def write_documents(directory, schedule, world):
    directory.mkdir(parents=True)
    brake = schedule["brake"]
    for name, service in schedule["services"].items():
        (directory / f"policy-{name}.yaml").write_text(POLICY.format(name=name, target=TARGET, **service))
    (directory / "pool.yaml").write_text(POOL.format(
        cpu=brake["value"] if brake["kind"] == "cpu" else 10000,
        **{key: json.dumps(value) for key, value in schedule["pool"].items()}))
    (directory / "class.yaml").write_text(CLASS.format(
        profile=world["instance_profile"], group=world["security_group"], key=world["tag"]["Key"], value=world["tag"]["Value"]))
    return directory


def command_of(schedule, config, key):
    """All of a core's command line but its state directory."""
    brake = schedule["brake"]
    found = ([BINARY, "run", "--interval", "50ms"] if schedule["kind"] == "run" else
             [BINARY, "core", "--listen-agents", "127.0.0.1:0", "--shared-key", key, "--host-replicas-max", "100"])
    found += ["--listen", "127.0.0.1:0", "--format", "json", "--pause-file", config.parent / "pause", "--config", config, "--mode", "act", "--lead-time", "0s", "--serving-after", "1s", "--drain-blind", f"{schedule['drain_ms']}ms",
              "--visible-within", f"{VISIBLE_WITHIN_S}s", "--max-launches-per-minute", brake["value"] if brake["kind"] == "minute" else 100000]
    if brake["kind"] == "usd":
        found += ["--max-usd-per-hour", brake["value"]]
    if schedule["locked"]:
        found += ["--lock-table", "forerun-lock", "--lease", f"{LEASE_S}s"]
    return found

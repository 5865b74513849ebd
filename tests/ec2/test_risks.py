# SPDX-License-Identifier: Apache-2.0
"""What would make forerun buy too much, too often or nothing at all: a queue that stands, a full disk, instances that end
by another's hand, processor policies, signals that stop."""

import multiprocessing
import os
import pathlib
import signal
import socket
import subprocess
import time
import uuid

import pytest
from running import Forerun
from testbed import end_with_parent

STANDING = 30  # AverageValue 8: four replicas, in one step


def standing_queue(queue):
    queue.depth = STANDING
    until = time.monotonic() + 10
    while len(queue.waiting) < STANDING:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_queue_that_stays_full_for_40_seconds_launches_once(start, queue, ec2_world):
    """Instances take 30 s to run, nothing caps the policy at what it wants, and the lead time is the default one."""
    ec2_world.control(pending_s=30)
    standing_queue(queue)
    forerun = start("--lead-time", "40s", target="8", most=100)
    forerun.wait(lambda: len(ec2_world.ledger()) == 3, "the launch")
    until = time.monotonic() + 40
    while time.monotonic() < until:
        time.sleep(1)
        assert len(ec2_world.ledger()) == 3 and len(queue.waiting) >= STANDING - 1
        assert forerun.policy()["replicas"] == 4
    assert len(ec2_world.log("CreateFleet")) == 1
    assert [d["replicas"]["decided"] for d in forerun.decisions("scale-up")] == [4]
    forerun.wait(lambda: forerun.policy()["ready"] == 4, "all of them serve")


def test_an_instance_that_someone_else_terminated_is_replaced_once(start, queue, ec2_world):
    forerun = start()
    queue.depth = 30
    forerun.wait(lambda: forerun.policy()["ready"] == 4, "all of them serve", 60)
    ec2_world.client().terminate_instances(InstanceIds=[ec2_world.ledger()[0]["id"]])
    forerun.wait(lambda: len(ec2_world.ledger()) == 4, "its replacement", 60)
    forerun.wait(lambda: forerun.policy()["ready"] == 4, "it serves", 60)
    time.sleep(2)
    assert len(ec2_world.ledger()) == 4 and len(ec2_world.ledger(alive=True)) == 3
    assert ec2_world.log("TerminateInstances")[0]["access_key"] and len(ec2_world.log("TerminateInstances")) == 1, "none by forerun"


def test_instances_that_die_at_once_are_not_bought_again_and_again(start, queue, ec2_world):
    ec2_world.control(pending_s=30)
    forerun = start("--max-launches-per-minute", "1000")
    queue.depth = 30
    until = time.monotonic() + 15
    while time.monotonic() < until:
        alive = [entry["id"] for entry in ec2_world.ledger(alive=True)]
        if alive:
            ec2_world.client().terminate_instances(InstanceIds=alive)
        time.sleep(0.3)
    # At once, after 5 s and after 10 more.
    assert len(ec2_world.log("CreateFleet")) <= 3
    assert "before it served" in forerun.policy()["held"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB."""
    at = tmp_path / "small"
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "forerun-test", at], check=True)
    yield at
    subprocess.run(["umount", "-l", at], check=True)


def test_a_full_disk_launches_nothing_and_a_restart_with_room_does(ec2_world, queue, small_disk, tmp_path, start):
    first = start()  # writes the configuration
    first.kill()
    arguments = (tmp_path / "config", small_disk / "state", ec2_world.environment(HOME=str(tmp_path)))
    forerun = Forerun(*arguments).ready()
    try:
        ballast = small_disk / "ballast"
        with open(ballast, "wb", buffering=0) as file:
            with pytest.raises(OSError):
                while True:
                    file.write(bytes(4096))
        journal = small_disk / "state" / "journal"
        standing_queue(queue)
        forerun.wait(lambda: "cannot write the journal" in forerun.stderr(), "the disk is full")
        time.sleep(2)
        # The last block of the journal may have had room for one order, and no more.
        written = journal.read_text()
        assert all(entry["token"] in written for entry in ec2_world.ledger()) and len(ec2_world.ledger()) in (0, 3)
        assert "journal cannot be written" in forerun.policy()["held"] or ec2_world.ledger()
        assert "No space left" in forerun.stderr()
        assert forerun.get("/healthz")[0] == 200
        ballast.unlink()
    finally:
        forerun.kill()
    again = Forerun(*arguments).ready()
    try:
        again.wait(lambda: again.policy()["replicas"] == 4 and len(ec2_world.ledger()) == 3, "what is wanted", 30)
        time.sleep(1)
        assert len(ec2_world.ledger()) == 3
    finally:
        again.kill()


def test_an_edge_from_before_a_standstill_is_not_acted_on(start, queue, ec2_world):
    """SIGSTOP for longer than signals are good: the queue that was full meanwhile is empty when it wakes."""
    forerun = start()
    time.sleep(1)
    forerun.process.send_signal(signal.SIGSTOP)
    standing_queue(queue)
    queue.depth = 0
    while queue.waiting:
        time.sleep(0.05)
    time.sleep(4)
    forerun.process.send_signal(signal.SIGCONT)
    time.sleep(3)
    assert forerun.get("/healthz")[0] == 200
    assert ec2_world.ledger() == [] and forerun.decisions("scale-up") == []


# ---- processor policies ----


def burner(port, cgroup, ending):
    end_with_parent()
    (cgroup / "cgroup.procs").write_text(str(os.getpid()))
    listener = socket.create_server(("127.0.0.1", 0))
    port.value = listener.getsockname()[1]
    while not ending.is_set():
        busy_until = time.monotonic() + 0.03
        while time.monotonic() < busy_until:
            pass
        time.sleep(0.07)


def cgroup_root():
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return pathlib.Path(fields[1])
    raise AssertionError("no cgroup2 file system")


@pytest.fixture
def busy_service():
    """A listener in a control group of its own that uses about 0.3 cores. Its port and its unit."""
    name = f"burner-{uuid.uuid4().hex[:8]}.service"
    cgroup = cgroup_root() / name
    cgroup.mkdir()
    port, ending = multiprocessing.Value("i", 0), multiprocessing.Event()
    process = multiprocessing.Process(target=burner, args=(port, cgroup, ending), daemon=True)
    process.start()
    while not port.value:
        time.sleep(0.02)
    yield port.value, name
    ending.set()
    process.join(5)
    process.kill()
    process.join()
    for _ in range(50):
        try:
            cgroup.rmdir()
            break
        except OSError:
            time.sleep(0.1)


RESOURCE = "{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 1}}}"
CONTAINER = "{{type: ContainerResource, containerResource: {{name: cpu, container: {name}, target: {{type: AverageValue, averageValue: 100m}}}}}}"
EXPRESSIONS = """{{type: External, external: {{metric: {{name: forerun_cpu_cores, selector: {{matchExpressions: [
          {{key: port, operator: In, values: ["1", "{port}"]}}, {{key: container_id, operator: DoesNotExist}}, {{key: address, operator: NotIn, values: ["::1"]}},
          {{key: window, operator: In, values: [3s]}}]}}}}, target: {{type: AverageValue, averageValue: 100m}}}}}}"""


@pytest.mark.parametrize("kind", ["resource", "container", "expressions"])
def test_a_policy_on_the_processor_launches(start, ec2_world, busy_service, kind):
    port, name = busy_service
    metric = {"resource": RESOURCE, "container": CONTAINER.format(name=name), "expressions": EXPRESSIONS.format(port=port)}[kind]
    forerun = start(metrics=f"[{metric}]")
    decision = forerun.decision(closed=False)
    # 0.3 cores at 0.1 for each are three replicas, host-wide it is as many as the policy allows.
    assert 2 <= decision["replicas"]["decided"] <= 4
    forerun.wait(lambda: len(ec2_world.ledger()) == decision["replicas"]["decided"] - 1, "the launch")
    text = forerun.explain(decision["id"]).stdout
    assert {"resource": "cpu of the host", "container": f"cpu of {name}", "expressions": "forerun_cpu_cores"}[kind] in text
    assert "oldest" in text and " ms" in text

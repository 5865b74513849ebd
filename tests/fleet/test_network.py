# SPDX-License-Identifier: Apache-2.0
"""Agents in network namespaces of their own, with a wire to the core's."""

import ctypes
import os
import subprocess

import pytest
from running import Queue

CORE = "10.77.0.1"
METRICS = """
    - type: External
      external:
        metric:
          name: forerun_accept_queue_depth
          selector: {matchLabels: {port: "%d", window: 100ms, statistic: last}}
        target: {type: AverageValue, averageValue: "1000"}"""


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class QueueIn(Queue):
    """A queue inside of that namespace; its thread stays there."""

    def __init__(self, namespace, port):
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{namespace}") as there:
            assert libc.setns(there.fileno(), 0) == 0, os.strerror(ctypes.get_errno())
            try:
                super().__init__(pace_s=None, port=port)
            finally:
                assert libc.setns(home.fileno(), 0) == 0


@pytest.fixture
def namespaces():
    """Two of them, a bridge between, and the core's address on it."""
    names = [f"forerun-test-{which}" for which in "ab"]
    ip("link", "add", "forerun-test", "type", "bridge")
    ip("addr", "add", f"{CORE}/24", "dev", "forerun-test")
    ip("link", "set", "forerun-test", "up")
    try:
        for index, name in enumerate(names):
            ip("netns", "add", name)
            ip("link", "add", f"frt-{index}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"frt-{index}", "master", "forerun-test", "up")
            ip("-n", name, "addr", "add", f"10.77.0.{index + 2}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
        ip("link", "del", "forerun-test")


def test_what_two_hosts_see_is_summed_for_their_service(core, agent, namespaces, queue):
    """Both agents run on one kernel here, so that each sees both queues: the sum is twice what waits."""
    one = core(mode="observe", listen=f"{CORE}:0", metrics=METRICS % queue.port)
    one.address = f"{CORE}:{one.agents_port}"
    queues = [QueueIn(namespace, queue.port) for namespace in namespaces]
    try:
        for host, namespace in zip("ab", namespaces, strict=True):
            agent(host, one, prefix=["nsenter", f"--net=/run/netns/{namespace}"]).connected()
        one.wait(lambda: one.policy()["replicas"] == 2, "two hosts")
        queues[0].depth, queues[1].depth = 3, 5
        one.wait(lambda: one.policy()["metrics"][0]["sum"] == 2 * (3 + 5), "the sum")
        queues[1].depth = 0
        one.wait(lambda: one.policy()["metrics"][0]["sum"] == 2 * 3, "the smaller sum")
    finally:
        for waiting in queues:
            waiting.close()

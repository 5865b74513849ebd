# SPDX-License-Identifier: Apache-2.0
"""core and agent: start members of a fleet that end with the test. Beside them the EC2 of tests/ec2."""

import contextlib

import pytest
from members import Agent, Forerun, Keys, Swarm
from running import Queue, write_config
from testbed import Ec2


@pytest.fixture(scope="session")
def ec2_process(tmp_path_factory):
    running = Ec2(log=tmp_path_factory.mktemp("ec2") / "moto.log")
    yield running
    running.close()


@pytest.fixture
def ec2_world(ec2_process):
    ec2_process.reset()
    ec2_process.make_world()
    return ec2_process


@pytest.fixture
def queue():
    waiting = Queue()
    yield waiting
    waiting.close()


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("keys") / "keys", "a", "b")


@pytest.fixture
def ending():
    """Whatever is handed to it is stopped at the end."""
    with contextlib.ExitStack() as stack:
        def later(member):
            stack.callback(member.kill if isinstance(member, Forerun) else member.stop)
            return member
        yield later


@pytest.fixture
def core(ec2_world, queue, keys, tmp_path, ending):
    """core(*arguments, **config): a core with a policy for that queue, ready. address is where agents reach it."""

    def start(*arguments, mode="act", name="core", with_keys=None, ready=True, listen="127.0.0.1:0", **config):
        directory = write_config(tmp_path / f"config-{name}", ec2_world.world, queue.port, **{"target": "250m", "most": 4, **config})
        member = ending(Forerun(directory, tmp_path / name, ec2_world.environment(HOME=str(tmp_path)), "--listen-agents", listen,
                                *(with_keys or keys.core()), *arguments, mode=mode, role="core"))
        if ready:
            member.ready()
        else:
            member.wait(lambda: member.port, "the start line")
        member.address = f"127.0.0.1:{member.agents_port}"
        return member

    yield start


@pytest.fixture
def agent(keys, tmp_path, ending):
    def start(host, *cores, with_keys=None, **more):
        return ending(Agent(tmp_path, host, [core.address for core in cores], with_keys or keys.agent(host), **more))

    yield start


@pytest.fixture
def swarm(keys, ending):
    def start(core, *arguments, with_keys=None):
        return ending(Swarm(core.address, *(with_keys or keys.swarm()), *arguments))

    yield start


@pytest.fixture
def other_keys(tmp_path):
    return Keys(tmp_path / "other", "a", "b")


@pytest.fixture
def fresh_keys(tmp_path):
    return Keys(tmp_path / "fresh", "a", "b")

# SPDX-License-Identifier: Apache-2.0
"""ec2: the proxy with moto behind it, as new for each test. ec2_world: the same with subnets and all in it."""

import pytest
from imds import Imds
from running import Forerun, Queue, write_config
from testbed import Ec2


@pytest.fixture(scope="session")
def ec2_process(tmp_path_factory):
    running = Ec2(log=tmp_path_factory.mktemp("ec2") / "moto.log")
    yield running
    running.close()


@pytest.fixture
def ec2(ec2_process):
    ec2_process.reset()
    return ec2_process


@pytest.fixture
def ec2_world(ec2):
    ec2.make_world()
    return ec2


@pytest.fixture
def imds():
    running = Imds().start()
    yield running
    running.stop()


@pytest.fixture
def queue():
    waiting = Queue()
    yield waiting
    waiting.close()


@pytest.fixture
def start(ec2_world, queue, tmp_path):
    """start(*arguments, **config): forerun on a policy for that queue, ready. At the end every request of it must have
    been what the service's model says, with the right signature where the test says no other."""
    started = []

    def starter(*arguments, mode="act", environment=None, ready=True, wrong_signatures=False, **config):
        directory = write_config(tmp_path / "config", ec2_world.world, queue.port, **{"target": "250m", "most": 4, **config})
        state = tmp_path / "state"
        running = Forerun(directory, state, environment or ec2_world.environment(HOME=str(tmp_path)), *arguments, mode=mode)
        running.wrong_signatures = wrong_signatures
        started.append(running)
        return running.ready() if ready else running

    yield starter
    for running in started:
        running.kill()
    for entry in ec2_world.log():
        assert entry["model"] is None, entry
        assert entry["signature"] is None or any(r.wrong_signatures for r in started), entry

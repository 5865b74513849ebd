# SPDX-License-Identifier: Apache-2.0
"""ec2: the proxy with moto behind it, as new for each test. ec2_world: the same with subnets and all in it."""

import pytest
from imds import Imds
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

# SPDX-License-Identifier: Apache-2.0
"""start_probe: starts probes that end with the test. sockets: closes what the test opened."""

import contextlib
import os
import resource
import subprocess

import pytest
from probing import Dump


@pytest.fixture
def start_probe():
    with contextlib.ExitStack() as running:
        yield lambda *options, **more: running.enter_context(Dump(*options, **more))


@pytest.fixture
def probe(start_probe):
    return start_probe()


@pytest.fixture
def sockets():
    with contextlib.ExitStack() as stack:
        yield stack.enter_context


@pytest.fixture
def many_files():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def bpf_directory(tmp_path):
    """A BPF file system of the test's own, gone with it and all that is pinned there."""
    path = tmp_path / "bpffs"
    path.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", path], check=True)
    yield os.fspath(path)
    subprocess.run(["umount", path], check=True)

# SPDX-License-Identifier: Apache-2.0
"""Key files that are no good stop agent, core and swarm at the start, and the message names the file and what is wrong with it."""

import pytest
from test_flags import forerun

CORE = ["core", "--listen", "none", "--listen-agents", "127.0.0.1:0", "--state-dir", "state"]
AGENT = ["agent", "--listen", "none", "--core", "127.0.0.1:9", "--host", "web-1"]
SWARM = ["lab", "swarm", "--core", "127.0.0.1:9"]
GOOD = {"ca": "keys/ca.crt", "cert": "keys/core.crt", "key": "keys/core.key"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("bad-keys")
    for way in (["--mtls", "--core-name", "localhost", "--agent", "web-1"], ["--shared-key"]):
        assert forerun(path, "core", "init", "--dir", "keys", *way).returncode == 0
    assert forerun(path, "core", "init", "--dir", "others", "--mtls", "--core-name", "localhost").returncode == 0
    (path / "short.key").write_text("0123\n")
    (path / "no.hex").write_text("x" * 64 + "\n")
    (path / "garbage.crt").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (path / "empty").write_text("")
    return path


def pair(**changed):
    return [word for name, file in {**GOOD, **changed}.items() for word in (f"--{name}", file)]


CASES = {
    "a shared key that is not there": (CORE, ["--shared-key", "none.key"], "cannot read the shared key none.key: No such file or directory"),
    "a shared key of an agent that is not there": (AGENT, ["--shared-key", "none.key"],
                                                   "cannot read the shared key none.key: No such file or directory"),
    "a shared key of a swarm that is not there": (SWARM, ["--shared-key", "none.key"],
                                                  "cannot read the shared key none.key: No such file or directory"),
    "a shared key too short": (CORE, ["--shared-key", "short.key"], "short.key: one line of 64 hex digits is expected"),
    "a shared key of other letters": (CORE, ["--shared-key", "no.hex"], "no.hex: one line of 64 hex digits is expected"),
    "an empty shared key": (AGENT, ["--shared-key", "empty"], "empty: one line of 64 hex digits is expected"),
    "a directory as shared key": (CORE, ["--shared-key", "keys"], "cannot read the shared key keys: Is a directory"),
    "a key of another certificate": (CORE, pair(key="others/core.key"), "others/core.key: "),
    "a certificate that is garbage": (CORE, pair(cert="garbage.crt"), "garbage.crt: "),
    "an authority that is empty": (CORE, pair(ca="empty"), "no CA's certificate in empty"),
    "an authority's key of another": (SWARM, ["--ca", "keys/ca.crt", "--ca-key", "others/ca.key"],
                                      "cannot issue certificates with keys/ca.crt and others/ca.key: key and certificate do not belong "
                                      "together"),
    "an authority that is none": (SWARM, ["--ca", "keys/core.crt", "--ca-key", "keys/core.key"],
                                  "the certificate is not one of an authority"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_key_file_is_named(case, directory):
    command, keys, message = CASES[case]
    done = forerun(directory, *command, *keys, variables={"AWS_EC2_METADATA_DISABLED": "true"})
    assert done.returncode == 1
    assert message in done.stderr
    assert "PRIVATE" not in done.stderr and "0123" not in done.stderr

# SPDX-License-Identifier: Apache-2.0
"""`forerun run` on a host that EC2 ends: agent and core are one process, and it says so."""

import json
import time

from imds import Imds
from running import Forerun, Queue, run_binary, write_config


def test_a_host_that_is_interrupted_itself_says_so(ec2_world, tmp_path):
    imds, queue = Imds(instance_id="i-0aaaaaaaaaaaaaaaa", role="").start(), Queue()
    environment = ec2_world.environment(HOME=str(tmp_path), AWS_EC2_METADATA_DISABLED="false", AWS_EC2_METADATA_SERVICE_ENDPOINT=imds.url)
    forerun = Forerun(write_config(tmp_path / "config", ec2_world.world, queue.port), tmp_path / "state", environment)
    try:
        forerun.ready()
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 120))
        imds.settings["documents"]["/latest/meta-data/spot/instance-action"] = json.dumps({"action": "terminate", "time": when})
        forerun.wait(lambda: "EC2 says of this host (i-0aaaaaaaaaaaaaaaa): spot terminate" in forerun.stderr(), "the log line")
        assert "agent and core are in this process: both end with the host" in forerun.stderr()
        forerun.wait(lambda: "spot terminate" in json.loads(forerun.get("/v1/status")[1])["own_notice"], "the status")
        assert "spot terminate at" in run_binary("status", "--url", f"http://127.0.0.1:{forerun.port}").stdout
        time.sleep(1)
        assert ec2_world.log("TerminateInstances") == [] and ec2_world.log("CreateFleet") == []
    finally:
        forerun.kill()
        queue.close()
        imds.stop()

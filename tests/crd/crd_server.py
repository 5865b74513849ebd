# SPDX-License-Identifier: Apache-2.0
"""The real API server's part for custom resources with Karpenter's definitions (tests/kube/crdserver), and what it says of an object."""

import http.client
import json
import os
import pathlib
import ssl
import subprocess
from urllib.parse import urlsplit

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("BUILD", "build")
PLURALS = {"NodePool": "/apis/karpenter.sh/v1/nodepools", "EC2NodeClass": "/apis/karpenter.k8s.aws/v1/ec2nodeclasses"}


class CrdServer:
    def __init__(self, directory):
        self.log = open(directory / "crdserver.log", "w")
        self.process = subprocess.Popen([BUILD / "kube/crdserver", str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True)
        address = self.process.stdout.readline().strip()
        assert address, f"crdserver did not start: see {self.log.name}"
        # A certificate of its own, on the loopback address.
        self.connection = http.client.HTTPSConnection(urlsplit(address).netloc, timeout=60, context=ssl._create_unverified_context())

    def post(self, kind, text):
        """(accepted, the object with its defaults or the message). Unknown fields are refused, as kubectl asks for."""
        self.connection.request("POST", f"{PLURALS[kind]}?dryRun=All&fieldValidation=Strict", text.encode(),
                                {"Content-Type": "application/yaml", "Accept": "application/json"})
        response = self.connection.getresponse()
        answer = json.loads(response.read())
        assert response.status in (201, 400, 422), answer
        return (True, answer) if response.status == 201 else (False, answer["message"])

    def close(self):
        self.connection.close()
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.log.close()

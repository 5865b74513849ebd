# SPDX-License-Identifier: Apache-2.0
"""Instance metadata (IMDSv2) and container credentials for tests, with the ways in which they fail.

    python tests/ec2/imds.py [--port 0] [--settings JSON]

Control: POST /_ctl with any of the keys of DEFAULTS; GET /_ctl/log gives the requests. Paths as on EC2; the container
endpoint is /v1/credentials (AWS_CONTAINER_CREDENTIALS_FULL_URI).
"""

import argparse
import copy
import http.server
import json
import secrets
import threading
import time

DEFAULTS = {
    "access_key": "ASIAFORERUNIMDS00000",
    "secret_key": "imds-secret",
    "session_token": "imds-session",
    "expires_in_s": 21600.0,  # from the moment of asking; small: near expiry, negative: past it
    "code": "Success",
    "role": "forerun-test-node",  # "": no role is attached
    "region": "us-east-1",
    "zone": "us-east-1a",
    "instance_id": "i-0123456789abcdef0",
    "instance_type": "m7g.large",
    "put_status": 200,  # 403, 404, 405: IMDSv1 only, or disabled
    "token_s": 21600.0,  # tokens die after so long, whatever was asked
    "credentials_status": 200,
    "credentials_body": None,  # a string instead of the credentials
    "silent": [],  # paths (prefixes) that never answer: a hop limit of 1 looks so
    "delay_s": 0.0,
    "authorization": "",  # of the container endpoint; "": any
    "documents": {},  # path: text, for example /latest/meta-data/spot/instance-action
}


class Imds(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port=0, host="127.0.0.1", **settings):
        self.settings = {**copy.deepcopy(DEFAULTS), **settings}
        self.tokens = {}
        self.log = []
        self.ending = threading.Event()
        super().__init__((host, port), Handler)
        self.url = f"http://{host}:{self.server_address[1]}"

    def start(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self):
        self.ending.set()
        self.shutdown()
        self.server_close()

    def credentials(self, **more):
        s = self.settings
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + s["expires_in_s"]))
        return {"AccessKeyId": s["access_key"], "SecretAccessKey": s["secret_key"], "Token": s["session_token"],
                "Expiration": expires, **more}

    def document(self, path):
        """The text of a metadata path; None: not there."""
        s = self.settings
        role = f"/latest/meta-data/iam/security-credentials/{s['role']}"
        if path in s["documents"]:
            return s["documents"][path]
        if s["role"] and path == role:
            if s["credentials_body"] is not None:
                return s["credentials_body"]
            if s["code"] != "Success":
                return json.dumps({"Code": s["code"], "Message": "the role cannot be assumed"})
            return json.dumps(self.credentials(Code="Success", Type="AWS-HMAC"))
        identity = {"instanceId": s["instance_id"], "region": s["region"], "availabilityZone": s["zone"],
                    "instanceType": s["instance_type"]}
        return {
            "/latest/meta-data/iam/security-credentials/": s["role"] or None,
            "/latest/meta-data/instance-id": s["instance_id"],
            "/latest/meta-data/instance-type": s["instance_type"],
            "/latest/meta-data/placement/availability-zone": s["zone"],
            "/latest/meta-data/placement/region": s["region"],
            "/latest/dynamic/instance-identity/document": json.dumps(identity),
        }.get(path)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, text, kind="text/plain"):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def held(self):
        """Notes the request; True when it gets no answer."""
        imds = self.server
        imds.log.append({"time": time.time(), "method": self.command, "path": self.path,
                         "headers": {k.lower(): v for k, v in self.headers.items()}})
        if imds.settings["delay_s"]:
            imds.ending.wait(imds.settings["delay_s"])
        if any(self.path.startswith(prefix) for prefix in imds.settings["silent"]):
            imds.ending.wait(300)
            self.close_connection = True
            return True
        return False

    def do_PUT(self):
        if self.held():
            return
        imds = self.server
        if imds.settings["put_status"] != 200:
            return self.reply(imds.settings["put_status"], "")
        try:
            seconds = int(self.headers.get("x-aws-ec2-metadata-token-ttl-seconds", ""))
        except ValueError:
            seconds = 0
        if self.path != "/latest/api/token" or not 1 <= seconds <= 21600:
            return self.reply(400, "")
        token = secrets.token_urlsafe(40)
        imds.tokens[token] = time.monotonic() + min(seconds, imds.settings["token_s"])
        return self.reply(200, token)

    def do_GET(self):
        imds = self.server
        if self.path == "/_ctl/log":
            return self.reply(200, json.dumps(imds.log), "application/json")
        if self.held():
            return None
        if self.path == "/v1/credentials":
            return self.container()
        if imds.tokens.get(self.headers.get("x-aws-ec2-metadata-token", ""), 0) < time.monotonic():
            return self.reply(401, "")
        if "security-credentials" in self.path and imds.settings["credentials_status"] != 200:
            return self.reply(imds.settings["credentials_status"], "")
        text = imds.document(self.path)
        return self.reply(404, "") if text is None else self.reply(200, text)

    def container(self):
        s = self.server.settings
        if s["authorization"] and self.headers.get("authorization") != s["authorization"]:
            return self.reply(401, '{"message":"not authorized"}', "application/json")
        if s["credentials_status"] != 200:
            return self.reply(s["credentials_status"], "")
        body = s["credentials_body"]
        return self.reply(200, json.dumps(self.server.credentials()) if body is None else body, "application/json")

    def do_POST(self):
        wanted = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        unknown = set(wanted) - set(DEFAULTS)
        if self.path != "/_ctl" or unknown:
            return self.reply(400, f"unknown: {sorted(unknown)}")
        self.server.settings.update(wanted)
        return self.reply(200, "{}")


def main():
    parser = argparse.ArgumentParser(description="instance metadata for tests")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--settings", default="{}", help="a JSON object as POST /_ctl takes it")
    options = parser.parse_args()
    imds = Imds(options.port, options.host, **json.loads(options.settings))
    print(imds.server_address[1], flush=True)
    try:
        imds.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

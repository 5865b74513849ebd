# SPDX-License-Identifier: Apache-2.0
"""An HTTPS server that answers as the Kubernetes API server does, for kube_api_test.c.

kube_api_server.py DIRECTORY HOST: makes DIRECTORY/ca.crt, which is also the server's certificate, and other.crt,
which is not; prints the port, and takes the token that DIRECTORY/accepted holds at the time of a request. Ends with its standard input.
"""

import http.server
import json
import pathlib
import socket
import ssl
import subprocess
import sys
import threading

directory, host = pathlib.Path(sys.argv[1]), sys.argv[2]


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that does not trust the certificate is part of the test


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        token = (directory / "accepted").read_text()
        if self.headers.get("Authorization") != f"Bearer {token}":
            self.answer(401, {"kind": "Status", "code": 401, "message": "Unauthorized"})
        elif self.path == "/version":
            self.answer(*json.loads((directory / "version").read_text()))
        else:
            self.answer(200, {"path": self.path, "host": self.headers["Host"], "token": token})


def make_certificate(certificate, key):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=kube-apiserver", "-addext", "subjectAltName=IP:127.0.0.1,IP:::1",
         "-keyout", key, "-out", certificate], check=True, capture_output=True)


def main():
    certificate, key = directory / "ca.crt", directory / "key.pem"
    make_certificate(directory / "other.crt", key)
    make_certificate(certificate, key)
    server = Server((host, 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


main()

# SPDX-License-Identifier: Apache-2.0
"""A `forerun run` that belongs to one test: own state directory, free port, JSON lines read as they come."""

import json
import os
import pathlib
import queue
import subprocess
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).parent.parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()
FORERUN = BUILD / "forerun"
PATIENCE = 30  # seconds, for what takes milliseconds on an idle machine


def clean_environment(**more):
    """Without what the caller's shell may hold of forerun and AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FORERUN_", "AWS_"))}
    kept.update(AWS_EC2_METADATA_DISABLED="true", HOME="/nonexistent", no_proxy="*")
    kept.update(more)
    return kept


def command(*arguments, **options):
    options.setdefault("env", clean_environment())
    return subprocess.run([FORERUN, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE, **options)


class Forerun:
    def __init__(self, state_dir, *arguments, environment=None, prefix=(), stdout=subprocess.PIPE, **options):
        self.state_dir = state_dir
        line = [*prefix, FORERUN, "run", "--format", "json", "--listen", "127.0.0.1:0", "--state-dir", state_dir, *arguments]
        self.process = subprocess.Popen([str(word) for word in line], stdout=stdout, stderr=subprocess.PIPE, text=True,
                                        env=clean_environment(**(environment or {})), **options)
        self.lines, self.log = queue.Queue(), []
        self.readers = [threading.Thread(target=self.read_log, daemon=True)]
        if stdout == subprocess.PIPE:
            self.readers.append(threading.Thread(target=self.read_lines, daemon=True))
        for reader in self.readers:
            reader.start()

    def read_lines(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def read_log(self):
        for line in self.process.stderr:
            self.log.append(line)

    def wait_line(self, wanted):
        """The next line of standard output for which wanted() holds."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no such line within {PATIENCE} s; log:\n{''.join(self.log)}") from None
            assert line is not None, f"forerun ended with {self.process.wait()}; log:\n{''.join(self.log)}"
            if wanted(line):
                return line

    def started(self):
        self.port = self.wait_line(lambda line: line["type"] == "start")["port"]
        self.wait_line(lambda line: line["type"] == "status")
        return self

    def wait_listener(self, port, wanted):
        """A status line's listener of that port for which wanted() holds."""
        found = []

        def has(line):
            found[:] = [one for one in line.get("listeners", []) if one["labels"]["port"] == str(port) and wanted(one)]
            return found
        self.wait_line(has)
        return found[0]

    def get(self, path, accept=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"Accept": accept} if accept else {})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=PATIENCE) as reply:
                return reply.status, reply.headers.get("Content-Type"), reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("Content-Type"), error.read().decode()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        for reader in self.readers:
            reader.join(PATIENCE)
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        for reader in self.readers:
            reader.join(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

# SPDX-License-Identifier: Apache-2.0
"""The demo's hosts: each is a network namespace with processes and a cgroup of its own, nginx, and an agent that sees only it.

nginx has one worker, which compresses a large page for each request: it is really too slow for the second load, so its accept
queue really fills.
"""

import ctypes
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PORT = 8080
NAME = "forerun-demo"

NGINX = """
daemon off;
worker_processes 1;
pid {dir}/pid;
error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
	access_log off;
	client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
	gzip on; gzip_comp_level 9; gzip_types text/plain;
	server {{ listen 0.0.0.0:{port} backlog=511; root {dir}/www; }}
}}
"""


def address_of(number, last):
    """In the network of that host: 1 is here, 2 is the host. 198.18.0.0/15 is for benchmarks (RFC 2544), so nobody's."""
    return f"198.19.{3 * (os.getpid() % 80) + number}.{last}"


def die_with_parent(number=signal.SIGTERM):
    return lambda: ctypes.CDLL(None).prctl(1, number)


def run(*command):
    subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def end(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cgroup2():
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup2 "):
            return pathlib.Path(left.split()[4])
    raise RuntimeError("no cgroup2 file system is mounted")


def remove(namespace):
    """A host's namespace with its link, and its cgroup."""
    subprocess.run(["ip", "netns", "del", namespace], check=False, stderr=subprocess.DEVNULL)
    for _ in range(100):
        try:
            (cgroup2() / namespace).rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:  # its processes are still ending
            time.sleep(0.05)


def new_directory():
    return pathlib.Path(tempfile.mkdtemp(prefix=f"{NAME}-{os.getpid()}-"))


def remove_left_behind():
    """What a demo left that was killed and could not tidy up."""
    for one in [*cgroup2().glob(f"{NAME}-*"), *pathlib.Path(tempfile.gettempdir()).glob(f"{NAME}-*")]:
        if pathlib.Path("/proc", one.name.split("-")[2]).exists():
            continue
        if one.parent == cgroup2():
            remove(one.name)
        else:
            shutil.rmtree(one, ignore_errors=True)


class Host:
    """A host: network(), then start(). close() takes all of it away."""

    def __init__(self, number, directory):
        self.name = f"web-{number}"
        self.namespace = f"{NAME}-{os.getpid()}-{number}"
        self.directory = directory / self.name
        self.gateway, self.address = address_of(number, 1), address_of(number, 2)
        self.cgroup = cgroup2() / self.namespace
        self.process = None
        self.pages()

    def pages(self):
        (self.directory / "www").mkdir(parents=True)
        words = random.Random(1)
        (self.directory / "www/page.txt").write_text(" ".join(f"{words.getrandbits(40):x}" for _ in range(40000)))
        (self.directory / "nginx.conf").write_text(NGINX.format(dir=self.directory, port=PORT))
        for one in (self.directory.parent, self.directory):
            os.chmod(one, 0o755)

    def network(self):
        near = f"frd{os.getpid() % 1000000}n{self.name[4:]}"
        run("ip", "netns", "add", self.namespace)
        run("ip", "link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        run("ip", "addr", "add", f"{self.gateway}/24", "dev", near)
        run("ip", "link", "set", near, "up")
        run("ip", "-n", self.namespace, "link", "set", "lo", "up")
        run("ip", "-n", self.namespace, "addr", "add", f"{self.address}/24", "dev", "eth0")
        run("ip", "-n", self.namespace, "link", "set", "eth0", "up")
        run("ip", "-n", self.namespace, "route", "add", "default", "via", self.gateway)

    def enter(self):
        die_with_parent(signal.SIGKILL)()
        (self.cgroup / "cgroup.procs").write_text(str(os.getpid()))

    def start(self, *agent, environment):
        """nginx, and the agent's command beside it."""
        self.cgroup.mkdir()
        with open(self.directory / "agent.log", "w") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--cgroup",
                 HERE / "demo_host.sh", self.directory, *map(str, agent)], stdout=subprocess.DEVNULL, stderr=log, env=environment,
                preexec_fn=self.enter)
        for _ in range(200):
            if (self.directory / "pid").exists():
                return self
            time.sleep(0.05)
        raise RuntimeError(f"nginx did not start on {self.name}: {(self.directory / 'agent.log').read_text()}")

    def load(self, connections, seconds):
        """wrk from outside, each connection with one request."""
        return subprocess.Popen(
            ["nice", "-n", "5", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", "Accept-Encoding: gzip", "-H", "Connection: close",
             f"http://{self.address}:{PORT}/page.txt"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            preexec_fn=die_with_parent())

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        remove(self.namespace)

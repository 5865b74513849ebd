# SPDX-License-Identifier: Apache-2.0
"""`forerun run` and its companions as a user meets them: output, endpoints, signals, journal, terminal, permissions."""

import fcntl
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest
from forerun_process import BUILD, FORERUN, PATIENCE, ROOT, Forerun, clean_environment, command
from prometheus_client.openmetrics import parser as openmetrics

POLICY = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: karpenter.sh/v1, kind: NodePool, name: web}
  minReplicas: 1
  maxReplicas: 5
  metrics:
    - type: External
      external:
        metric:
          name: forerun_accept_queue_depth
          selector: {matchLabels: {port: "%d", statistic: last, window: 100ms}}
        target: {type: AverageValue, averageValue: "2"}
"""


@pytest.fixture
def run(tmp_path):
    running = []

    def start(*arguments, **options):
        running.append(Forerun(tmp_path / "state", *arguments, **options))
        return running[-1]
    yield start
    for one in running:
        one.kill()


class Queue:
    """A server that does not accept, and clients that wait in its queue."""

    def __init__(self, backlog=64):
        self.server = socket.socket()
        self.server.bind(("127.0.0.1", 0))
        self.server.listen(backlog)
        self.port = self.server.getsockname()[1]
        self.clients = []

    def connect(self, count):
        for _ in range(count):
            self.clients.append(socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in [*self.clients, self.server]:
            one.close()


@pytest.fixture
def waiting():
    with Queue() as server:
        yield server


def configuration(tmp_path, port):
    directory = tmp_path / "conf"
    directory.mkdir()
    for name in ("pool.yaml", "class.yaml"):
        shutil.copy(ROOT / "deploy/examples/standalone" / name, directory)
    (directory / "policy.yaml").write_text(POLICY % port)
    return directory


def wait_until(condition, what):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, f"{what} did not come within {PATIENCE} s"
        time.sleep(0.05)


# ---- what it shows ----


def test_a_queue_is_shown_as_deep_as_it_is(run, waiting):
    forerun = run().started()
    waiting.connect(7)
    listener = forerun.wait_listener(waiting.port, lambda one: one["metrics"]["forerun_accept_queue_depth"]["last"] == 7)
    assert listener["queue_limit"] == 64
    assert listener["counters"]["connections"] == 7
    assert listener["labels"]["address"] == "127.0.0.1"
    assert forerun.stop() == 0


def test_every_endpoint_answers(run, waiting):
    forerun = run().started()
    assert forerun.get("/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
    assert forerun.get("/readyz") == (200, "text/plain; charset=utf-8", "ready\n")
    status, kind, body = forerun.get("/v1/signals")
    assert (status, kind) == (200, "application/json")
    assert str(waiting.port) in [one["labels"]["port"] for one in json.loads(body)["listeners"]]
    assert json.loads(forerun.get("/v1/policies")[2])["policies"] == []
    assert json.loads(forerun.get("/v1/decisions")[2]) == {"decisions": []}
    status, _, body = forerun.get("/v1/decisions/none%22such")
    assert (status, json.loads(body)) == (404, {"error": "no such decision", "id": 'none"such'})
    assert forerun.get("/elsewhere")[0] == 404


def test_promtool_has_no_word_to_say_about_the_metrics(run, waiting, tmp_path):
    forerun = run("--config", configuration(tmp_path, waiting.port)).started()
    waiting.connect(3)
    forerun.wait_listener(waiting.port, lambda one: one["metrics"]["forerun_accept_queue_depth"]["last"] == 3)
    status, kind, body = forerun.get("/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    depth = re.search(rf'^forerun_accept_queue_depth{{address="127.0.0.1",port="{waiting.port}",.*}} (\S+)$', body, re.M)
    assert float(depth[1]) > 0
    assert 'forerun_policy_metric_target{policy="web",metric="forerun_accept_queue_depth",index="0"} 2\n' in body


def test_openmetrics_is_openmetrics_to_its_own_parser(run, waiting, tmp_path):
    forerun = run("--config", configuration(tmp_path, waiting.port)).started()
    status, kind, body = forerun.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert (status, kind) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    families = {family.name: family for family in openmetrics.text_string_to_metric_families(body)}
    assert families["forerun_requests"].type == "counter"
    assert families["forerun_response_time_seconds"].unit == "seconds"
    assert families["process_resident_memory_bytes"].samples[0].value > 1 << 20


def test_a_listener_in_use_is_named(run, waiting):
    forerun = run("--listen", f"127.0.0.1:{waiting.port}")
    assert forerun.process.wait(PATIENCE) == 1
    wait_until(lambda: forerun.log, "the log")
    assert any(f"cannot listen on 127.0.0.1:{waiting.port}: Address already in use" in line for line in forerun.log)


def test_it_stops_by_itself_after_the_duration(tmp_path):
    done = command("run", "--duration", "1s", "--listen", "none", "--state-dir", tmp_path / "state")
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["type"] == "start" and lines[0]["port"] is None
    assert lines[1]["type"] == "status"


# ---- how it ends ----


def links_of(pid):
    """Programs' links that this process holds, by its open files."""
    found = []
    for fd in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        found += re.findall(r"^link_id:\s*(\d+)", fd.read_text(), re.M)
    return set(found)


def all_links():
    listed = subprocess.run(["bpftool", "-j", "link", "show"], capture_output=True, text=True, check=True, timeout=PATIENCE)
    return {str(one["id"]) for one in json.loads(listed.stdout)}


@pytest.mark.parametrize("signo, code", [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_nothing_stays_attached(run, signo, code):
    forerun = run().started()
    links = links_of(forerun.process.pid)
    assert len(links) >= 5 and links <= all_links()
    forerun.process.send_signal(signo)
    assert forerun.process.wait(PATIENCE) == code
    wait_until(lambda: not links & all_links(), "the end of the links")
    if signo != signal.SIGKILL:
        assert not forerun.log[1:] or "stopping on" in forerun.log[-1]


def test_sighup_is_answered_and_survived(run):
    forerun = run().started()
    forerun.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any("SIGHUP: reading the documents again is not supported" in line for line in forerun.log), "the answer")
    assert forerun.get("/healthz")[0] == 200


def test_a_second_one_on_the_same_state_is_refused(run, tmp_path):
    run().started()
    second = run()
    assert second.process.wait(PATIENCE) == 1
    wait_until(lambda: second.log, "the log")
    assert any(f"another forerun uses the state directory {tmp_path}/state: stop it" in line for line in second.log)


def test_it_ends_when_nobody_reads_it_any_more(run):
    reader, writer = os.pipe()
    forerun = run(stdout=writer)
    os.close(writer)
    os.read(reader, 100)
    os.close(reader)
    assert forerun.process.wait(PATIENCE) == 0


def test_a_reader_that_stands_still_does_not_hold_it_up(run, tmp_path):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    port_file = socket.socket()
    port_file.bind(("127.0.0.1", 0))
    port = port_file.getsockname()[1]
    port_file.close()
    forerun = run("--listen", f"127.0.0.1:{port}", stdout=writer)
    os.close(writer)
    forerun.port = port

    def healthy():
        try:
            return forerun.get("/healthz")[0] == 200
        except OSError:
            return False
    wait_until(healthy, "health")
    time.sleep(3)  # several status lines, each larger than the pipe
    assert healthy()
    overruns = re.search(r"^forerun_tick_overruns_total (\d+)$", forerun.get("/metrics")[2], re.M)
    assert int(overruns[1]) < 20
    forerun.process.terminate()
    assert forerun.process.wait(PATIENCE) == 0
    os.close(reader)


@pytest.fixture
def bpffs(tmp_path):
    mounted = tmp_path / "bpffs"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", mounted], check=True, timeout=PATIENCE)
    yield mounted
    for one in sorted((mounted / "pins").rglob("*"), reverse=True):
        one.rmdir() if one.is_dir() else one.unlink()
    subprocess.run(["umount", mounted], check=True, timeout=PATIENCE)


def test_with_pins_a_restart_loses_no_count(run, waiting, bpffs):
    forerun = run("--pin", bpffs / "pins").started()
    waiting.connect(5)
    forerun.wait_listener(waiting.port, lambda one: one["counters"]["connections"] == 5)
    forerun.kill()
    waiting.connect(4)  # nobody is there but the programs in the kernel
    again = run("--pin", bpffs / "pins").started()
    waiting.connect(3)
    again.wait_listener(waiting.port, lambda one: one["counters"]["connections"] == 12)
    assert again.stop() == 0


# ---- systemd ----


def test_systemd_is_told(run, tmp_path):
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    told.settimeout(PATIENCE)
    forerun = run(environment={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"})
    assert told.recv(200).decode() == "READY=1\nSTATUS=observe mode"
    for _ in range(3):
        assert told.recv(200) == b"WATCHDOG=1"
    os.kill(forerun.process.pid, signal.SIGSTOP)  # a process that hangs pats no watchdog
    time.sleep(0.1)
    told.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while True:
            told.recv(200)
    os.kill(forerun.process.pid, signal.SIGCONT)
    told.settimeout(PATIENCE)
    forerun.process.terminate()
    while (message := told.recv(200)) == b"WATCHDOG=1":
        pass
    assert message == b"STOPPING=1"
    assert forerun.process.wait(PATIENCE) == 0


# ---- the terminal ----


class Terminal:
    def __init__(self, tmp_path, *arguments, rows=30, columns=120):
        pid, self.fd = pty.fork()
        if pid == 0:
            try:
                fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execve(FORERUN, ["forerun", "run", "--listen", "none", "--state-dir", str(tmp_path / "state"), *arguments],
                          clean_environment(TERM="xterm"))
            finally:
                os._exit(127)
        self.pid, self.seen = pid, ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, pattern):
        until = time.monotonic() + PATIENCE
        while not re.search(pattern, self.seen, re.S):
            assert time.monotonic() < until, f"{pattern} not in {self.seen[-2000:]!r}"
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    break
        return self.seen

    def end(self):
        """The exit code, after everything was read."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


def test_a_terminal_shows_the_table_and_gets_its_screen_back(tmp_path, waiting):
    # So many rows that every listener of this host has one, whatever else runs there.
    terminal = Terminal(tmp_path, rows=2000)
    terminal.read_until(rf"127\.0\.0\.1:{waiting.port}\s")
    assert terminal.seen.index(ENTER) < terminal.seen.index("LISTENER")
    terminal.read_until("no policies: signals only")
    terminal.resize(10, 40)
    terminal.seen = ""
    terminal.read_until(r"\x1b\[H.*\x1b\[H")
    frame = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.seen.split("\x1b[H")[1]).split("\r\n")
    assert len(frame) <= 10 and max(map(len, frame)) <= 40
    os.write(terminal.fd, b"q")
    assert terminal.end() == 0
    assert LEAVE in terminal.seen


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGSEGV, signal.SIGABRT])
def test_the_screen_comes_back_also_when_it_ends_badly(tmp_path, signo):
    terminal = Terminal(tmp_path)
    before = termios.tcgetattr(terminal.fd)
    terminal.read_until("LISTENER.*LISTENER")
    assert termios.tcgetattr(terminal.fd)[3] & termios.ECHO == 0
    os.kill(terminal.pid, signo)
    assert terminal.end() == (0 if signo == signal.SIGINT else -signo)
    assert terminal.seen.count(LEAVE) == 1
    assert before is not None


# ---- recording, decisions, explain ----


def test_a_policy_is_observed_and_explained_without_aws(run, waiting, tmp_path):
    forerun = run("--config", configuration(tmp_path, waiting.port)).started()
    time.sleep(0.5)
    waiting.connect(9)
    line = forerun.wait_line(lambda line: line["type"] == "decision" and line["decision"]["policy"] == "web")
    identity = line["decision"]["id"]
    assert json.loads(forerun.get(f"/v1/decisions/{identity}")[2])["id"] == identity
    while_running = command("explain", identity, "--state-dir", forerun.state_dir)
    assert (while_running.returncode, while_running.stderr) == (0, "")
    assert identity in while_running.stdout and "forerun_accept_queue_depth" in while_running.stdout
    assert forerun.stop() == 0
    as_json = command("explain", "--last", "--json", "--state-dir", forerun.state_dir)
    assert json.loads(as_json.stdout)["policy"] == "web"


def test_explain_says_what_it_lacks(tmp_path):
    done = command("explain", "--last", "--state-dir", tmp_path)
    assert (done.returncode, done.stderr) == (
        1, f"forerun explain: there is no journal {tmp_path}/journal: give the --state-dir that forerun run has\n")
    (tmp_path / "journal").touch()
    done = command("explain", "--last", "--state-dir", tmp_path)
    assert (done.returncode, done.stderr) == (1, f"forerun explain: no decision in {tmp_path}/journal yet\n")
    done = command("explain", "x-1", "--state-dir", tmp_path)
    assert (done.returncode, done.stderr) == (
        1, f"forerun explain: no decision x-1 in {tmp_path}/journal; --last explains the newest\n")


def test_a_damaged_journal_is_named_and_not_overwritten(run, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state/journal").write_text("00000000 {}\n00000000 {}\n")
    forerun = run()
    assert forerun.process.wait(PATIENCE) == 1
    wait_until(lambda: any("journal" in line for line in forerun.log), "the log")
    assert (tmp_path / "state/journal").read_text() == "00000000 {}\n00000000 {}\n"


def test_a_recording_is_replayed_by_simulate(run, waiting, tmp_path):
    config = configuration(tmp_path, waiting.port)
    forerun = run("--record", tmp_path / "recording").started()
    waiting.connect(9)
    forerun.wait_listener(waiting.port, lambda one: one["metrics"]["forerun_accept_queue_depth"]["last"] == 9)
    assert forerun.stop() == 0
    done = command("simulate", "--config", config, "--replay", tmp_path / "recording", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["type"] == "summary" and summary["samples"] > 3 and summary["decisions"] >= 1


# ---- help, version, doctor ----


def test_every_subcommand_has_help_with_examples():
    for name in ("run", "explain", "plan", "simulate", "doctor", "version"):
        done = command(name, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"usage: forerun {name}")
        assert f"\nexamples:\n  forerun {name}" in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 100


def test_the_manual_lists_the_options_that_there_are():
    listed = command("help", "man-options").stdout
    assert listed.count(".TP\n") > 30
    assert listed in (ROOT / "deploy/forerun.8").read_text()


def test_version_names_what_matters():
    done = command("version")
    assert done.returncode == 0
    for pattern in (r"^forerun \d+\.\d+\.\d+$", r"^libbpf v?\d", rf"^kernel {re.escape(os.uname().release)}", "^BTF yes$",
                    r"^hook .* works$"):
        assert re.search(pattern, done.stdout, re.M), done.stdout


def test_doctor_finds_this_host_well_and_a_powerless_user_not(tmp_path):
    done = command("doctor", "--state-dir", tmp_path)
    assert (done.returncode, "forerun can run here\n" in done.stdout) == (0, True), done.stdout
    shutil.copy(FORERUN, "/var/tmp/forerun-test-doctor")
    try:
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all",
                               "--bounding-set=-all", "/var/tmp/forerun-test-doctor", "doctor", "--state-dir", "/var/tmp"],
                              capture_output=True, text=True, timeout=PATIENCE, env=clean_environment())
    finally:
        os.unlink("/var/tmp/forerun-test-doctor")
    assert done.returncode == 1
    for capability in ("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"):
        assert re.search(rf"^BAD  {capability} +missing", done.stdout, re.M), done.stdout


# ---- permissions, installation ----

CAPABILITIES = "+bpf,+perfmon,+net_admin"


def test_three_capabilities_are_enough_for_an_unprivileged_user(waiting, tmp_path):
    home = pathlib.Path("/var/tmp") / f"forerun-test-{os.getpid()}"
    home.mkdir()
    try:
        shutil.copy(FORERUN, home / "forerun")
        os.chown(home, 65534, 65534)
        line = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps=-all,{CAPABILITIES}",
                f"--ambient-caps=-all,{CAPABILITIES}", f"--bounding-set=-all,{CAPABILITIES}", "--no-new-privs", home / "forerun",
                "run", "--format", "json", "--listen", "none", "--state-dir", home / "state", "--duration", "2s"]
        waiting.connect(5)
        done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, env=clean_environment())
    finally:
        shutil.rmtree(home)
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    depth = [one["metrics"]["forerun_accept_queue_depth"]["last"] for one in last["listeners"]
             if one["labels"]["port"] == str(waiting.port)]
    assert depth == [5]


def test_the_unit_gives_three_capabilities_and_little_exposure():
    unit = ROOT / "deploy/systemd/forerun.service"
    text = unit.read_text()
    for key in ("AmbientCapabilities", "CapabilityBoundingSet"):
        assert re.findall(rf"^{key}=(.*)$", text, re.M) == ["CAP_BPF CAP_PERFMON CAP_NET_ADMIN"]
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=30", unit], capture_output=True, text=True,
                          timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr


def make(target, tmp_path, **environment):
    done = subprocess.run(["make", "-s", "-C", ROOT, f"BUILD={BUILD}", target, *(f"{k}={v}" for k, v in environment.items())],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_is_installed_is_uninstalled_but_for_what_is_the_users(tmp_path):
    make("install", tmp_path, DESTDIR=tmp_path, PREFIX="/opt/x")
    files = {str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*") if one.is_file()}
    assert {"opt/x/bin/forerun", "opt/x/share/man/man8/forerun.8", "opt/x/lib/systemd/system/forerun.service",
            "etc/forerun/forerun.yaml", "opt/x/share/doc/forerun/examples/standalone/policy.yaml"} <= files
    assert "ExecStart=/opt/x/bin/forerun run" in (tmp_path / "opt/x/lib/systemd/system/forerun.service").read_text()
    (tmp_path / "etc/forerun/forerun.yaml").write_text("listen: none\n")
    make("install", tmp_path, DESTDIR=tmp_path, PREFIX="/opt/x")
    assert (tmp_path / "etc/forerun/forerun.yaml").read_text() == "listen: none\n"
    make("uninstall", tmp_path, DESTDIR=tmp_path, PREFIX="/opt/x")
    assert {str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*") if one.is_file()} == {
        "etc/forerun/agent.yaml", "etc/forerun/core.yaml", "etc/forerun/forerun.yaml"}


# In a mount namespace of its own, on an overlay of this system's root: nothing of it stays.
IN_AN_OVERLAY = """
set -e
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o lowerdir=/,upperdir="$1/upper",workdir="$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /sys "$1/root/sys"
mkdir -p "$1/root/tmp"
cp "$2" "$1/root/tmp/forerun.deb"
chroot "$1/root" /bin/sh -e -c '
    dpkg -i /tmp/forerun.deb >/dev/null
    forerun version | head -n 1
    getent passwd forerun | cut -d: -f1,6,7
    dpkg -L forerun | grep -q /man8/forerun.8.gz && echo manual
    systemd-analyze verify --man=no /lib/systemd/system/forerun.service && echo unit
    test ! -e /etc/systemd/system/multi-user.target.wants/forerun.service && echo not enabled
    forerun run --duration 200ms --listen none --format none && echo runs
    dpkg -r forerun >/dev/null
    test ! -e /usr/bin/forerun && echo removed
    test -e /etc/forerun/forerun.yaml && echo configuration kept
    dpkg -P forerun >/dev/null
    test ! -e /etc/forerun/forerun.yaml && test ! -e /var/lib/forerun && echo purged
'
"""


def test_the_debian_package_installs_runs_and_goes(tmp_path):
    package = make("deb", tmp_path).strip().splitlines()[-1]
    done = subprocess.run(["unshare", "--mount", "sh", "-c", IN_AN_OVERLAY, "sh", tmp_path, package], capture_output=True, text=True,
                          timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.sub(r"\d+\.\d+\.\d+", "VERSION", done.stdout) == (
        "forerun VERSION\nforerun:/var/lib/forerun:/usr/sbin/nologin\nmanual\nunit\nnot enabled\nruns\nremoved\nconfiguration kept\n"
        "purged\n"), done.stderr


def test_lintian_has_nothing_against_the_package(tmp_path):
    package = make("deb", tmp_path).strip().splitlines()[-1]
    done = subprocess.run(["lintian", "--fail-on", "error,warning", package], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr

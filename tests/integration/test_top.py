# SPDX-License-Identifier: Apache-2.0
"""`forerun top` in a real terminal (tmux): what it shows at 80x24, its keys, another size, and what it leaves behind."""

import http.server
import os
import subprocess
import threading
import time

import pytest
from forerun_process import FORERUN, PATIENCE, Forerun, command


class Terminal:
    """A tmux server of its own with one window that runs a shell line."""

    def __init__(self, socket, line, width=80, height=24):
        self.socket = socket
        self.tmux("-f", "/dev/null", "new-session", "-d", "-s", "t", "-x", str(width), "-y", str(height),
                  f"{line}; echo ended with $?; stty -a | grep -o -- '-\\?icanon'; exec sleep 1000")

    def tmux(self, *arguments):
        environment = {**os.environ, "LANG": "C.UTF-8"}
        return subprocess.run(["tmux", "-S", self.socket, *arguments], capture_output=True, text=True, timeout=PATIENCE,
                              env=environment, check=True).stdout

    def page(self):
        return self.tmux("capture-pane", "-t", "t", "-p")

    def wait(self, *texts):
        until = time.monotonic() + PATIENCE
        while True:
            page = self.page()
            if all(text in page for text in texts):
                return page
            assert time.monotonic() < until, f"{texts} not on:\n{page}"
            time.sleep(0.1)

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True, check=False)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def web():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_top_in_a_terminal(tmp_path, web):
    with Forerun(tmp_path / "state").started() as forerun:
        forerun.wait_listener(web, lambda one: True)
        terminal = Terminal(str(tmp_path / "tmux"), f"{FORERUN} top --url http://127.0.0.1:{forerun.port} --refresh 200ms")
        try:
            address = f"127.0.0.1:{web}"
            terminal.wait("LISTENER", "REQ/Sv", address, "q quit")
            for _ in range(20):
                subprocess.run(["curl", "-s", "-o", os.devnull, f"http://{address}/"], timeout=PATIENCE, check=True)
            terminal.tmux("send-keys", "-t", "t", "/", *f"{web}", "Enter")
            page = terminal.wait(f"filter: {web}  (1 shown)")
            assert f"  127.0.0.1:{forerun.port}" not in page.split("LISTENER")[1]
            terminal.tmux("send-keys", "-t", "t", "Enter")
            page = terminal.wait("response times since its counters began, 20 responses")
            assert all(len(line) <= 80 for line in page.splitlines())
            terminal.tmux("resize-window", "-t", "t", "-x", "140", "-y", "50")
            page = terminal.wait("CONN/S", "DROP/S", "port=", "accept_queue_wait_seconds")
            assert len(page.splitlines()) == 50
            terminal.tmux("send-keys", "-t", "t", "q")
            # The shell's own screen is back, and its terminal reads whole lines again.
            page = terminal.wait("ended with 0")
            assert "LISTENER" not in page and "-icanon" not in page
        finally:
            terminal.close()
        assert forerun.stop() == 0


def test_top_says_that_nothing_answers(tmp_path):
    terminal = Terminal(str(tmp_path / "tmux"), f"{FORERUN} top --url http://127.0.0.1:9 --refresh 200ms")
    try:
        terminal.wait("! could not connect to 127.0.0.1:9: connection refused (is forerun running?)")
        terminal.tmux("send-keys", "-t", "t", "q")
        terminal.wait("ended with 0")
    finally:
        terminal.close()


def test_top_without_a_terminal_says_what_to_do_instead():
    done = command("top")
    assert done.returncode == 2
    assert done.stderr == "forerun top: needs a terminal; http://127.0.0.1:9910/v1/signals has the same as JSON\n"


def test_top_with_an_unknown_terminal_names_it(tmp_path):
    terminal = Terminal(str(tmp_path / "tmux"), f"TERM=no-such-terminal {FORERUN} top")
    try:
        terminal.wait('forerun top: the terminal "no-such-terminal" (TERM) is not known here', "ended with 2")
    finally:
        terminal.close()


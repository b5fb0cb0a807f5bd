# SPDX-License-Identifier: MIT
"""A nats-server of the tests' own, and a foreign client at its other end: the npm package `nats` under node.

The server is Debian's; it listens on a drawn port of 127.0.0.1, lies in one temporary directory and is ended by the
pid that we hold.
"""
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import harness

SERVER = "/usr/sbin/nats-server"
LAB = harness.TESTS / "lab" / "nats"
START_S, STOP_S = 10, 5


def greets(port):
    """Whether a server's INFO comes."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            s.settimeout(1)
            return s.recv(5) == b"INFO "
    except OSError:
        return False


def packages():
    """The directory that has the npm packages, which are installed if need be."""
    done = subprocess.run([str(LAB / "setup.sh")], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def credentials():
    """A fresh operator, account and user: {"server": text for NatsServer, "creds": the user's file}."""
    done = subprocess.run(["node", str(LAB / "credentials.mjs"), packages()], capture_output=True, text=True,
                          timeout=20, check=True)
    return json.loads(done.stdout)


class NatsServer:
    """more: text of its configuration file beyond host and port; @DIR@ is its directory."""

    def __init__(self, more=""):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="vn", dir="/tmp"))
        self.port = harness.free_port()
        self.more = more
        self.process = None

    def url(self, login="", scheme="nats"):
        return f"{scheme}://{login + '@' if login else ''}127.0.0.1:{self.port}"

    def start(self):
        config = self.dir / "nats.conf"
        config.write_text(f"host: 127.0.0.1\nport: {self.port}\n{self.more.replace('@DIR@', str(self.dir))}\n")
        with open(self.dir / "output", "ab") as out:
            self.process = subprocess.Popen([SERVER, "-c", str(config)], cwd=self.dir, stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=subprocess.STDOUT)
        harness.wait_until(lambda: self.process.poll() is not None or greets(self.port), START_S,
                           "nats-server does not answer")
        assert self.process.poll() is None, self.output()
        return self

    def output(self):
        return (self.dir / "output").read_text(errors="replace")

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        """As in a crash."""
        self.process.kill()
        self.process.wait()

    def clean(self):
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def number(d, name):
    """A number of the NATS port `main` in /metrics."""
    hits = [v for k, v in d.metrics().items() if k.startswith("voxbus_nats_" + name) and 'port="main"' in k]
    assert len(hits) == 1, (name, [k for k in d.metrics() if "port" in k])
    return hits[0]


class NatsClient:
    """tests/lab/nats/client.mjs: what it is told to do is in its head; options are those of the package's connect."""

    def __init__(self, port, **options):
        options = {"servers": f"127.0.0.1:{port}", **options}
        self.process = subprocess.Popen(["node", str(LAB / "client.mjs"), packages(), json.dumps(options)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.messages = []  # all, as they came
        self.errors = []
        self._taken = {}
        self._done = 0
        self._told = 0
        self._news = threading.Condition()
        self._ready = False
        threading.Thread(target=self._read, daemon=True).start()
        self._wait(lambda: self._ready, 10, "the client does not connect")

    def _read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            with self._news:
                if said.get("op") == "ready":
                    self._ready = True
                elif said.get("op") == "done":
                    self._done += 1
                elif said.get("op") == "error":
                    self.errors.append(said["text"])
                else:
                    self.messages.append(said)
                self._news.notify_all()

    def _wait(self, question, timeout, what):
        deadline = time.monotonic() + timeout
        with self._news:
            while not question():
                left = deadline - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and left < timeout - 1):
                    raise TimeoutError(f"{what} (waited {timeout} s); heard {[m['subject'] for m in self.messages]}")
                self._news.wait(min(left, 0.2))

    def tell(self, op, **order):
        """Carried out and flushed when this returns, but for `pub`."""
        self._told += 1
        self.process.stdin.write(json.dumps({"op": op, **order}) + "\n")
        self.process.stdin.flush()
        self._wait(lambda: self._done >= self._told, 10, f"{op} is not done")

    def of(self, subject):
        """The payloads of that subject so far."""
        with self._news:
            return [m["data"] for m in self.messages if m["subject"] == subject]

    def wait(self, subject, count=1, timeout=10):
        """The first `count` payloads of that subject, once they are there."""
        self._wait(lambda: sum(m["subject"] == subject for m in self.messages) >= count, timeout,
                   f"no {count} messages on {subject}")
        return self.of(subject)[:count]

    def next(self, subject, timeout=10):
        """The payload after the last one that this returned, read as JSON."""
        n = self._taken[subject] = self._taken.get(subject, 0) + 1
        return json.loads(self.wait(subject, n, timeout)[-1])

    def event(self, dialog, kind, timeout=10):
        """The next event of that type in the dialog: its envelope."""
        deadline = time.monotonic() + timeout
        while True:
            envelope = self.next(f"events_{dialog}", max(0.01, deadline - time.monotonic()))
            if envelope["type"] == kind:
                return envelope

    def command(self, dialog, method, url, body="", unique_id="", timeout=10):
        """Sends one and waits for the next response of the dialog."""
        self.tell("pub", subject=f"commands_{dialog}",
                  data=json.dumps({"unique_id": unique_id, "url": url, "method": method, "body": body}))
        return self.next(f"responses_{dialog}", timeout)

    def clean(self):
        try:
            self.process.stdin.close()
            self.process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

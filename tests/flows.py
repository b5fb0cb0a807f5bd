# SPDX-License-Identifier: MIT
"""What the tests of PubSub's flows stand on: the shell scripts of examples/ and simulated calls, around one
daemon. conftest.py makes the fixture `flows` of it; tests/peers/cpaas_call.py is the platform.
"""
import http.client
import os
import signal
import subprocess
import threading

import harness
from cpaas_call import Call
from cpaas_http import Webhook
from harness import SID, TOKEN, wait_until

EXAMPLES = harness.ROOT / "examples"
# Times that a test would wait for in vain are short.
CONFIG = {"buses": [{"type": "longpoll", "name": "http", "account": SID, "poll_timeout": "1s", "park": "3s"}]}
SPEED = 50
FORM = "application/x-www-form-urlencoded"


class Script:
    """A shell script that runs beside the test; `result()` waits for its end."""

    def __init__(self, daemon, name):
        env = harness.child_env({"VOXBUS_URL": daemon.url, "VOXBUS_SID": SID, "VOXBUS_TOKEN": TOKEN})
        self.lines = []
        self.process = subprocess.Popen([str(EXAMPLES / name)], env=env, stdin=subprocess.DEVNULL, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_line(self, text, timeout=10):
        return wait_until(lambda: next((line for line in list(self.lines) if text in line), None), timeout,
                          f"the script didn't say {text!r}: {self.lines}")

    def result(self, timeout=20):
        """Its exit status; what it said is in `lines`."""
        status = self.process.wait(timeout)
        self.reader.join(5)
        return status

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)  # a group of its own: the shell and its curl
            self.process.wait()
        self.process.stdout.close()


class Flows:
    """A daemon, its pollers, scripts and calls."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.pubsub = daemon.pubsub()
        self.calls, self.scripts = [], []

    def script(self, name):
        self.scripts.append(Script(self.daemon, name))
        return self.scripts[-1]

    def call(self, path="call.xml", base=None, **options):
        webhook = Webhook(**{k: options.pop(k) for k in ("token", "timeout", "retries", "retry_delay", "via") if k in options})
        call = Call(webhook, f"{base or self.daemon.url}/{SID}/{path}", SID, speed=SPEED, hang_up_after=45, **options)
        self.calls.append(call)
        return call.start()

    def poll(self, queue="call.xml", timeout=5, **query):
        return self.pubsub.poll(queue, timeout=timeout, **query)

    def answer(self, call, *verbs, path="call.xml"):
        """Posts a document for a call, as `curl -d` does: no credentials, no content type of its own."""
        return self.pubsub.post(f"{path}/{call if isinstance(call, str) else call.sid}",
                                f"<Response>{''.join(verbs)}</Response>", FORM, session=False)

    def wait_event(self, call, queue="call.xml"):
        """Polls until that call's event comes, and is the only one."""
        messages = self.poll(queue, timeout=10)
        assert [m["FormParams"]["CallSid"] for m in messages] == [call.sid], messages
        return messages[0]

    def post_held(self, body, answers, headers=None, timeout="3s"):
        """A platform's request in a thread of its own, which is returned; its answer comes into `answers`."""
        def run():
            connection = http.client.HTTPConnection("127.0.0.1", self.daemon.http_port, timeout=30)
            answers.append(harness.http_request(connection, "POST", f"/{SID}/call.xml?timeout={timeout}", body,
                                                {"Content-Type": FORM, **(headers or {})}))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def hear(self, call, text, timeout=5):
        wait_until(lambda: text in call.heard, timeout, f"{text!r} was not heard: {call.heard} {call.asked}")

    def end(self):
        for call in self.calls:
            call.hang_up()
        for script in self.scripts:
            script.end()
        for call in self.calls:
            call.join(10)

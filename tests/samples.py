# SPDX-License-Identifier: MIT
"""The samples of examples/ as processes of a test: one program, several at a time, and what they print."""
import os
import re
import subprocess

from harness import ROOT, wait_until
from nats_server import packages


EVENT = re.compile(r"^([0-9a-f]{8}-[-0-9a-f]{27}) (\d+) ([A-Z]\w+)$", re.M)


class Sample:
    """argv is started `count` times; each says that it waits for calls, then a line `<dialog> <seq> <type>` an event."""

    def __init__(self, argv, env, directory, count=2, cwd=None):
        self.logs = [directory / f"sample{i}.log" for i in range(count)]
        self.processes = []
        for log in self.logs:
            with open(log, "wb") as out:
                self.processes.append(subprocess.Popen(argv, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
                                                       stdout=out, stderr=subprocess.STDOUT, cwd=cwd))
        wait_until(lambda: all("waiting for calls" in t for t in self.texts()), 20, "a sample does not start")

    def texts(self):
        return [log.read_text() for log in self.logs]

    def calls(self):
        """{dialog: [types, by their numbers]}; what came twice, also to two of them, counts once."""
        calls = {}
        for text in self.texts():
            newest = {}
            for dialog, seq, kind in EVENT.findall(text):
                seq, had = int(seq), calls.setdefault(dialog, {})
                if seq not in had:
                    assert newest.get(dialog, 0) < seq, f"{dialog}: {seq} came behind {newest[dialog]}"
                    had[seq] = kind
                assert had[seq] == kind, f"{dialog}: two events are {seq}"
                newest[dialog] = max(seq, newest.get(dialog, 0))
        return {dialog: [events[seq] for seq in sorted(events)] for dialog, events in calls.items()}

    def ended(self):
        """How many calls have their end."""
        return sum(c[-1] == "StasisEnd" for c in self.calls().values())

    def close(self):
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            p.wait(10)


def amqp_sample(url, directory, **options):
    return Sample(["/usr/bin/python3", str(ROOT / "examples" / "hello-amqp.py")], {"AMQP_URL": url}, directory, **options)


def nats_sample(url, directory, **options):
    return Sample(["node", str(ROOT / "examples" / "hello-nats.mjs")], {"NATS_URL": url}, directory, cwd=packages(),
                  **options)

# SPDX-License-Identifier: MIT
"""The samples for RabbitMQ and NATS answer real SIP calls with RTP through a real Asterisk; nothing is left behind."""
import os
import subprocess

import pytest

from harness import ROOT, applications, wait_until
from nats_server import packages

CALLS = 20


class Sample:
    """A program of examples/, several at a time, and what they printed."""

    def __init__(self, argv, env, tmp_path, count=2, cwd=None):
        self.logs = [tmp_path / f"sample{i}.log" for i in range(count)]
        self.processes = []
        for log in self.logs:
            with open(log, "wb") as out:
                self.processes.append(subprocess.Popen(argv, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
                                                       stdout=out, stderr=subprocess.STDOUT, cwd=cwd))
        wait_until(lambda: all("waiting for calls" in t for t in self.texts()), 20, "a sample does not start")

    def texts(self):
        return [log.read_text() for log in self.logs]

    def calls(self):
        """{dialog: [types, as they came]}"""
        calls = {}
        for text in self.texts():
            for line in text.splitlines()[1:]:
                dialog, what = line.split(" ", 1)
                calls.setdefault(dialog, []).append(what)
        return calls

    def end(self):
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            p.wait(10)


@pytest.fixture
def samples(tmp_path):
    started = []

    def start(argv, env, **options):
        started.append(Sample(argv, env, tmp_path, **options))
        return started[-1]

    yield start
    for sample in started:
        sample.end()


def answered(sample, asterisk, sipp):
    """Calls, five at a time; each is answered by one of the samples, from its first event to its last."""
    calls = sipp("7000", count=CALLS, hangup="callee", parallel=5, rate=20, limit=50)
    assert calls.result() == (CALLS, 0), calls.said
    wait_until(lambda: not asterisk.channels(), 5, "a channel is left")
    wait_until(lambda: sum(c[-1] == "StasisEnd" for c in sample.calls().values()) == CALLS, 10, "a call has no end")
    for dialog, said in sample.calls().items():
        assert said[0] == "StasisStart" and "PlaybackFinished" in said, (dialog, said)
    served = [text.count("StasisStart") for text in sample.texts()]
    assert sum(served) == CALLS and all(served), f"the calls were not shared: {served}"


def test_the_sample_for_rabbitmq_answers_calls(daemon, asterisk, sipp, rabbitmq, samples):
    d = daemon({"engines": [asterisk.engine("hello")],
                "buses": [{"type": "amqp", "name": "rabbit", "url": rabbitmq.url(), "queue_grace": "1s"}],
                "dialogs": {"linger": "1s"}, "applications": applications("hello", bus="rabbit")})
    d.wait_ready(20)
    sample = samples(["/usr/bin/python3", str(ROOT / "examples" / "hello-amqp.py")], {"AMQP_URL": rabbitmq.url()})
    answered(sample, asterisk, sipp)

    def left():
        return [q for q in rabbitmq.ctl("list_queues", "name").split() if q.partition("_")[2] in sample.calls()]

    wait_until(lambda: not left(), 20, "queues of calls are left on the broker")


def test_the_sample_for_nats_answers_calls(daemon, asterisk, sipp, nats_server, samples):
    d = daemon({"engines": [asterisk.engine("hello")],
                "buses": [{"type": "nats", "name": "main", "url": nats_server.url()}],
                "dialogs": {"linger": "1s"}, "applications": applications("hello", bus="main")})
    d.wait_ready(20)
    sample = samples(["node", str(ROOT / "examples" / "hello-nats.mjs")], {"NATS_URL": nats_server.url()},
                     cwd=packages())
    answered(sample, asterisk, sipp)
    labels = '{port="main",type="nats"}'
    wait_until(lambda: d.metrics()["voxbus_nats_topics" + labels] <= 1, 10, "topics of calls are left")
    assert d.metrics()["voxbus_nats_lost_total" + labels] == 0

# SPDX-License-Identifier: MIT
"""The samples for RabbitMQ and NATS answer real SIP calls with RTP through a real Asterisk; nothing is left behind."""
import pytest

from harness import applications, wait_until
from samples import amqp_sample, nats_sample

CALLS = 20


@pytest.fixture
def samples(tmp_path):
    started = []

    def start(make, url):
        started.append(make(url, tmp_path))
        return started[-1]

    yield start
    for sample in started:
        sample.close()


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
    sample = samples(amqp_sample, rabbitmq.url())
    answered(sample, asterisk, sipp)

    def left():
        return [q for q in rabbitmq.ctl("list_queues", "name").split() if q.partition("_")[2] in sample.calls()]

    wait_until(lambda: not left(), 20, "queues of calls are left on the broker")


def test_the_sample_for_nats_answers_calls(daemon, asterisk, sipp, nats_server, samples):
    d = daemon({"engines": [asterisk.engine("hello")],
                "buses": [{"type": "nats", "name": "main", "url": nats_server.url()}],
                "dialogs": {"linger": "1s"}, "applications": applications("hello", bus="main")})
    d.wait_ready(20)
    sample = samples(nats_sample, nats_server.url())
    answered(sample, asterisk, sipp)
    labels = '{port="main",type="nats"}'
    wait_until(lambda: d.metrics()["voxbus_nats_topics" + labels] <= 1, 10, "topics of calls are left")
    assert d.metrics()["voxbus_nats_lost_total" + labels] == 0

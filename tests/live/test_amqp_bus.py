# SPDX-License-Identifier: MIT
"""The AMQP bus at a real RabbitMQ, with pika as the application: what go-ari-proxy's clients see, and what they don't lose."""
import json
import re
import signal
import time

import pika
import pytest

from amqp_app import AmqpApp, bus
from ari_peer import channel, event, stasis_end, stasis_start
from harness import applications, ari_engine, wait_until

QUEUES = ("events", "responses", "commands")


@pytest.fixture
def start(daemon, ari_peer, rabbitmq):
    """start(**keys of the bus) -> daemon, with a scripted Asterisk behind and a RabbitMQ before it."""
    def begin(**more):
        d = daemon({"engines": [ari_engine(ari_peer.url, "hello")], "buses": [bus(rabbitmq.url(), **more)],
                    "applications": applications("hello", bus="rabbit")})
        d.wait_ready(20)
        ari_peer.wait_session("hello")
        return d
    return begin


@pytest.fixture
def app(rabbitmq):
    a = AmqpApp(rabbitmq.url(), "hello")
    yield a
    a.close()


def test_a_call_is_what_go_ari_proxys_clients_expect(start, app, ari_peer):
    d = start()
    session = ari_peer.wait_session("hello")
    frame = '{"type":"StasisStart","args":["<&>"],"channel":{"id":"c1","x":"\u2028\\u00e4"},"application":"hello"}'
    session.send(frame)
    call = app.wait_call()
    assert call.raw_start.decode() == f'{{"application":"hello","dialog_id":"{call.id}","server_id":"test","seq":1}}'
    call.wait_event("StasisStart")
    body, properties, method = call.raw[0]
    go = json.dumps(frame, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    go = go.replace("\u2028", "\\u2028")
    stamp = json.loads(body)["timestamp"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", stamp)
    assert body.decode() == (f'{{"server_id":"test","timestamp":"{stamp}","type":"StasisStart","ari_body":{go},'
                             f'"dialog_id":"{call.id}","application":"hello","seq":1}}')
    assert (method.exchange, method.routing_key, method.redelivered) == ("", f"events_{call.id}", False)
    assert vars(properties) == vars(pika.BasicProperties("application/json", headers={}, delivery_mode=1, priority=0))
    assert call.command("POST", "/channels/c1/answer")["status_code"] == 204
    assert ari_peer.wait_request("POST", "/channels/c1/answer").body == b"{}"
    # The DUMMY had no response; a command's keys are matched without case.
    app.publish(call.queue("commands"), '{"UNIQUE_ID":"","Url":"/channels/c1/ring","METHOD":"POST","body":""}')
    app.until(lambda: len(call.responses) == 2)
    assert [r["unique_id"] for r in call.responses][1] == ""
    metrics = d.metrics()
    assert metrics['voxbus_amqp_dummies_total{port="rabbit",type="amqp"}'] == 1

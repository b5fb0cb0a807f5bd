# SPDX-License-Identifier: MIT
"""The codec of AMQP at a real RabbitMQ, with pika on the other side: what one writes the other reads."""
import datetime
import subprocess

import pika
import pytest

import harness

CLIENT = harness.BUILD / "tests" / "live" / "amqp-client"
QUEUE = "voxbus.codec"


@pytest.fixture
def channel(rabbitmq):
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq.url() + "%2f"))
    channel = connection.channel()
    channel.queue_delete(QUEUE)
    yield channel
    connection.close()


def client(url, *args, status=0):
    done = subprocess.run([str(CLIENT), url, *map(str, args)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_what_it_publishes_is_confirmed_and_arrives_as_it_was(rabbitmq, channel):
    assert client(rabbitmq.url(), "send", QUEUE, 50, 9000) == ["open frame_max=4096", "confirmed 50", "closed"]
    # The same flags, or RabbitMQ closes the channel with 406.
    assert channel.queue_declare(QUEUE, durable=True).method.message_count == 50
    got, properties, body = channel.basic_get(QUEUE, auto_ack=True)
    assert (got.exchange, got.routing_key, body) == ("voxbus.test", "calls.one", b"x" * 9000)
    assert properties.headers == {"s": "text", "i": -5, "l": 1 << 40, "b": True,
                                  "t": datetime.datetime.utcfromtimestamp(1700000000)}
    assert vars(properties) | {"headers": None} == {
        "content_type": "application/json", "content_encoding": "utf-8", "headers": None, "delivery_mode": 2,
        "priority": 3, "correlation_id": "corr", "reply_to": "back", "expiration": "60000", "message_id": "id-1",
        "timestamp": 1700000001, "type": "event", "user_id": "guest", "app_id": "voxbus", "cluster_id": None}


def test_it_reads_what_pika_publishes_and_what_it_acknowledges_is_gone(rabbitmq, channel):
    channel.queue_declare(QUEUE, durable=True)
    headers = {"s": "text", "i": 1, "l": 1 << 40, "b": True, "n": None, "a": [1, "x", {"k": 2}],
               "d": {"x": {"y": b"\0"}}, "t": datetime.datetime(2026, 1, 1)}
    sizes = [0, 1, 4087, 4088, 4089, 8176, 8177, 200000] * 3
    for size in sizes:
        channel.basic_publish("", QUEUE, b"\1" * size, pika.BasicProperties(content_type="text/plain", headers=headers))
    lines = client(rabbitmq.url(), "receive", QUEUE, len(sizes) - 1)
    names = "s:S,i:I,l:l,b:t,n:V,a:A,d:F,t:T,"
    for line, size in zip(lines[1:], sizes[:-1]):
        kinds = line.rpartition("headers=")[2]
        assert line == f"message key={QUEUE} type=text/plain size={size} sum={size} headers={kinds}"
        # pika writes small integers as b, s, I or l, and bytes as x or S, by its version.
        assert [k[0] for k in kinds.split(",")[:-1]] == [k[0] for k in names.split(",")[:-1]]
    assert (len(lines), lines[-1]) == (len(sizes) + 1, "closed")
    assert harness.wait_until(lambda: channel.queue_declare(QUEUE, durable=True).method.message_count, 10) == 1


def test_a_mandatory_message_that_nobody_takes_comes_back(rabbitmq):
    assert "returned 312 NO_ROUTE body=lost" in client(rabbitmq.url(), "return", "nowhere")


def test_an_error_closes_the_channel_and_not_the_connection(rabbitmq):
    lines = client(rabbitmq.url(), "missing", "nothing")
    assert lines[1:] == ["channel closed 404 for queue.declare", "closed"]


def test_a_wrong_password_is_answered_by_a_close(rabbitmq):
    assert client(rabbitmq.url("wrong"), "missing", "x", status=1)[0].startswith("closed 403 ACCESS_REFUSED")

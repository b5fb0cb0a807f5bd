# SPDX-License-Identifier: MIT
"""An application at a RabbitMQ, as go-ari-library would be one: pika, one connection, used by the test's own thread.

    app = AmqpApp(rabbitmq.url(), "hello")      # declares and consumes the application's queue
    call = app.wait_call()                      # the next AppStart: writes DUMMY, then consumes events_ and responses_
    call.wait_event("StasisStart"); call.command("POST", "/channels/c1/answer")
    call.events; call.responses                 # the envelopes so far, as dicts
    app.counts("events_...")                    # (messages, consumers), or None if there is no such queue
    app.close()
"""
import json
import ssl
import time
import urllib.parse
import uuid

import pika

JSON = pika.BasicProperties(content_type="application/json", headers={}, delivery_mode=1)


def parameters(url):
    """Of a url without a virtual host: the one called /."""
    return pika.URLParameters(url.rstrip("/") + "/%2f")


def tls_parameters(port, context, **more):
    return pika.ConnectionParameters("127.0.0.1", port, ssl_options=pika.SSLOptions(context, "localhost"), **more)


class AmqpApp:
    def __init__(self, url, *applications, listen=True):
        self.url = url
        self.applications = applications
        self.calls = {}
        self.starts = []
        self._taken = 0
        self.connection = self.channel = None
        if listen:
            self.connect()

    def connect(self):
        self.connection = pika.BlockingConnection(parameters(self.url) if isinstance(self.url, str) else self.url)
        self.channel = self.connection.channel()
        for name in self.applications:
            self.channel.queue_declare(name, durable=True)
            self.channel.basic_consume(name, self._started)
        for call in self.calls.values():
            call.attach()

    def close(self):
        if self.connection and self.connection.is_open:
            self.connection.close()

    def pump(self, seconds=0.05):
        self.connection.process_data_events(seconds)

    def until(self, question, timeout=20, what="it did not come true"):
        deadline = time.monotonic() + timeout
        while True:
            answer = question()
            if answer:
                return answer
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} (waited {timeout} s)")
            self.pump()

    def _started(self, channel, method, properties, body):
        start = json.loads(body)
        channel.basic_ack(method.delivery_tag)
        if start["dialog_id"] in self.calls:
            return
        call = Call(self, start, body, properties)
        self.calls[call.id] = call
        self.starts.append(call)
        call.attach()

    def wait_call(self, timeout=20):
        self.until(lambda: len(self.starts) > self._taken, timeout, "no call is announced")
        self._taken += 1
        return self.starts[self._taken - 1]

    def publish(self, queue, body, properties=JSON):
        self.channel.basic_publish("", queue, body, properties)

    def counts(self, queue):
        """On a channel of its own, since asking for a queue that is not there closes it."""
        channel = self.connection.channel()
        try:
            method = channel.queue_declare(queue, passive=True).method
            channel.close()
            return method.message_count, method.consumer_count
        except pika.exceptions.ChannelClosedByBroker as e:
            assert e.reply_code == 404, e
            return None


class Call:
    def __init__(self, app, start, raw, properties):
        self.app = app
        self.start = start
        self.raw_start = raw
        self.start_properties = properties
        self.id = start["dialog_id"]
        self.events, self.responses, self.raw = [], [], []
        self._next = 0
        self._consumers = []

    def queue(self, kind):
        return f"{kind}_{self.id}"

    def attach(self):
        channel = self.app.channel
        for kind in ("commands", "events", "responses"):
            channel.queue_declare(self.queue(kind), durable=True)
        self.app.publish(self.queue("commands"), "DUMMY")
        self._consumers = [channel.basic_consume(self.queue("events"), self._event),
                           channel.basic_consume(self.queue("responses"), self._response)]

    def detach(self):
        for tag in self._consumers:
            self.app.channel.basic_cancel(tag)

    def _event(self, channel, method, properties, body):
        self.raw.append((body, properties, method))
        self.events.append(json.loads(body))
        channel.basic_ack(method.delivery_tag)

    def _response(self, channel, method, properties, body):
        self.responses.append(json.loads(body))
        channel.basic_ack(method.delivery_tag)

    def wait_event(self, kind, timeout=20):
        def found():
            while self._next < len(self.events):
                envelope = self.events[self._next]
                self._next += 1
                if envelope["type"] == kind:
                    return json.loads(envelope["ari_body"])
            return None
        return self.app.until(found, timeout, f"no {kind} in {self.id}; seen {[e['type'] for e in self.events]}")

    def send(self, method, url, body=None, unique_id=None):
        unique_id = uuid.uuid4().hex if unique_id is None else unique_id
        text = json.dumps({"unique_id": unique_id, "url": url, "method": method, "body": json.dumps(body or {})})
        self.app.publish(self.queue("commands"), text)
        return unique_id

    def response(self, unique_id, timeout=20):
        return self.app.until(lambda: next((r for r in self.responses if r["unique_id"] == unique_id), None), timeout,
                              f"no response to {unique_id}")

    def command(self, method, url, body=None, timeout=20):
        return self.response(self.send(method, url, body), timeout)


def bus(url, name="rabbit", **more):
    """An entry of `buses`."""
    return {"type": "amqp", "name": name, "url": url, **more}


def split(url):
    """(host, port) of a url."""
    parts = urllib.parse.urlsplit(url)
    return parts.hostname, parts.port


def client_context(pki, pair=None):
    context = pki.client_context(pair)
    context.verify_mode = ssl.CERT_REQUIRED
    return context

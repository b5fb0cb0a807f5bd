#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""hello over RabbitMQ: answers every call of an application, plays a sound, hangs up. Debian: python3-pika.

    AMQP_URL            amqp://guest:guest@127.0.0.1:5672/
    VOXBUS_APPLICATION  hello
    VOXBUS_SOUND        sound:hello-world

Start it as often as you like: each call goes to one of them. It does what an application of go-ari-proxy does,
with the same queues: the flags must be these, or RabbitMQ refuses the second who declares them.

When the broker goes away it comes back to its calls: what voxbus has not heard or said meanwhile waits in the queues, and
commands without an answer are sent again, with their unique_id: `deduplicate: always` does those once that were done.
"""
import json
import os
import time
import uuid

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
APPLICATION = os.environ.get("VOXBUS_APPLICATION", "hello")
SOUND = os.environ.get("VOXBUS_SOUND", "sound:hello-world")


class Call:
    """One call: a dialog_id and its three queues."""

    open = {}  # by dialog_id

    def __init__(self, channel, dialog):
        self.dialog, self.seen, self.ended = dialog, 0, False
        self.unanswered = {}
        self.open[dialog] = self
        self.attach(channel)

    def attach(self, channel):
        """At first, and again after each loss of the connection."""
        self.channel = channel
        publish(channel, f"commands_{self.dialog}", "DUMMY")  # we are here: what go-ari-library says first
        self.consumers = [consume(channel, f"events_{self.dialog}", self.on_event),
                          consume(channel, f"responses_{self.dialog}", self.on_response)]
        for text in self.unanswered.values():
            publish(channel, f"commands_{self.dialog}", text)

    def command(self, method, url, **parameters):
        command = {"unique_id": str(uuid.uuid4()), "url": url, "method": method, "body": json.dumps(parameters)}
        self.unanswered[command["unique_id"]] = json.dumps(command)
        publish(self.channel, f"commands_{self.dialog}", self.unanswered[command["unique_id"]])

    def on_event(self, message):
        if message["seq"] <= self.seen:  # again, after a lost connection: the number says so
            return
        self.handle(message["type"], json.loads(message["ari_body"]))
        self.seen = message["seq"]  # now: if the connection broke in between it comes again
        print(self.dialog, message["seq"], message["type"], flush=True)
        self.leave()

    def handle(self, kind, event):
        if kind == "StasisStart":
            url = f"/channels/{event['channel']['id']}"
            self.command("POST", f"{url}/answer")
            self.command("POST", f"{url}/play", media=SOUND)
        elif kind == "PlaybackFinished":
            self.command("DELETE", f"/channels/{event['playback']['target_uri'].removeprefix('channel:')}")
        elif kind == "StasisEnd":
            self.ended = True

    def on_response(self, message):
        self.unanswered.pop(message["unique_id"], None)
        if message["status_code"] >= 400:
            print(self.dialog, message["status_code"], message["response_body"], flush=True)
        self.leave()

    def leave(self):
        """A queue that we leave with something in it stays for an hour."""
        if self.ended and not self.unanswered:
            self.open.pop(self.dialog, None)
            for consumer in self.consumers:
                self.channel.basic_cancel(consumer)
            self.consumers = []


def publish(channel, queue, text):
    channel.basic_publish("", queue, text, pika.BasicProperties("application/json", delivery_mode=2))


def consume(channel, queue, handle):
    def on_message(_, method, __, body):
        handle(json.loads(body))
        channel.basic_ack(method.delivery_tag)

    channel.queue_declare(queue, durable=True)
    return channel.basic_consume(queue, on_message)


def on_start(channel, start):
    if start["dialog_id"] not in Call.open:  # else it comes again, after a lost connection
        Call(channel, start["dialog_id"])


def work():
    """Until the connection is lost."""
    channel = pika.BlockingConnection(pika.URLParameters(URL)).channel()
    for call in list(Call.open.values()):
        call.attach(channel)
    consume(channel, APPLICATION, lambda start: on_start(channel, start))
    print(f'waiting for calls of "{APPLICATION}"', flush=True)
    channel.start_consuming()


def main():
    while True:
        try:
            work()
        except pika.exceptions.AMQPError as e:
            print("the broker is away:", repr(e), flush=True)
            time.sleep(1)
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()

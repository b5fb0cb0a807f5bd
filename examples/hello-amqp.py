#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""hello over RabbitMQ: answers every call of an application, plays a sound, hangs up. Debian: python3-pika.

    AMQP_URL            amqp://guest:guest@127.0.0.1:5672/
    VOXBUS_APPLICATION  hello
    VOXBUS_SOUND        sound:hello-world

Start it as often as you like: each call goes to one of them. It does what an application of go-ari-proxy does,
with the same queues: the flags must be these, or RabbitMQ refuses the second who declares them.
"""
import json
import os
import uuid

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
APPLICATION = os.environ.get("VOXBUS_APPLICATION", "hello")
SOUND = os.environ.get("VOXBUS_SOUND", "sound:hello-world")


class Call:
    """One call: a dialog_id and its three queues."""

    def __init__(self, channel, dialog):
        self.channel, self.dialog, self.seen, self.ended = channel, dialog, 0, False
        self.unanswered = set()
        publish(channel, f"commands_{dialog}", "DUMMY")  # we are here: what go-ari-library says first
        self.consumers = [consume(channel, f"events_{dialog}", self.on_event),
                          consume(channel, f"responses_{dialog}", self.on_response)]

    def command(self, method, url, **parameters):
        command = {"unique_id": str(uuid.uuid4()), "url": url, "method": method, "body": json.dumps(parameters)}
        self.unanswered.add(command["unique_id"])
        publish(self.channel, f"commands_{self.dialog}", json.dumps(command))

    def on_event(self, message):
        if message["seq"] <= self.seen:  # again, after a lost connection: the number says so
            return
        self.seen = message["seq"]
        event = json.loads(message["ari_body"])
        print(self.dialog, message["type"], flush=True)
        if message["type"] == "StasisStart":
            url = f"/channels/{event['channel']['id']}"
            self.command("POST", f"{url}/answer")
            self.command("POST", f"{url}/play", media=SOUND)
        elif message["type"] == "PlaybackFinished":
            self.command("DELETE", f"/channels/{event['playback']['target_uri'].removeprefix('channel:')}")
        elif message["type"] == "StasisEnd":
            self.ended = True
            self.leave()

    def on_response(self, message):
        self.unanswered.discard(message["unique_id"])
        if message["status_code"] >= 400:
            print(self.dialog, message["status_code"], message["response_body"], flush=True)
        self.leave()

    def leave(self):
        """A queue that we leave with something in it stays for an hour."""
        if self.ended and not self.unanswered:
            for consumer in self.consumers:
                self.channel.basic_cancel(consumer)
            self.consumers = []


def publish(channel, queue, text):
    channel.basic_publish("", queue, text, pika.BasicProperties("application/json"))


def consume(channel, queue, handle):
    def on_message(_, method, __, body):
        handle(json.loads(body))
        channel.basic_ack(method.delivery_tag)

    channel.queue_declare(queue, durable=True)
    return channel.basic_consume(queue, on_message)


def main():
    connection = pika.BlockingConnection(pika.URLParameters(URL))
    channel = connection.channel()
    consume(channel, APPLICATION, lambda start: Call(channel, start["dialog_id"]))
    print(f'waiting for calls of "{APPLICATION}"', flush=True)
    try:
        channel.start_consuming()
    except KeyboardInterrupt:
        connection.close()


if __name__ == "__main__":
    main()

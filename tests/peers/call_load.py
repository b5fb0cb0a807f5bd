#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Many real SIP calls, answered, played to and hung up by a sample of examples/ on a real broker, and a ledger of them.

    Asterisk --dials--> tap --> voxbusd --> RabbitMQ or NATS --> examples/hello-amqp.py, hello-nats.mjs

The tap has each frame that Asterisk has sent, the sample prints each event that it got. Call by call the types must be
the same, in the same order: nothing lost, nothing inverted. By hand, with the figures:

    VOXBUS_BUILD=build/run tests/peers/call_load.py amqp|nats [--asterisk 22|16] [--calls 2000] [--rate 100]
                                                    [--fault broker-freeze|broker-kill] [--samples 2]
"""
import argparse
import collections
import contextlib
import json
import pathlib
import sys
import tempfile
import threading
import time

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from harness import SERVER, Asterisk, Daemon, applications, wait_until
from kill_rounds import ABOUT_THE_LINK
from nats_server import NatsServer
from rabbitmq import RabbitMQ
from samples import amqp_sample, nats_sample
from ws_tap import WsTap

QUIET_S = 2
AWAY_S = 10
LEFT_S = 30
SWEPT_S = 90  # voxbus looks again after 60 s for what a late client may have declared, and then forgets the call
RTP = (12000, 15999)  # for 2,000 calls at a time; blocks of other Asterisks begin above


def channel_of(frame):
    uri = frame.get("playback", {}).get("target_uri", "")
    return frame.get("channel", {}).get("id") or uri.removeprefix("channel:")


def dials(asterisk):
    """Whether it dials us, and so is the tap's client; an older one is dialled, and is its server."""
    return asterisk.version >= 22


def sent(tap, asterisk):
    """{channel: [types, as Asterisk sent them]}"""
    calls = collections.defaultdict(list)
    for connection in tap.connections:
        for frame in (json.loads(f.text) for f in (connection.up if dials(asterisk) else connection.down)):
            if frame["type"] not in ABOUT_THE_LINK:
                calls[channel_of(frame)].append(frame["type"])
    return calls


def histories(calls):
    return collections.Counter(tuple(types) for types in calls.values())


def rss_kib(d):
    for line in pathlib.Path(f"/proc/{d.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def settled_growth(d, before):
    """What is left of the growth, by then or when it is small: KiB."""
    deadline = time.monotonic() + SWEPT_S
    while (growth := rss_kib(d) - before) > 5 * 1024 and time.monotonic() < deadline:
        time.sleep(1)
    return growth


class Bus:
    """The broker, its keys for voxbusd, its sample, and what calls have left there."""

    def __init__(self, kind):
        self.kind = kind
        self.broker = (RabbitMQ if kind == "amqp" else NatsServer)().start()
        self.conf = {"type": kind, "name": "main", "url": self.broker.url()}
        if kind == "amqp":
            self.conf["persistent"] = True  # what is in a queue outlives the broker's end

    def sample(self, directory, count):
        return (amqp_sample if self.kind == "amqp" else nats_sample)(self.broker.url(), directory, count=count)

    def freeze(self):
        self.broker.freeze()
        time.sleep(AWAY_S)
        self.broker.thaw()

    def kill(self):
        self.broker.kill()
        time.sleep(AWAY_S)
        self.broker.start()

    def left(self, d):
        if self.kind == "amqp":
            return len([q for q in self.broker.ctl("list_queues", "name").split()[1:] if "_" in q])
        return int(d.metrics()['voxbus_nats_topics{port="main",type="nats"}']) - 1


@contextlib.contextmanager
def tapped(asterisk, bus):
    """A daemon and the tap between it and Asterisk."""
    engine = asterisk.engine("hello", **(SERVER if dials(asterisk) else {}))
    with WsTap(asterisk.ari_port) as tap:
        if not dials(asterisk):
            engine["url"] = engine["url"].replace(str(asterisk.ari_port), str(tap.port))
        d = Daemon({"engines": [engine], "buses": [bus.conf],
                    "applications": applications("hello", bus="main", deduplicate="always")})
        d.expect_log("port lost", "port stale", "channel closed")
        try:
            if dials(asterisk):
                tap.server_port = d.http_port
                asterisk.dials(tap.port, "hello")
            d.wait_ready(30)
            yield d, tap
            d.stop()
        finally:
            d.clean()


def wait_left(bus, d, fault):
    """
    How many queues or topics stay behind. None may, but where RabbitMQ was killed: what its clients had acknowledged
    it has again, nobody reads it any more, and such queues go after an hour.
    """
    try:
        wait_until(lambda: bus.left(d) == 0, LEFT_S, "queues or topics of calls are left", every=1)
    except TimeoutError:
        if bus.kind != "amqp" or fault != "broker-kill":
            raise
    return bus.left(d)


def call_all(asterisk, o, trouble):
    """SIP calls, answered and failed, once they are over; trouble() comes in their middle."""
    fault = threading.Timer(o.calls / o.rate / 2, trouble or (lambda: None))
    fault.start()
    phone = asterisk.sipp("7000", count=o.calls, rate=o.rate, hangup="callee", parallel=o.calls,
                          limit=int(o.calls / o.rate) + 120)
    try:
        return phone.result()
    finally:
        phone.clean()
        fault.join()
        wait_until(lambda: not asterisk.channels(), 30, "a channel is left")


def run(bus, asterisk, directory, o):
    with tapped(asterisk, bus) as (d, tap), contextlib.ExitStack() as stack:
        sample = stack.enter_context(contextlib.closing(bus.sample(directory, o.samples)))
        before = rss_kib(d)
        ok, failed = call_all(asterisk, o, getattr(bus, o.fault.removeprefix("broker-")) if o.fault else None)
        wait_until(lambda: sample.ended() >= ok, 30, "a call has no end", every=0.5)
        time.sleep(QUIET_S)
        ours, theirs = sample.calls(), sent(tap, asterisk)
        left = wait_left(bus, d, o.fault)
        growth = settled_growth(d, before) if o.settle else rss_kib(d) - before
    wrong = sum((histories(theirs) - histories(ours)).values())
    print(f"{bus.kind}, Asterisk {asterisk.version}: SIP calls answered {ok}, failed {failed}; calls announced {len(ours)}, "
          f"frames sent {sum(map(len, theirs.values()))}, delivered {sum(map(len, ours.values()))}, calls with a loss or an "
          f"inversion {wrong}, without an end {sum(c[-1] != 'StasisEnd' for c in ours.values())}, channels left 0, "
          f"queues or topics left {left}, RSS {growth:+d} KiB")
    return wrong == 0 and (failed == 0 or bool(o.fault))


def prove(o):
    """All of it with a broker and an Asterisk of its own: whether it held."""
    bus, asterisk = Bus(o.bus), Asterisk(o.asterisk, rtp=RTP)
    try:
        asterisk.start()
        with tempfile.TemporaryDirectory() as directory:
            return run(bus, asterisk, pathlib.Path(directory), o)
    finally:
        asterisk.clean()
        bus.broker.clean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bus", choices=("amqp", "nats"))
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rate", type=int, default=100, help="new calls a second")
    parser.add_argument("--asterisk", type=int, choices=(16, 22), default=22)
    parser.add_argument("--fault", choices=("broker-freeze", "broker-kill"), help="for 10 s, in the middle")
    parser.add_argument("--samples", type=int, default=2, help="how many of them")
    sys.exit(0 if prove(parser.parse_args(namespace=argparse.Namespace(settle=True))) else 1)


if __name__ == "__main__":
    main()

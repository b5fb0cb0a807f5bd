#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Queues under load while voxbusd is killed again and again, and a ledger of every message.

    64 publishers --POST--> voxbusd (kill -9, started again, ...) --GET--> 16 pollers that compete for 4 queues

What must hold, and is judged at the end from what the peers alone have seen:

- lost: a message that was answered 200 and that no poller ever got whole. None.
- unmarked twice: a message that came a second time without `Redelivered`. None.
- settled twice: a message that came again although its first delivery was over when voxbusd was killed. None.
- marked without a reason: `Redelivered` greater than the number of kills since it was published. None.

A delivery is over when its poller has the whole answer and then either got a byte of the answer to its next
request on the same connection (which voxbusd sends only when the one before has been acknowledged), or had it all
for a second before the kill. All else was under way. By hand, with the figures:

    VOXBUS_BUILD=build/dev tests/peers/pubsub_crash.py [--rounds 200] [--seed 1]
"""
import argparse
import asyncio
import collections
import contextlib
import json
import pathlib
import random
import sys
import time

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from harness import Daemon

PUBLISHERS, POLLERS, QUEUES = 64, 16, 4
PAUSE_S = 0.04   # of a publisher between two posts, on average
OVER_S = 1.0     # a delivery that was whole so long before the kill is over
LAST_S = 30      # all must have come so long after the last kill
AWAY = (OSError, EOFError, asyncio.IncompleteReadError)


class Receipt:
    """One message in one poller's hands."""

    def __init__(self, life, returns):
        self.life = life          # of voxbusd: how often it had been killed before
        self.returns = returns    # Redelivered
        self.whole_at = None      # when all of the answer was there; None: the connection broke before
        self.proved = False       # voxbusd knew that it was

    def was_over(self, killed_at):
        """Whether voxbusd must have settled it before the kill that ended its life."""
        if self.whole_at is None:
            return False
        return self.proved or killed_at - self.whole_at >= OVER_S


class Ledger:
    def __init__(self):
        self.life = 0
        self.killed_at = []                           # by life
        self.taken = {}                               # number -> life in which it was answered 200
        self.receipts = collections.defaultdict(list)  # number -> Receipts, in the order of their coming
        self.odd = []                                 # answers that nobody expects

    def is_whole(self, number):
        return any(r.whole_at is not None for r in self.receipts.get(number, ()))

    def missing(self):
        return [n for n in self.taken if not self.is_whole(n)]

    def judge(self):
        """The figures; all in `bad` must be 0."""
        figures, bad = collections.Counter(), collections.Counter(lost=0, unmarked_twice=0, settled_twice=0,
                                                                  twice_in_a_life=0, marked_without_reason=0)
        figures["published"] = len(self.taken)
        figures["delivered"] = sum(self.is_whole(n) for n in self.receipts)
        figures["unanswered_and_delivered"] = sum(n not in self.taken for n in self.receipts)
        bad["lost"] = len(self.missing())
        for number, receipts in self.receipts.items():
            receipts.sort(key=lambda r: r.life)
            for before, again in zip(receipts, receipts[1:]):
                figures["came_twice_marked"] += again.returns > 0
                bad["unmarked_twice"] += again.returns == 0
                bad["twice_in_a_life"] += before.life == again.life
                if before.life < again.life:
                    bad["settled_twice"] += before.was_over(self.killed_at[before.life])
            figures["came_once_marked"] += len(receipts) == 1 and receipts[0].returns > 0
            if number in self.taken:
                born = self.taken[number]
                bad["marked_without_reason"] += any(r.returns > r.life - born for r in receipts)
        return dict(figures), dict(bad)


class Link:
    """One HTTP connection, opened when it is needed."""

    def __init__(self, port, ledger):
        self.port, self.ledger = port, ledger
        self.reader = self.writer = None
        self.life = 0

    async def open(self):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
            self.life = self.ledger.life

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None

    async def send(self, head, body=b""):
        await self.open()
        self.writer.write(head.encode() + b"\r\n" + body)
        await self.writer.drain()

    async def head(self):
        """(status, {header: value}) of the answer."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        return int(lines[0].split(" ")[1]), dict(line.lower().split(": ", 1) for line in lines[1:] if line)

    async def chunks(self):
        while size := int(await self.reader.readline() or b"x", 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)

    async def skip(self, headers):
        await self.reader.readexactly(int(headers.get("content-length", 0)))


class Load:
    """The publishers and the pollers of one voxbusd, over all of its lives."""

    def __init__(self, daemon, seed):
        self.ledger = Ledger()
        self.draw = random.Random(seed)
        self.pubsub = daemon.pubsub()
        self.session = self.pubsub.session  # outlives every kill
        self.port = daemon.http_port
        self.numbers = 0
        self.publishing = True

    def path(self, queue):
        return f"/{self.pubsub.sid}/q{queue}"

    async def publish(self, queue):
        link = Link(self.port, self.ledger)
        while self.publishing:
            number, self.numbers = self.numbers, self.numbers + 1
            body = f"{number} ".encode() + b"x" * self.draw.randrange(400)
            try:
                await link.send(f"POST {self.path(queue)} HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
                                f"Content-Length: {len(body)}\r\n", body)
                status, headers = await link.head()
                await link.skip(headers)
                if status == 200:
                    self.ledger.taken[number] = link.life
                elif status != 503:
                    self.ledger.odd.append(("publish", status))
            except AWAY:
                link.close()
            await asyncio.sleep(self.draw.uniform(0, 2 * PAUSE_S))
        link.close()

    async def poll(self, queue, closes):
        """Takes what comes; `closes`: each poll on a connection of its own."""
        link, last = Link(self.port, self.ledger), []
        while True:
            try:
                last = await self.poll_once(link, queue, closes, last)
                if closes:
                    link.close()
                    last = []
            except AWAY:
                link.close()
                last = []
                await asyncio.sleep(0.01)

    async def poll_once(self, link, queue, closes, last):
        """One exchange; `last` are the receipts of the one before on the same connection."""
        await link.send(f"GET {self.path(queue)}?session={self.session}&timeout=2s&max=20 HTTP/1.1\r\nHost: a\r\n"
                        + ("Connection: close\r\n" if closes else ""))
        status, _ = await link.head()
        for receipt in last:
            receipt.proved = True
        if status != 200:
            self.ledger.odd.append(("poll", status))
            raise EOFError
        receipts = []
        async for chunk in link.chunks():
            text = chunk.decode().strip("[]\n,")
            if text:
                message = json.loads(text)
                receipts.append(Receipt(link.life, message.get("Redelivered", 0)))
                self.ledger.receipts[int(message["Body"].split(" ")[0])].append(receipts[-1])
        for receipt in receipts:
            receipt.whole_at = time.monotonic()
        return receipts


def kill(daemon, ledger):
    ledger.killed_at.append(time.monotonic())
    daemon.kill()
    ledger.life += 1
    daemon.start()


async def run_rounds(daemon, rounds, seed, say=lambda *_: None):
    """Returns the Ledger."""
    load, draw = Load(daemon, seed), random.Random(seed)
    ledger = load.ledger
    publishers = [asyncio.create_task(load.publish(i % QUEUES)) for i in range(PUBLISHERS)]
    pollers = [asyncio.create_task(load.poll(i % QUEUES, closes=i >= POLLERS - QUEUES)) for i in range(POLLERS)]
    for i in range(rounds):
        await asyncio.sleep(draw.uniform(0.02, 0.3))
        await asyncio.to_thread(kill, daemon, ledger)
        if (i + 1) % 20 == 0:
            say(f"{i + 1} kills, {len(ledger.taken)} published, {len(ledger.receipts)} delivered")
    await asyncio.sleep(0.3)
    load.publishing = False
    await asyncio.gather(*publishers)
    deadline = time.monotonic() + LAST_S
    while ledger.missing() and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    for poller in pollers:
        poller.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await poller
    return ledger


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    options.add_argument("--rounds", type=int, default=200)
    options.add_argument("--seed", type=int, default=1)
    options = options.parse_args()
    daemon = Daemon({"journal": {"segment": "4MiB"}})
    daemon.expect_log("journal torn")
    try:
        ledger = asyncio.run(run_rounds(daemon, options.rounds, options.seed, print))
        figures, bad = ledger.judge()
        daemon.stop()
    finally:
        daemon.clean()
    print(f"kills={options.rounds} seed={options.seed}", *(f"{k}={v}" for k, v in {**figures, **bad}.items()))
    if ledger.odd:
        print("odd answers:", collections.Counter(ledger.odd))
    return any(bad.values()) or bool(ledger.odd)


if __name__ == "__main__":
    sys.exit(main())

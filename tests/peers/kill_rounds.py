#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Calls at full pace while voxbusd is killed again and again, and a ledger of every frame.

    Asterisk --dials--> tap --> voxbusd (kill -9, started again, ...) --> long poll --> application

The tap has each frame that Asterisk has sent; the application has each event that came, with its number. What
was sent and did not come was in the buffers of sockets when voxbusd died: the last frames of a connection that
ended by a kill, never one in its middle. By hand, with the figures:

    VOXBUS_BUILD=build/dev tests/peers/kill_rounds.py [--calls 100] [--rate 20] [--kills 3]
"""
import argparse
import collections
import http.client
import json
import os
import pathlib
import signal
import sys
import threading
import time

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from harness import SERVER, Asterisk, Daemon, applications, wait_until
from ws_tap import WsTap

AWAY_S = 0.7    # how long voxbusd is away after each kill
FROZEN_S = 0.3  # how long it reads nothing before
ABOUT_THE_LINK = ("ApplicationRegistered", "ApplicationUnregistered", "RESTResponse")


class Call:
    """One dialog as the application has it."""

    def __init__(self, dialog):
        self.dialog = dialog
        self.by_seq = {}  # seq -> envelope
        self.repeated = 0
        self.wrong = []  # seqs that came with another content
        self.idle = 0
        self.thread = None

    def take(self, envelope):
        had = self.by_seq.setdefault(envelope["seq"], envelope)
        if had is not envelope:
            self.repeated += 1
            if any(had.get(k) != envelope.get(k) for k in ("type", "ari_body", "resync", "timestamp")):
                self.wrong.append(envelope["seq"])

    @property
    def envelopes(self):
        return [self.by_seq[seq] for seq in sorted(self.by_seq)]

    @property
    def ended(self):
        return any(e["type"] == "StasisEnd" for e in list(self.by_seq.values()))  # more may come meanwhile


class Application:
    """Answers each call that is announced, and keeps all that it hears; it outlives every voxbusd."""

    def __init__(self, pubsub, name):
        self.pubsub = pubsub
        self.name = name
        self.calls = {}
        self.stopping = False
        pubsub.session  # made before the first kill: it must serve to the end
        self.threads = [threading.Thread(target=self._announcements, daemon=True)]
        self.threads[0].start()

    def _poll(self, queue):
        """What a poll brings, or None when voxbusd is away."""
        try:
            return self.pubsub.poll(queue, timeout=1, max=100)
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
            return None

    def _announcements(self):
        while not self.stopping:
            for start in self._poll(self.name) or []:
                if start["dialog_id"] not in self.calls:
                    call = Call(start["dialog_id"])
                    call.thread = threading.Thread(target=self._events, args=(call,), daemon=True)
                    self.calls[call.dialog] = call
                    call.thread.start()

    def _events(self, call):
        while not self.stopping:
            got = self._poll(f"events_{call.dialog}")
            call.idle = call.idle + 1 if got == [] else 0
            for envelope in got or []:
                first = envelope["seq"] not in call.by_seq
                call.take(envelope)
                if first and envelope["type"] == "StasisStart":
                    self._answer(call, json.loads(envelope["ari_body"])["channel"]["id"])

    def _answer(self, call, channel):
        """Until it is known to be done: what voxbusd had in hand when it died it answers with 504."""
        deadline = time.monotonic() + 30
        while not self.stopping and time.monotonic() < deadline:
            self._post_answer(call, channel)
            for response in self._poll(f"responses_{call.dialog}") or []:
                if response["status_code"] < 500:
                    return

    def _post_answer(self, call, channel):
        while not self.stopping:
            try:
                body = {"unique_id": "1", "url": f"/channels/{channel}/answer", "method": "POST", "body": ""}
                if self.pubsub.post(f"commands_{call.dialog}", body).status in (200, 404):
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)

    def quiet(self):
        return all(c.idle >= 2 for c in list(self.calls.values()))

    def stop(self):
        """No call is added once the announcements have ended: only then is it known which there are."""
        self.stopping = True
        for thread in self.threads:
            thread.join(10)
        for call in list(self.calls.values()):
            call.thread.join(10)


class Ledger:
    """What was sent, what came, and what became of the rest."""

    def __init__(self, tap, application):
        self.calls = list(application.calls.values())
        self.sent = []  # (connection, text) of events, in Asterisk's order
        for n, connection in enumerate(tap.connections):
            for frame in connection.up:
                if json.loads(frame.text)["type"] not in ABOUT_THE_LINK:
                    self.sent.append((n, frame.text.decode()))
        self.last = len(tap.connections) - 1
        places = collections.defaultdict(collections.deque)
        for i, (_, text) in enumerate(self.sent):
            places[text].append(i)
        self.came = set()
        self.strangers = []  # events that the tap has never seen and that no resync made up
        self.disorder = []
        for call in self.calls:
            before = -1
            for envelope in call.envelopes:
                if envelope.get("resync"):
                    continue
                at = places[envelope["ari_body"]]
                if not at:
                    self.strangers.append(envelope)
                    continue
                if at[0] < before:
                    self.disorder.append(envelope)
                before = at.popleft()
                self.came.add(before)
        self.missing = [i for i in range(len(self.sent)) if i not in self.came]
        self.gaps = [c for c in self.calls if sorted(c.by_seq) != list(range(1, len(c.by_seq) + 1))]
        self.wrong = [c for c in self.calls if c.wrong]
        self.marked = sum(1 for c in self.calls for e in c.by_seq.values() if e.get("resync"))
        self._judge()

    def _judge(self):
        """Lost frames are the tail of a connection that was cut; the others had no call to go to."""
        self.lost, self.orphans, self.holes = [], [], []
        known = {channel_of(e["ari_body"]) for c in self.calls for e in c.by_seq.values()}
        last_came = {}
        for i in self.came:
            last_came[self.sent[i][0]] = max(i, last_came.get(self.sent[i][0], -1))
        self.lost_channels = set()
        for i in self.missing:
            connection, text = self.sent[i]
            if connection != self.last and i > last_came.get(connection, -1):
                self.lost.append(i)
                self.lost_channels.add(channel_of(text))
            elif channel_of(text) not in known:
                self.orphans.append(i)
            else:
                self.holes.append(i)
        marked = {channel_of(e["ari_body"]) for c in self.calls for e in c.by_seq.values() if e.get("resync")}
        self.unmarked = (self.lost_channels & known) - marked
        self.never_seen = self.lost_channels - known

    def figures(self):
        return (f"calls {len(self.calls)}, frames sent {len(self.sent)}, delivered {len(self.came)}, "
                f"lost in the kernel {len(self.lost)} (of {len(self.lost_channels)} calls, {len(self.unmarked)} of "
                f"them unmarked, {len(self.never_seen)} over before they were heard of), of calls without a "
                f"beginning {len(self.orphans)}, holes {len(self.holes)}, out of order {len(self.disorder)}, "
                f"strangers {len(self.strangers)}, calls with missing numbers {len(self.gaps)}, marked as resync {self.marked}, repeated with their seq "
                f"{sum(c.repeated for c in self.calls)}, open for ever {sum(not c.ended for c in self.calls)}")


def channel_of(text):
    return json.loads(text).get("channel", {}).get("id", "")


def run(make_daemon, asterisk, calls=100, rate=20, kills=3):
    """Returns the Ledger and how many SIP calls were (answered, failed)."""
    d = make_daemon({"engines": [asterisk.engine("test", **SERVER)], "applications": applications("test"),
                     "dialogs": {"linger": "2s"}})
    d.expect_log("port lost", "resync incomplete")
    with WsTap(d.http_port) as tap:
        asterisk.dials(tap.port, "test")
        d.wait_ready(20)
        application = Application(d.pubsub(), "test")
        duration = calls / rate
        # Each call lasts long enough to see two kills: so some begin, some go on and some end while it is away.
        phone = asterisk.sipp("8000", count=calls, rate=rate, talk_ms=int(duration * 400), limit=90)
        try:
            for n in range(kills):
                time.sleep(duration / kills - (AWAY_S if n else 0))
                if n:  # the first dies at work, the others in their sleep, with frames unread in their sockets
                    os.kill(d.pid, signal.SIGSTOP)
                    time.sleep(FROZEN_S)
                d.kill()
                time.sleep(AWAY_S)
                d.start()
            result = phone.result()
        finally:
            phone.clean()
        wait_until(lambda: not asterisk.channels(), 20, "a channel is left")
        d.wait_ready(20)
        time.sleep(1)
        wait_until(application.quiet, 30, "the application still hears events")
        application.stop()
        return Ledger(tap, application), result


def main():
    options = argparse.ArgumentParser(description="calls while voxbusd is killed again and again")
    options.add_argument("--calls", type=int, default=100)
    options.add_argument("--rate", type=int, default=20)
    options.add_argument("--kills", type=int, default=3)
    args = options.parse_args()
    asterisk = Asterisk(22)
    daemons = []
    try:
        asterisk.start()
        ledger, (ok, failed) = run(lambda conf: daemons.append(Daemon(conf)) or daemons[-1], asterisk, args.calls,
                                   args.rate, args.kills)
        print(f"SIP calls answered {ok}, failed {failed}; kills {args.kills}")
        print(ledger.figures())
    finally:
        for d in daemons:
            d.clean()
        asterisk.clean()


if __name__ == "__main__":
    main()

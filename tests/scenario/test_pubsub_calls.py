# SPDX-License-Identifier: MIT
"""Calls by call.xml with the real daemon and plain sockets: held, answered, missed, also across kill -9."""
import json
import re
import resource
import socket
import time
import urllib.parse

import pytest

from harness import SID, wait_until

FORM = "application/x-www-form-urlencoded"
PARK_S = 2


def bus(**more):
    return {"buses": [{"type": "longpoll", "name": "http", "account": SID, "park": f"{PARK_S}s", **more}]}


@pytest.fixture
def pubsub(daemon):
    d = daemon(bus())
    d.wait_ready()
    return d, d.pubsub()


class Caller:
    """A phone network's requests for one call, each on a connection of its own."""

    def __init__(self, d, sid, **params):
        self.d, self.sid = d, sid
        self.form = urllib.parse.urlencode({"AccountSid": SID, "ApiVersion": "v1", "CallSid": sid,
                                            "CallStatus": "ringing", "FromState": "CA", **params})
        self.socket = None

    def ask(self, path="call.xml"):
        target = path if path.startswith("/") else f"/{SID}/{path}"
        self.socket = socket.create_connection(("127.0.0.1", self.d.http_port), timeout=20)
        self.socket.sendall(f"POST {target} HTTP/1.1\r\nHost: vb\r\nContent-Type: {FORM}\r\n"
                            f"Accept: application/xml\r\nContent-Length: {len(self.form)}\r\n\r\n{self.form}".encode())
        return self

    def answer(self, timeout=20):
        """Head and body of the answer, of which there must be nothing but one."""
        self.socket.settimeout(timeout)
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.socket.recv(65536)
            assert piece, "the connection was closed without an answer"
            data += piece
        head, body = data.split(b"\r\n\r\n", 1)
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        while len(body) < length:
            body += self.socket.recv(65536)
        assert head.startswith(b"HTTP/1.1 200 "), data
        return head.decode(), body

    def leave(self):
        self.socket.close()
        return self


def stat(d, name):
    status = json.loads(d.admin("GET", "/api/status").body)
    return next(p for p in status["ports"] if p["type"] == "longpoll")["stats"][name]


def wait_stat(d, name, value):
    wait_until(lambda: stat(d, name) == value, what=f"{name} is {stat(d, name)}, not {value}")


def call_sids(messages):
    return [m["FormParams"]["CallSid"] for m in messages]


def test_hello_world(pubsub):
    d, p = pubsub
    xml = b"<Response><Say>Hello, <b>World</b> & all</Say><Redirect>/x</Redirect></Response>"
    caller = Caller(d, "CA12ab").ask()
    event = p.poll("call.xml")[0]
    assert event["FormParams"]["CallSid"] == "CA12ab" and event["AccountSid"] == SID
    # What a script finds with grep: the first CA.. of the answer.
    assert re.search(r"CA\w*", json.dumps(event)).group() == "CA12ab"
    answer = p.request("POST", f"/{SID}/call.xml/CA12ab", xml, {"Content-Type": "application/xml"})
    assert answer.status == 200 and answer.headers["x-delivered"] == "1"
    head, body = caller.answer()
    assert body == xml and "Content-Type: application/xml" in head and "chunked" not in head
    assert p.poll("call.xml", timeout=0.2) == []


def test_redirect_and_resume_with_and_without_the_account(pubsub):
    d, p = pubsub
    _, body = Caller(d, "CA1").ask("call.xml?timeout=300ms").answer()
    assert body == f"<Response><Redirect>/{SID}/call.xml/CA1/</Redirect></Response>".encode()
    resumed = Caller(d, "CA1").ask(f"/{SID}/call.xml/CA1/")
    wait_stat(d, "calls_held", 1)
    assert p.request("POST", f"/{SID}/call.xml/CA1", b"<A/>").headers["x-delivered"] == "1"
    assert resumed.answer()[1] == b"<A/>"
    resumed = Caller(d, "CA1").ask("/call.xml/CA1/")
    wait_stat(d, "calls_held", 1)
    assert p.request("POST", f"/{SID}/call.xml/CA1", b"<B/>").headers["x-delivered"] == "1"
    assert resumed.answer()[1] == b"<B/>"


def test_gather_has_its_queue_and_its_hold(pubsub):
    d, p = pubsub
    path = "calls/events/NodeId-11/CA5.xml"
    caller = Caller(d, "CA5", Digits="12").ask(f"{path}?event-type=gather-action&callId=callID&routeId=routeId")
    event = p.poll(path)[0]
    assert '"Digits":"12"' in json.dumps(event, separators=(",", ":"))
    assert event["QueryParams"]["event-type"] == "gather-action"
    p.request("POST", f"/{SID}/{path}/CA5", b"<Response><Say>Thank you</Say></Response>")
    assert b"Thank you" in caller.answer()[1]


def test_the_second_script_gets_the_second_call(pubsub):
    """Section 10: hello leaves an event that nobody reads, gather must not get it; nor after a restart."""
    d, p = pubsub
    for restart in (False, True):
        first = Caller(d, "CA1").ask()
        assert call_sids(p.poll("call.xml")) == ["CA1"]
        p.request("POST", f"/{SID}/call.xml/CA1", b"<Response><Redirect>/x</Redirect></Response>")
        first.answer()
        first.ask()
        wait_stat(d, "calls_held", 1)
        first.leave()
        wait_stat(d, "calls_held", 0)
        if restart:
            d.restart()
            p = d.pubsub()
        second = Caller(d, "CA2").ask()
        assert call_sids(p.poll("call.xml")) == ["CA2"]
        assert p.poll("call.xml", timeout=0.2) == []
        p.request("POST", f"/{SID}/call.xml/CA2", b"<Hangup/>")
        assert second.answer()[1] == b"<Hangup/>"
        assert call_sids(p.poll("call.xml/missed")) == ["CA1"]


def test_a_call_that_comes_again_after_a_kill_has_its_event_once(pubsub):
    d, p = pubsub
    Caller(d, "CA1").ask("call.xml?timeout=200ms").answer()
    assert p.poll("call.xml", timeout=0) == []
    d.kill()
    d.start()
    p = d.pubsub()
    other = Caller(d, "CA2").ask()
    assert call_sids(p.poll("call.xml")) == ["CA2"]
    again = Caller(d, "CA1").ask(f"/{SID}/call.xml/CA1/")
    events = p.poll("call.xml")
    assert call_sids(events) == ["CA1"] and "Redelivered" not in events[0]
    assert p.poll("call.xml", timeout=PARK_S + 0.5) == []
    assert p.poll("call.xml/missed", timeout=0.2) == []
    again.leave()
    other.leave()


def test_a_call_that_does_not_come_again_after_a_kill_is_missed(pubsub):
    d, p = pubsub
    Caller(d, "CA1").ask("call.xml?timeout=200ms").answer()
    held = Caller(d, "CA3").ask()
    wait_stat(d, "calls_held", 1)
    d.kill()
    d.start()
    held.leave()
    p = d.pubsub()
    assert p.poll("call.xml", timeout=0.3) == []
    missed = p.poll("call.xml/missed", timeout=PARK_S + 5)
    while len(missed) < 2:
        missed += p.poll("call.xml/missed", timeout=5) or pytest.fail(f"only {missed}")
    assert sorted(call_sids(missed)) == ["CA1", "CA3"]
    assert p.poll("call.xml", timeout=0.2) == []
    assert p.poll("call.xml/missed", timeout=0.2) == []


def test_kill_between_the_instructions_and_the_call(pubsub):
    """They were acknowledged: the next request of the call has them."""
    d, p = pubsub
    assert p.request("POST", f"/{SID}/call.xml/CA1", b"<A/>").headers["x-delivered"] == "0"
    d.kill()
    d.start()
    assert Caller(d, "CA1").ask().answer()[1] == b"<A/>"


def test_stopping_tells_calls_to_come_again(pubsub):
    d, p = pubsub
    caller = Caller(d, "CA1").ask()
    assert call_sids(p.poll("call.xml")) == ["CA1"]
    d.stop()
    assert b"<Redirect>" in caller.answer()[1]
    d.start()
    again = Caller(d, "CA1").ask(f"/{SID}/call.xml/CA1/")
    wait_stat(d, "calls_held", 1)
    d.pubsub().request("POST", f"/{SID}/call.xml/CA1", b"<A/>")
    assert again.answer()[1] == b"<A/>"


def test_disconnect_events(daemon):
    d = daemon(bus(disconnect_events=True))
    d.wait_ready()
    p = d.pubsub()
    caller = Caller(d, "CA1").ask()
    assert call_sids(p.poll("call.xml")) == ["CA1"]
    caller.leave()
    event = p.poll("call.xml")[0]
    assert event["FormParams"] == {"AccountSid": SID, "CallSid": "CA1", "PubSubEvent": "disconnected"}
    assert p.poll("call.xml/missed", timeout=0.2) == []


def test_transitions_are_in_the_log(daemon):
    d = daemon({**bus(), "log": {"level": "debug", "format": "logfmt"}})
    d.wait_ready()
    Caller(d, "CA77").ask("call.xml?timeout=200ms").answer()
    d.wait_log("call", call="CA77", state="parked")
    d.wait_log("call", call="CA77", state="dead", timeout=PARK_S + 5)
    d.wait_log("call event missed", call="CA77")
    assert [e["state"] for e in d.events("call", call="CA77")] == ["held", "parked", "dead"]


@pytest.mark.parametrize("calls", [10000])
def test_ten_thousand_calls_are_held(daemon, calls):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < calls + 1000:
        pytest.fail(f"the limit of open files is {hard}: too low for {calls} calls")
    try:
        hold_many(daemon(bus(hold="60s")), calls)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def rss(d):
    return int(re.search(r"VmRSS:\s+(\d+) kB", open(f"/proc/{d.pid}/status").read())[1]) * 1024


def hold_many(d, calls):
    d.wait_ready()
    p = d.pubsub()
    before, callers = rss(d), []
    for i in range(calls):
        callers.append(Caller(d, f"CA{i}").ask())
        if i % 100 == 99:
            wait_until(lambda n=i: stat(d, "calls_held") > n - 400, timeout=30, what="calls are not held")
    wait_stat(d, "calls_held", calls)
    got = []
    while len(got) < calls:
        messages = p.poll("call.xml", max=100) or pytest.fail(f"{len(got)} events")
        got += call_sids(messages)
    assert got == [f"CA{i}" for i in range(calls)]
    print(f"{(rss(d) - before) / calls:.0f} bytes a call")
    for i in range(0, calls, 100):
        p.request("POST", f"/{SID}/call.xml/CA{i}", f"<A n='{i}'/>".encode())
        assert callers[i].answer()[1] == f"<A n='{i}'/>".encode()
    began = time.monotonic()
    for caller in callers:
        caller.leave()
    wait_stat(d, "calls_held", 0)
    print(f"{calls} callers left in {time.monotonic() - began:.1f} s")
    assert stat(d, "calls_missed") == 0

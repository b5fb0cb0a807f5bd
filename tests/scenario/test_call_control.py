# SPDX-License-Identifier: MIT
"""call.xml: a call is held, answered with the bytes that were posted, sent round by a Redirect and comes
back, is retried by an impatient platform, or dies; the other end is a simulated CPaaS.
"""
import threading
import time
import urllib.parse

import pytest

from flows import FORM
from harness import SID, wait_until


# ---------------------------------------------------------------- documents for calls

def test_documents_posted_before_the_call_are_taken_in_order(flows):
    sid = "CA" + "1" * 32
    for verbs in ("<Say>one</Say><Redirect/>", "<Say>two</Say><Hangup/>"):
        posted = flows.answer(sid, verbs)
        assert posted.status == 200 and posted.headers["x-delivered"] == "0"
    call = flows.call(form={"CallSid": sid}).join(10)
    assert call.ok and call.heard == ["one", "two"] and call.ended == "hangup"


def test_a_document_goes_to_the_call_byte_for_byte(flows):
    sent = '<Response><!-- \u00e4 & raw --><Gather action="/x?a=1&b=2"/>\r\n<Say  loop=\'1\'>\t&#65;</Say></Response>\n'
    answer = []
    caller = threading.Thread(target=lambda: answer.append(flows.pubsub.post(
        "call.xml", "CallSid=CAbytes", FORM, session=False)))
    caller.start()
    assert flows.poll(timeout=10)[0]["FormParams"]["CallSid"] == "CAbytes"
    posted = flows.pubsub.post("call.xml/CAbytes", sent, "text/xml", session=False)
    assert posted.status == 200 and posted.headers["x-delivered"] == "1" and posted.body == b""
    caller.join(5)
    assert answer[0].status == 200 and answer[0].body == sent.encode()
    assert answer[0].headers["content-type"] == "text/xml" and answer[0].headers["content-length"]


def test_an_empty_document_is_an_empty_response(flows):
    call = flows.call()
    flows.wait_event(call)
    assert flows.pubsub.post(f"call.xml/{call.sid}", b"", FORM, session=False).status == 200
    assert call.join(5).ok and call.ended == "document"


def test_two_calls_get_each_its_own(flows):
    calls = [flows.call() for _ in range(2)]
    got = []
    wait_until(lambda: got.extend(flows.poll(timeout=2)) or len(got) == 2, 10)
    for call in reversed(calls):
        flows.answer(call, f"<Say>{call.sid}</Say>")
    for call in calls:
        assert call.join(5).heard == [call.sid]


# ---------------------------------------------------------------- hold, Redirect, resume

def test_hold_times_out_into_a_redirect_and_comes_back_without_a_second_event(flows):
    call = flows.call("call.xml?timeout=1s")
    event = flows.wait_event(call)
    wait_until(lambda: len(call.asked) >= 1, 5, "the hold didn't end")
    assert call.asked[0].outcome == 200
    assert flows.poll(timeout=1) == [], "no second event"
    posted = flows.answer(call, "<Say>at last</Say><Hangup/>")
    assert posted.headers["x-delivered"] == "1", "the call is held again"
    assert call.join(5).ok and call.heard == ["at last"]
    assert urllib.parse.urlsplit(call.asked[1].url).path == f"/{SID}/call.xml/{call.sid}/"
    assert event["Url"].endswith("/call.xml?timeout=1s")
    assert flows.poll(timeout=0) == [] and flows.poll("call.xml/missed", timeout=0) == []


def test_the_redirect_is_what_the_documentation_prints(flows):
    answer = flows.pubsub.post("call.xml", f"CallSid=CA7&AccountSid={SID}", FORM, session=False, timeout="500ms")
    assert answer.status == 200 and answer.headers["content-type"].startswith("application/xml")
    assert answer.body == f"<Response><Redirect>/{SID}/call.xml/CA7/</Redirect></Response>".encode()


def test_the_short_redirect_of_the_documentation_is_understood(flows):
    """/call.xml/<CallSid>/ names no account; the form does."""
    answer = []

    def resume():
        answer.append(flows.pubsub.request("POST", "/call.xml/CA8/", f"CallSid=CA8&AccountSid={SID}".encode(),
                                           {"Content-Type": FORM}))

    caller = threading.Thread(target=resume)
    caller.start()
    time.sleep(0.3)
    flows.answer("CA8", "<Hangup/>")
    caller.join(12)
    assert answer[0].status == 200 and answer[0].body == b"<Response><Hangup/></Response>", answer
    assert flows.poll(timeout=0) == []


def test_an_event_keeps_its_place_while_its_call_is_between_redirect_and_resume(flows):
    first = flows.pubsub.post("call.xml", "CallSid=CA1", FORM, session=False, timeout="200ms")
    assert b"<Redirect>" in first.body
    second = flows.call()
    flows.wait_event(second)  # and not the parked call's, which came first
    resumed = threading.Thread(target=lambda: flows.pubsub.post("call.xml/CA1", "CallSid=CA1&From=%2B1", FORM,
                                                                session=False, timeout="5s"))
    resumed.start()
    got = flows.poll(timeout=5)
    assert [(m["FormParams"]["CallSid"], m.get("Redelivered")) for m in got] == [("CA1", None)]
    flows.answer("CA1", "<Hangup/>")
    resumed.join(10)


def test_a_call_that_does_not_come_back_is_missed(flows):
    assert flows.pubsub.post("call.xml", "CallSid=CA1", FORM, session=False, timeout="200ms").status == 200
    got = flows.poll("call.xml/missed", timeout=10)
    assert [m["FormParams"]["CallSid"] for m in got] == ["CA1"]
    assert flows.poll(timeout=0) == []


def test_a_caller_who_hangs_up_while_held_is_missed(flows):
    call = flows.call()
    time.sleep(0.5)
    call.hang_up()
    got = flows.poll("call.xml/missed", timeout=10)
    assert [m["FormParams"]["CallSid"] for m in got] == [call.sid]
    assert got[0]["FormParams"]["From"] and flows.poll(timeout=0) == []


def test_events_of_calls_that_are_not_held_can_be_had_too(flows):
    assert flows.pubsub.post("call.xml", "CallSid=CA1", FORM, session=False, timeout="200ms").status == 200
    assert flows.poll(timeout=0) == []
    assert [m["FormParams"]["CallSid"] for m in flows.poll(timeout=1, include="dead")] == ["CA1"]


@pytest.mark.parametrize("headers", [{"I-Twilio-Idempotency-Token": "t1"}, {"X-Zang-Attempt": "2"}])
def test_a_retry_takes_over(flows, headers):
    """Two requests of one call are open at a time: the newer gets the document, the older its Redirect."""
    old, new = [], []
    first = {**headers, **({"X-Zang-Attempt": "1"} if "X-Zang-Attempt" in headers else {})}
    threads = [flows.post_held(f"CallSid=CA1&AccountSid={SID}", old, first)]
    time.sleep(0.5)
    threads.append(flows.post_held(f"CallSid=CA1&AccountSid={SID}", new, headers))
    time.sleep(0.5)
    assert len(flows.poll(timeout=1)) == 1, "one call, one event"
    assert flows.answer("CA1", "<Say>x</Say>").headers["x-delivered"] == "1"
    for thread in threads:
        thread.join(10)
    assert new[0].body == b"<Response><Say>x</Say></Response>"
    assert b"<Redirect>" in old[0].body
    assert flows.poll(timeout=0.2) == []


def test_a_platform_that_loses_patience_tries_again_and_is_answered(flows):
    """The hold is longer than the platform waits: its first connection is dropped, its second is held."""
    call = flows.call(timeout=1.0, retries=3)
    time.sleep(1.5)
    assert call.asked and call.asked[0].outcome == "no answer in 1 s"
    flows.answer(call, "<Say>x</Say>")
    assert call.join(5).ok and call.heard == ["x"]
    assert {m["FormParams"]["CallSid"] for m in flows.poll("call.xml/missed", timeout=0.5)} <= {call.sid}


def test_a_call_survives_kill_9_of_the_daemon(flows):
    """The connection breaks, the platform tries again, the call is held anew; its event is still one."""
    call = flows.call(retries=20, retry_delay=0.5)
    time.sleep(0.5)
    flows.daemon.kill()
    flows.daemon.start()
    flows.wait_event(call)
    assert flows.answer(call, "<Say>still here</Say><Hangup/>").status == 200
    assert call.join(10).ok and call.heard == ["still here"]
    assert flows.poll(timeout=0.5) == []


def test_a_webhook_by_get_is_a_call_too(flows):
    call = flows.call(method="GET")
    event = flows.wait_event(call)
    assert event["FormParams"]["FromState"] == "CA" and event["AccountSid"] == SID
    flows.answer(call, "<Say>x</Say>")
    assert call.join(5).ok and call.heard == ["x"]

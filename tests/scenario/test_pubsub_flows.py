# SPDX-License-Identifier: MIT
"""The flows of the hosted PubSub's documentation, as its users have them: shell scripts with curl and grep
against the daemon, and a simulated CPaaS at the other end.

The scripts are those in examples/. The caller is from California: the forms are full of `CA` behind and
before the CallSid, which is what `grep -oh "CA\\w*" | head -n 1` must not trip over.
"""
import json
import re
import subprocess
import threading
import time
import urllib.parse

import pytest

import harness
from cpaas_call import PLACES, Message
from cpaas_http import Webhook
from flows import CONFIG, EXAMPLES, FORM, Flows
from harness import SID, TOKEN, wait_until


def shell(daemon, text):
    """A command line as a user has it in a terminal; its output."""
    env = {**harness.child_env(), "U": daemon.url, "Q": f"{daemon.url}/{SID}", "ME": f"{SID}:{TOKEN}"}
    done = subprocess.run(["sh", "-c", text], env=env, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done
    return done.stdout


# ---------------------------------------------------------------- session, subscribe, publish

def test_session_subscribe_publish(flows):
    d = flows.daemon
    session = shell(d, 'curl -s -u "$ME" "$U/auth?ttl=10m"').decode()
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", session)
    out = []
    poll = threading.Thread(target=lambda: out.append(shell(d, f'curl -s "$Q/orders?session={session}&timeout=10s"')))
    poll.start()
    time.sleep(0.3)
    assert shell(d, 'curl -s "$Q/orders/?from=web" -d "name=value&To=%2B1555&AccountSid=AC1"') == b""
    poll.join(10)
    created = rb'"Created":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d)"'
    assert re.fullmatch(rb'\[\n{"Hostname":"127\.0\.0\.1","AccountSid":"AC1","Url":"/%s/orders/\?from=web",'
                        rb'"FormParams":{"AccountSid":"AC1","To":"\+1555","name":"value"},%s,'
                        rb'"QueryParams":{"from":"web"},"Id":"[0-9a-f]+"}\n\]\n' % (SID.encode(), created), out[0]), out


@pytest.mark.parametrize("how", ["-H 'Authorization: $S'", "-H 'Authorization: Bearer $S'", "-u '$ME'", "?session=$S"])
def test_every_way_to_show_a_session(flows, how):
    session = shell(flows.daemon, 'curl -s -u "$ME" "$U/auth"').decode()
    options = how.replace("$S", session).replace("$ME", f"{SID}:{TOKEN}")
    query, options = (options, "") if options.startswith("?") else ("?", options)
    url = f"$Q/q{query}&timeout=0"
    assert shell(flows.daemon, f'curl -s -i {options} "{url}"').startswith(b"HTTP/1.1 200")
    assert shell(flows.daemon, f'curl -s {options} "{url}"') == b"[]\n"


# ---------------------------------------------------------------- the flows of the documentation

def sms_flow(flows, text="See you at 5"):
    script = flows.script("sms-loop.sh")
    time.sleep(1.5)  # longer than one poll: an empty answer must not end the loop
    assert script.process.poll() is None, script.lines
    message = Message(Webhook(), f"{flows.daemon.url}/{SID}/SMS", SID, text).run()
    assert message.ok, message.failure
    assert script.result() == 0
    got = json.loads(next(line for line in script.lines if "Sid" in line))
    assert got["FormParams"]["Body"] == text and got["FormParams"]["MessageSid"] == message.sid


def hello_flow(flows):
    """Ends as it does in life: the caller hears the greeting, is put on hold again, and hangs up."""
    script = flows.script("hello-call.sh")
    script.wait_line("waiting")
    call = flows.call()
    assert script.result() == 0, script.lines
    assert f"answering {call.sid}" in script.lines
    flows.hear(call, "Hello World")
    time.sleep(0.5)  # the Redirect: held at call.xml a second time
    call.hang_up()
    assert call.join(5).ok and call.ended == "caller" and call.heard == ["Hello World"]
    return call


def gather_flow(flows, keys="12", thanks="12"):
    script = flows.script("gather-call.sh")
    script.wait_line("waiting")
    call = flows.call(keys=[keys])
    assert script.result() == 0, (script.lines, call.asked)
    assert f"Got Digits: {thanks}" in script.lines
    call.join(10)
    assert call.ok and call.ended == "hangup", call.failure
    assert call.heard == ["Please enter two digits", f"Thank you for entering {thanks}"]
    action = urllib.parse.urlsplit(call.asked[1].url)
    assert action.path == f"/{SID}/calls/events/NodeId-11/{call.sid}.xml"
    assert action.query == "event-type=gather-action&callId=callID&routeId=routeId&mediaRequestID=requestId"
    assert any("raw &" in note for note in call.notes), "the script's document has its raw &"
    return call


def test_sms_loop(flows):
    sms_flow(flows)


@pytest.mark.limit(90)
def test_hello_world(flows):
    hello_flow(flows)


@pytest.mark.limit(90)
@pytest.mark.parametrize("keys,thanks", [("12", "12"), ("7#", "7")])
def test_gather(flows, keys, thanks):
    gather_flow(flows, keys, thanks)


def test_gather_without_digits(flows):
    """The document goes on behind <Gather>; the script is told nothing, and waits out its 30 s."""
    script = flows.script("gather-call.sh")
    script.wait_line("waiting")
    call = flows.call()
    assert call.join(20).ok and call.ended == "hangup"
    assert call.heard == ["Please enter two digits", "No digits detected"]
    assert script.process.poll() is None, script.lines


@pytest.mark.limit(180)
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_all_scripts_one_after_the_other_and_again_after_a_restart(flows, end):
    """The trap: hello's last Redirect leaves an event of a dead call; gather must get its own caller's."""
    dead = []
    for again in (False, True):
        if again:
            getattr(flows.daemon, end)()
            flows.daemon.start()
        sms_flow(flows)
        dead.append(hello_flow(flows).sid)
        gather_flow(flows)
        dead.append(hello_flow(flows).sid)
    # After a restart a call is expected back for a while (`park`) before it counts as dead. What is on its
    # way to `missed` when the daemon ends may be there twice.
    missed = set()
    wait_until(lambda: missed.update(m["FormParams"]["CallSid"] for m in flows.poll("call.xml/missed", timeout=1))
               or len(missed) >= len(dead), 15, f"{dead} were not answered")
    assert missed == set(dead)
    assert flows.poll(timeout=0) == []


def test_nothing_before_the_call_sid_looks_like_one(flows):
    call = flows.call()
    raw = flows.pubsub.request("GET", flows.pubsub.target("call.xml", session=flows.pubsub.session,
                                                          timeout="10s")).body.decode()
    assert raw.count("CALIFORNIA CITY") == 2 and '"CallerState":"CA"' in raw and '"FromZip":"93505"' in raw
    assert re.search(r"CA\w*", raw)[0] == call.sid
    form = json.loads(raw)[0]["FormParams"]
    assert list(form) == sorted(form) and PLACES.items() <= form.items()


# ---------------------------------------------------------------- the program

def test_the_example_runs_against_the_daemon(flows):
    script = flows.script("hello-call.sh")
    script.wait_line("waiting")
    env = {"VOXBUS_URL": flows.daemon.url, "VOXBUS_SID": SID, "VOXBUS_TOKEN": TOKEN}
    done = harness.run_program(EXAMPLES / "cpaas-sim", "--hang-up", "3", "--speed", "20", "--expect", "Hello World",
                               timeout=20, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hears: Hello World" in done.stdout and "the caller hangs up" in done.stdout
    assert script.result() == 0
    assert any(line.endswith("<Response> <Say>Hello World</Say> <Redirect>/%s/call.xml</Redirect></Response>" % SID)
               for line in done.stdout.splitlines()), done.stdout
    done = harness.run_program(EXAMPLES / "cpaas-sim", "--hang-up", "1", timeout=20, env=env)
    assert done.returncode == 1 and "heard nothing" in done.stdout


# ---------------------------------------------------------------- signed webhooks

PUBLIC = "https://vb.example.com"


@pytest.fixture
def signed(daemon):
    """As behind a reverse proxy: the platform signs the public URL, requests come to the daemon's port."""
    bus = {**CONFIG["buses"][0], "publish": "signed-or-session"}
    http_port = harness.free_port()
    d = daemon({"http": {"listen": [f"127.0.0.1:{http_port}"], "public_url": PUBLIC}, "buses": [bus]},
               http_port=http_port)
    f = Flows(d)
    yield f
    f.end()


def test_a_signed_call_is_answered_by_a_session(signed):
    call = signed.call(base=PUBLIC, token=TOKEN, via=signed.daemon.url)
    assert signed.wait_event(call)["Hostname"] == "vb.example.com"
    assert signed.answer(call, "<Hangup/>").status == 401, "documents, too, are for those who may publish"
    text = "<Response><Redirect>?step=2&amp;x=a+b</Redirect></Response>"
    assert signed.pubsub.post(f"call.xml/{call.sid}", text, FORM).status == 200
    signed.wait_event(call)  # the Redirect's query was signed, too
    assert signed.pubsub.post(f"call.xml/{call.sid}", "<Response><Say>x</Say></Response>", FORM).status == 200
    assert call.join(10).ok and call.heard == ["x"], call.failure


def test_a_signed_text_message_is_taken_and_others_are_not(signed):
    signed.daemon.expect_log("signature refused")

    def send(token, base=PUBLIC):
        webhook = Webhook(token=token, via=signed.daemon.url, retries=0)
        return Message(webhook, f"{base}/{SID}/SMS", SID, "hi & bye").run()

    assert send(TOKEN).ok
    assert [m["FormParams"]["Body"] for m in signed.poll("SMS", timeout=5)] == ["hi & bye"]
    assert "HTTP 401" in send(None).failure
    for message in (send("another-token"), send(TOKEN, base="http://vb.example.com")):
        assert "HTTP 403" in message.failure and f"{PUBLIC}/{SID}/SMS" in message.failure, "which URL was checked"
    signed.daemon.wait_log("signature refused")
    assert signed.poll("SMS", timeout=0) == []

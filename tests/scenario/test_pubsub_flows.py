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

import pytest

import harness
from cpaas_call import Message
from cpaas_http import Webhook
from harness import SID, TOKEN


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
    time.sleep(2.5)  # longer than one poll: an empty answer must not end the loop
    assert script.process.poll() is None, script.lines
    message = Message(Webhook(), f"{flows.daemon.url}/{SID}/SMS", SID, text).run()
    assert message.ok, message.failure
    assert script.result() == 0
    got = json.loads(next(line for line in script.lines if "Sid" in line))
    assert got["FormParams"]["Body"] == text and got["FormParams"]["MessageSid"] == message.sid


def test_sms_loop(flows):
    sms_flow(flows)

# SPDX-License-Identifier: MIT
"""The simulated CPaaS against a scripted webhook: what it posts, how it reads documents, when it gives up."""
import http.server
import os
import pathlib
import subprocess
import sys
import threading
import time
import urllib.parse

import pytest

import cpaas_xml
from cpaas_call import Call, Message
from cpaas_http import Webhook, join_url, sign

SIM = pathlib.Path(__file__).resolve().parents[2] / "examples" / "cpaas-sim"
SID = "AC" + "0" * 32
FAST = 200


class Hook:
    """A webhook: answers[path] is a list of what successive requests get; the last one stays.
    An answer is XML, (status, XML), or a function of the request handler."""

    def __init__(self):
        self.answers = {}
        self.seen = []  # (method, target, form, headers)
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                path, _, query = self.path.partition("?")
                form = dict(urllib.parse.parse_qsl(body or query, keep_blank_values=True))
                hook.seen.append((self.command, self.path, form, {k.lower(): v for k, v in self.headers.items()}))
                answers = hook.answers[path]
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if callable(answer):
                    answer(self)
                    return
                status, text = answer if isinstance(answer, tuple) else (200, answer)
                self.send_response(status)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = serve

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def paths(self):
        return [target for _, target, _, _ in self.seen]


@pytest.fixture
def hook():
    h = Hook()
    yield h
    h.close()


def call(hook, *documents, webhook=None, path="/call.xml", **options):
    hook.answers[path] = list(documents)
    options.setdefault("speed", FAST)
    return Call(webhook or Webhook(), hook.url + path, SID, **options)


# ---------------------------------------------------------------- reading documents

@pytest.mark.parametrize("text,name,attributes,inside", [
    ("<Say>Hello</Say>", "Say", {}, "Hello"),
    ('<?xml version="1.0"?>\n<!-- x -->\n<Say a="1" b=\'2\'> Hi </Say>\n', "Say", {"a": "1", "b": "2"}, " Hi "),
    ("<Say>a &amp; b &lt;c&gt; &#65;&#x42;</Say>", "Say", {}, "a & b <c> AB"),
    ("<Say><![CDATA[a <b> & c]]></Say>", "Say", {}, "a <b> & c"),
    ('<Gather action="http://h/x?a=1&b=2&callId=c"/>', "Gather", {"action": "http://h/x?a=1&b=2&callId=c"}, ""),
    ('<Gather action="http://h/x?a=1&amp;b=2"/>', "Gather", {"action": "http://h/x?a=1&b=2"}, ""),
    ("<Say>A & B, C&D; &copy;</Say>", "Say", {}, "A & B, C&D; &copy;"),
    ("\ufeff<Say/>", "Say", {}, ""),
    ("<Say>\u00e4\u20ac</Say>", "Say", {}, "\u00e4\u20ac"),
])
def test_documents_are_read_leniently(text, name, attributes, inside):
    root = cpaas_xml.parse(text.encode()).root
    assert (root.name, root.attributes, root.text) == (name, attributes, inside)


def test_what_a_strict_platform_would_refuse_is_noted():
    assert cpaas_xml.parse('<R a="1&amp;2"/>').notes == []
    assert "raw &" in cpaas_xml.parse('<R a="1&b=2"/>').notes[0]
    assert "&nbsp;" in cpaas_xml.parse("<R>&nbsp;</R>").notes[0]


@pytest.mark.parametrize("text,why", [
    ("", "empty"), ("hello", "expected <Response>"), ("<Response>", "not closed"), ("<A></B>", "closed by </B>"),
    ("<A b=1/>", "quotes"), ("<A b/>", "no value"), ('<A b="1', "no end"), ("<A/><B/>", "follows"),
    ("<A><!-- </A>", "no end"), ('<A b="1" b="2"/>', "twice"), ("<A>" * 40 + "</A>" * 40, "deep"),
    ("{}", "expected <Response>"), (b"<A>\xff</A>", "UTF-8"),
])
def test_what_is_no_document_is_said(text, why):
    with pytest.raises(cpaas_xml.XmlError, match=why):
        cpaas_xml.parse(text)


def test_a_document_cut_anywhere_is_an_error_and_never_a_crash():
    whole = '<?xml version="1.0"?><Response><Gather a="x&amp;y"><Say>Hi &#65; <![CDATA[x]]></Say></Gather></Response>'
    cpaas_xml.parse(whole)
    for n in range(len(whole)):
        with pytest.raises(cpaas_xml.XmlError):
            cpaas_xml.parse(whole[:n])


@pytest.mark.parametrize("target,result", [
    ("https://other/x.xml?a=1&b=2", "https://other/x.xml?a=1&b=2"),
    ("/AC1/call.xml/CA1/", "http://h:8090/AC1/call.xml/CA1/"),
    ("next.xml", "http://h:8090/AC1/next.xml"),
    ("?step=2", "http://h:8090/AC1/call.xml?step=2"),
    (" /a b\n", "http://h:8090/a%20b"),
    ("//other/x", "http://other/x"),
])
def test_urls_are_joined(target, result):
    assert join_url("http://h:8090/AC1/call.xml", target) == result


# ---------------------------------------------------------------- signing

def test_signatures_are_those_that_twilio_publishes():
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    form = [("CallSid", "CA1234567890ABCDE"), ("Caller", "+14158675309"), ("Digits", "1234"),
            ("From", "+14158675309"), ("To", "+18005551212")]
    assert sign("12345", url, form) == sign("12345", url, form[::-1] + form) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    body = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
    assert sign("12345", f"{url}&bodySHA256={body}") == "a9nBmqA0ju/hNViExpshrM61xv4="


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_requests_are_signed_over_the_url_as_given(hook, method):
    webhook = Webhook("12345", "X-Zang-Signature", via=hook.url)
    hook.answers["/call.xml"] = ["<Response/>"]
    c = Call(webhook, "https://vb.example.com/call.xml?a=1", SID, method=method).run()
    assert c.ok, c.failure
    _, target, form, headers = hook.seen[0]
    params = form.items() if method == "POST" else ()
    assert headers["x-zang-signature"] == sign("12345", "https://vb.example.com" + target, params)
    assert headers["host"] == "vb.example.com" and headers["x-forwarded-proto"] == "https"
    assert headers["x-zang-attempt"] == "1"


def test_unsigned_unless_told(hook):
    call(hook, "<Response/>").run()
    assert not [name for name in hook.seen[0][3] if name.endswith("-signature")]


# ---------------------------------------------------------------- forms

def test_the_form_of_a_call_is_complete(hook):
    call(hook, "<Response><Redirect/></Response>", "<Response/>", form={"FromZip": "94601", "From": "+1510"}).run()
    method, _, form, headers = hook.seen[0]
    assert method == "POST" and headers["content-type"].startswith("application/x-www-form-urlencoded")
    assert form["AccountSid"] == SID and form["CallSid"].startswith("CA") and len(form["CallSid"]) == 34
    assert (form["CallStatus"], form["FromState"], form["FromZip"]) == ("ringing", "CA", "94601")
    assert form["Caller"] == form["From"] == "+1510" and form["Called"] == form["To"]
    assert {"CalledCity", "CallerState", "FromCity", "FromCountry", "Direction", "ApiVersion"} <= set(form)
    assert hook.seen[1][2] == {**form, "CallStatus": "in-progress"}


def test_get_has_the_form_in_its_query(hook):
    call(hook, "<Response/>", method="GET", path="/a").run()
    method, target, form, headers = hook.seen[0]
    assert method == "GET" and target.startswith("/a?AccountSid=") and "content-type" not in headers
    assert form["CallStatus"] == "ringing"


def test_a_text_message_and_its_replies(hook):
    hook.answers["/SMS"] = ["<Response><Message>Hi</Message><Message><Body>there</Body></Message></Response>"]
    m = Message(Webhook(), hook.url + "/SMS", SID, "See you & me").run()
    assert m.ok and m.replies == ["Hi", "there"]
    form = hook.seen[0][2]
    assert form["Body"] == "See you & me" and form["MessageSid"] == form["SmsSid"] == m.sid and m.sid[:2] == "SM"
    hook.answers["/SMS"] = [""]
    assert Message(Webhook(), hook.url + "/SMS", SID, "x").run().ok
    hook.answers["/SMS"] = [(403, "no")]
    assert "HTTP 403" in Message(Webhook(), hook.url + "/SMS", SID, "x").run().failure


def test_the_status_callback_comes_at_the_end(hook):
    hook.answers["/status"] = [""]
    c = call(hook, "<Response><Hangup/></Response>", status_callback=hook.url + "/status").run()
    assert c.ok and hook.seen[-1][2]["CallStatus"] == "completed" and hook.seen[-1][2]["CallSid"] == c.sid


# ---------------------------------------------------------------- verbs

@pytest.mark.parametrize("inside,heard,ended", [
    ("<Say>Hello\n  World</Say>", ["Hello World"], "document"),
    ("<Say loop='2'>a</Say><Hangup/><Say>b</Say>", ["a", "a"], "hangup"),
    ("<Play>/hello.mp3</Play><Pause length='2'/>", ["[{url}/hello.mp3]"], "document"),
    ("<Play digits='12'/>", ["[keys 12]"], "document"),
    ("<Reject reason='busy'/>", [], "rejected"),
    ("<Dial>+1</Dial><say>x</say><Say>b</Say>", ["b"], "document"),
    ("", [], "document"),
])
def test_verbs_are_carried_out(hook, inside, heard, ended):
    c = call(hook, f"<Response>{inside}</Response>").run()
    assert c.ok and c.ended == ended
    assert c.heard == [h.replace("{url}", hook.url) for h in heard]
    assert ("<Dial> is not simulated, passed over" in c.notes) == ("Dial" in inside)


def test_an_empty_answer_ends_the_call(hook):
    assert call(hook, "").run().ended == "document"


@pytest.mark.parametrize("attributes,keys,digits,pressed", [
    ("", "12#", "12", "#"),
    ("", "1w2", "12", ""),
    ("numDigits='2'", "123", "12", ""),
    ("numDigits='2' finishOnKey='#'", "1#", "1", "#"),
    ("finishOnKey='*'", "1#2*3", "1#2", "*"),
    ("finishOnKey='' numDigits='3'", "1#*", "1#*", ""),
    ("", "#", "", "#"),
    ("timeout='1'", "1wwww2", "1", ""),
])
def test_gather_sends_what_was_pressed(hook, attributes, keys, digits, pressed):
    hook.answers["/got"] = ["<Response><Hangup/></Response>"]
    c = call(hook, f"<Response><Gather action='/got?a=1&b=2' {attributes}><Say>Keys?</Say></Gather>"
             "<Say>none</Say></Response>", keys=[keys]).run()
    assert c.ok and c.heard == ["Keys?"], c.failure
    assert hook.paths()[-1] == "/got?a=1&b=2"
    form = hook.seen[-1][2]
    assert form["Digits"] == digits and form.get("FinishedOnKey", "") == pressed and form["CallSid"] == c.sid


def test_gather_without_keys_goes_on(hook):
    c = call(hook, "<Response><Gather timeout='2'/><Say>No digits</Say><Hangup/></Response>").run()
    assert c.heard == ["No digits"] and c.ended == "hangup" and len(hook.seen) == 1
    c = call(hook, "<Response><Gather timeout='2' actionOnEmptyResult='true'/></Response>", "<Response/>").run()
    assert hook.seen[-1][2]["Digits"] == "", "to the document's own URL"


def test_gather_by_get_barge_in_and_a_second_gather(hook):
    hook.answers["/got"] = ["<Response><Gather action='/last'/></Response>"]
    hook.answers["/last"] = ["<Response/>"]
    c = call(hook, "<Response><Gather action='/got' method='GET'><Say>Keys?</Say></Gather></Response>",
             keys=["1#", "2#"], barge_in=True).run()
    assert c.ok and c.heard == []
    assert [(m, f.get("Digits")) for m, _, f, _ in hook.seen] == [("POST", None), ("GET", "1"), ("POST", "2")]


def test_keys_can_be_typed(hook):
    lines = iter(["1", "x2\n", "#"])
    hook.answers["/got"] = ["<Response/>"]
    c = call(hook, "<Response><Gather action='/got'/></Response>", typed=lambda _: next(lines)).run()
    assert c.ok and hook.seen[-1][2]["Digits"] == "12"
    c = call(hook, "<Response><Gather action='/got'/><Say>none</Say></Response>", typed=lambda _: None).run()
    assert c.heard == ["none"]


def test_redirects_are_followed_and_bounded(hook):
    hook.answers["/AC1/call.xml/CA1/"] = ["<Response><Redirect method='GET'>../../b.xml</Redirect></Response>"]
    hook.answers["/AC1/b.xml"] = ["<Response><Hangup/></Response>"]
    c = call(hook, "<Response><Redirect>/AC1/call.xml/CA1/</Redirect><Say>never</Say></Response>").run()
    assert c.ok and c.heard == []
    assert [(m, t.partition("?")[0]) for m, t, _, _ in hook.seen] == [
        ("POST", "/call.xml"), ("POST", "/AC1/call.xml/CA1/"), ("GET", "/AC1/b.xml")]
    c = call(hook, "<Response><Redirect/></Response>").run()
    assert "for ever" in c.failure and not c.ok


def test_time_passes_as_on_the_telephone(hook):
    began = time.monotonic()
    call(hook, "<Response><Pause length='10'/></Response>", speed=20).run()
    assert 0.5 <= time.monotonic() - began < 2


# ---------------------------------------------------------------- what goes wrong

@pytest.mark.parametrize("answer,why", [
    ((404, "no"), "HTTP 404"), ("hello", "no XML"), ("<Html/>", "<Html>, not <Response>"),
    ("<Response><Say>", "not closed"),
])
def test_a_bad_answer_fails_the_call(hook, answer, why):
    c = call(hook, answer).run()
    assert why in c.failure and c.ended == "failed" and not c.ok and len(hook.seen) == 1


def hang(seconds):
    return lambda handler: time.sleep(seconds)


def test_a_retry_carries_the_same_token_and_counts(hook):
    c = call(hook, (503, ""), lambda handler: handler.connection.close(), hang(2), "<Response><Say>a</Say></Response>",
             webhook=Webhook(timeout=0.3, retries=3)).run()
    assert c.ok and c.heard == ["a"]
    assert len({h["i-twilio-idempotency-token"] for _, _, _, h in hook.seen}) == 1
    assert [h["x-twilio-attempt"] for _, _, _, h in hook.seen] == ["1", "2", "3", "4"]
    assert [a.outcome for a in c.asked][0::3] == [503, 200] and c.asked[2].outcome == "no answer in 0.3 s"


def test_retries_wait_as_long_as_told(hook):
    began = time.monotonic()
    c = call(hook, (500, ""), "<Response/>", webhook=Webhook(retry_delay=0.4)).run()
    assert c.ok and 0.4 <= time.monotonic() - began < 2
    c = call(hook, (500, ""), "<Response/>", webhook=Webhook(retry_delay=30), hang_up_after=0.3).run()
    assert c.ended == "caller" and time.monotonic() - began < 4, "hanging up ends the wait"


def test_a_webhook_that_never_answers_fails_the_call(hook):
    began = time.monotonic()
    c = call(hook, hang(3), webhook=Webhook(timeout=0.2, retries=1)).run()
    assert "no answer in 0.2 s (2 attempts)" in c.failure and time.monotonic() - began < 2


def test_an_answer_that_dribbles_is_cut_at_the_timeout(hook):
    def dribble(handler):
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X" * 100:
            handler.wfile.write(bytes([byte]))
            time.sleep(0.05)

    began = time.monotonic()
    c = call(hook, dribble, webhook=Webhook(timeout=0.3, retries=0)).run()
    assert "no answer in 0.3 s" in c.failure and time.monotonic() - began < 2


def test_nobody_listens(hook):
    url = hook.url
    hook.close()
    c = Call(Webhook(retries=0), url + "/call.xml", SID).run()
    assert "refused" in c.failure


def test_the_caller_hangs_up_in_the_middle_of_a_request(hook):
    cut = threading.Event()

    def wait(handler):
        if handler.connection.recv(1) == b"":
            cut.set()

    c = call(hook, wait, hang_up_after=0.3).run()
    assert c.ended == "caller" and not c.ok and c.failure is None
    assert cut.wait(2), "the connection was dropped"
    assert [a.outcome for a in c.asked] == ["hung up"], "no retry"


def test_the_caller_hangs_up_while_listening(hook):
    c = call(hook, "<Response><Say>Hello</Say><Pause length='60'/></Response>", speed=1).start()
    while not c.heard:
        time.sleep(0.01)
    c.hang_up()
    assert c.join(2).ended == "caller" and c.ok


# ---------------------------------------------------------------- the command line

def run(*args, **env):
    env = {**os.environ, "VOXBUS_ACCOUNT": "/nonexistent", **env}
    return subprocess.run([str(SIM), *args], env=env, capture_output=True, text=True, timeout=20, check=False)


def test_the_program_prints_what_the_caller_hears(hook):
    hook.answers["/AC1/call.xml"] = ["<Response><Gather action='/got'><Say>Keys?</Say></Gather></Response>"]
    hook.answers["/got"] = ["<Response><Say>Thanks</Say><Hangup/></Response>"]
    done = run(hook.url + "/AC1/call.xml", "--keys", "12#", "--speed", "100", "--expect", "Thanks", "--form", "FromState=NV")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line[7:].strip() for line in done.stdout.splitlines()]
    assert [line for line in lines if line.startswith("hears")] == ["hears: Keys?", "hears: Thanks"]
    assert hook.seen[0][2]["AccountSid"] == "AC1" and hook.seen[0][2]["FromState"] == "NV"
    done = run(hook.url + "/AC1/call.xml", "--speed", "100", "--expect", "Thanks")
    assert done.returncode == 1 and "not heard: Thanks" in done.stdout


def test_the_program_finds_the_account(hook, tmp_path):
    (tmp_path / "account").write_text("VOXBUS_SID=ACabc\nVOXBUS_TOKEN=t0ken\n")
    env = {"VOXBUS_ACCOUNT": str(tmp_path / "account"), "VOXBUS_URL": hook.url}
    hook.answers["/ACabc/call.xml"] = hook.answers["/ACabc/SMS"] = ["<Response/>"]
    assert run("--sign", **env).returncode == 0
    _, target, form, headers = hook.seen[0]
    assert target == "/ACabc/call.xml"
    assert headers["x-twilio-signature"] == sign("t0ken", hook.url + target, form.items())
    assert run("--sms", "hello", **env).returncode == 0
    assert hook.seen[1][1] == "/ACabc/SMS" and hook.seen[1][2]["Body"] == "hello"


@pytest.mark.parametrize("args,why", [
    ([], "no account"), (["ftp://x"], "http://"), (["http://h/", "--keys", "12a"], "keys are"),
    (["http://h/", "--sign"], "no token"), (["http://h/", "--form", "x"], "NAME=VALUE"),
    (["http://h/", "--speed", "0"], "over 0"), (["http://h/", "--via", "h:1"], "--via"),
])
def test_a_wrong_command_line_is_said(args, why):
    done = run(*args)
    assert done.returncode == 2 and why in done.stderr


def test_a_caller_who_hears_nothing_is_a_failure(hook):
    hook.answers["/call.xml"] = [hang(3)]
    done = run(hook.url + "/call.xml", "--hang-up", "0.3")
    assert done.returncode == 1 and "heard nothing" in done.stdout


def test_nothing_but_the_standard_library_is_needed():
    done = subprocess.run([sys.executable, "-I", "-S", "-c",
                           f"import sys; sys.path.insert(0, {str(SIM.parents[1] / 'tests' / 'peers')!r}); import cpaas_sim"],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr

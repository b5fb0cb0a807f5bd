# SPDX-License-Identifier: MIT
"""A simulated telephone call (and a text message) of a CPaaS: forms out, documents in, verbs carried out.

    call = Call(Webhook(), url, sid, keys=["12#"], speed=20, say=print)
    call.run()                      # to its end, in this thread; call.start() runs it in a thread of its own
    call.hang_up()                  # from any thread: drops the request that is under way, ends every wait
    call.ok, call.ended, call.failure, call.heard, call.asked

A call POSTs its form to the URL, carries out the document that comes back (Say, Play, Pause, Gather,
Redirect, Hangup, Reject; other verbs are named and passed over), and asks the next URL, until it is hung
up. Time passes as on the telephone, divided by `speed`; only webhooks and `hang_up_after` run in real time.
"""
import random
import threading
import time

import cpaas_xml
from cpaas_http import HungUp, WebhookError, Wire, join_url

CHARACTERS_PER_S = 15.0   # of speech
PLAY_S = 2.0              # of a file, whatever it is: it is not fetched
KEY_S = 0.3               # between two keys
REQUESTS_MAX = 1000       # of one call, lest documents redirect for ever
LOOP_MAX = 1000
KEYS = "0123456789*#"

# An inbound call from California: its form is full of what a careless `grep CA` takes for a CallSid.
PLACES = {
    "CalledCity": "CARSON CITY", "CalledState": "NV", "CalledZip": "89701", "CalledCountry": "US",
    "CallerCity": "CALIFORNIA CITY", "CallerState": "CA", "CallerZip": "93505", "CallerCountry": "US",
    "FromCity": "CALIFORNIA CITY", "FromState": "CA", "FromZip": "93505", "FromCountry": "US",
    "ToCity": "CARSON CITY", "ToState": "NV", "ToZip": "89701", "ToCountry": "US",
}
FROM, TO = "+17605550123", "+17755550199"


def new_sid(prefix):
    return prefix + f"{random.getrandbits(128):032x}"


class CallFailed(Exception):
    """The platform gives up on the call; the text says why."""


class Party:
    """What a call and a text message have in common: a wire, a clock, a place to tell what happens."""

    def __init__(self, webhook, url, sid, method="POST", say=None, form=None):
        self.webhook = webhook
        self.url = url
        self.account = sid
        self.method = method
        self.more = dict(form or {})
        self.wire = Wire()
        self.asked = []      # every attempt at a webhook: cpaas_http.Asked
        self.notes = []      # what a strict platform would not like
        self.failure = None
        self._say = say
        self._began = time.monotonic()

    def tell(self, text):
        if self._say:
            self._say(f"{time.monotonic() - self._began:7.2f}  {text}")

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)
            self.tell(f"note: {text}")

    def ask(self, method, url, form):
        """Posts a form; the document that comes back, or None for an empty answer."""
        form = {**form, **self.more}
        shown = " ".join(f"{k}={form[k]}" for k in ("CallStatus", "Digits", "Body") if k in form)
        self.tell(f"{method} {url}  {shown}")
        try:
            answer = self.webhook.ask(method, url, sorted(form.items()), self.wire, self.asked)
        except WebhookError as e:
            raise CallFailed(str(e)) from None
        text = answer.body.decode("utf-8", "replace")
        kind = answer.headers.get("content-type", "no content type")
        again = f", attempt {answer.attempt}" if answer.attempt > 1 else ""
        self.tell(f"{answer.status} after {answer.seconds:.2f} s{again}: {kind}, {len(answer.body)} bytes  "
                  + " ".join(text.split()))
        if answer.status != 200:
            raise CallFailed(f"{method} {url}: HTTP {answer.status}: {text[:300]}")
        if not text.strip():
            return None
        try:
            document = cpaas_xml.parse(answer.body)
        except cpaas_xml.XmlError as e:
            raise CallFailed(f"{method} {url}: no XML: {e}") from None
        if document.root.name != "Response":
            raise CallFailed(f"{method} {url}: the document is <{document.root.name}>, not <Response>")
        for note in document.notes:
            self.note(note)
        return document.root


class Message(Party):
    """A text message that comes in: one webhook, and replies in its answer."""

    def __init__(self, webhook, url, sid, body, **options):
        super().__init__(webhook, url, sid, **options)
        self.body = body
        self.sid = self.more.get("MessageSid") or new_sid("SM")
        self.replies = []

    @property
    def ok(self):
        return self.failure is None

    def form(self):
        places = {k: v for k, v in PLACES.items() if k.startswith(("From", "To"))}
        return {"AccountSid": self.account, "ApiVersion": "2010-04-01", "Body": self.body, "From": FROM,
                "MessageSid": self.sid, "NumMedia": "0", "NumSegments": "1", "SmsMessageSid": self.sid,
                "SmsSid": self.sid, "SmsStatus": "received", "To": TO, **places}

    def run(self):
        try:
            document = self.ask(self.method, self.url, self.form())
            for element in document.children if document else ():
                if element.name in ("Message", "Sms"):
                    body = "".join(c.text for c in element.children if c.name == "Body") or element.text
                    self.replies.append(body.strip())
                    self.tell(f"reply: {self.replies[-1]}")
                else:
                    self.note(f"<{element.name}> is not simulated")
        except (HungUp, KeyboardInterrupt):
            pass
        except CallFailed as e:
            self.failure = str(e)
            self.tell(f"FAILED: {e}")
        return self


class Call(Party):
    """One call, from ringing to its end.

    keys: what the caller presses, one entry for each Gather in turn (`w` waits half a second); when there is
    none left nothing is pressed. typed: a function (seconds) -> a line, or None in
    time, that keys come from instead.
    barge_in: keys are pressed at once, the prompt is not heard. hang_up_after: real seconds.
    """

    def __init__(self, webhook, url, sid, keys=(), typed=None, barge_in=False, speed=1.0, hang_up_after=None,
                 status_callback=None, **options):
        super().__init__(webhook, url, sid, **options)
        self.sid = self.more.get("CallSid") or new_sid("CA")
        self.keys = list(keys)
        self.typed = typed
        self.barge_in = barge_in
        self.speed = speed
        self.hang_up_after = hang_up_after
        self.status_callback = status_callback
        self.heard = []      # texts of Say, "[URL]" of Play, in order
        self.ended = None    # caller, hangup, document, rejected, failed
        self.status = "ringing"
        self._thread = None
        self._at = None      # (method, URL) of the document that is carried out

    # ---- life
    @property
    def ok(self):
        """It went well: no webhook failed, and a caller who hung up had heard something."""
        return self.failure is None and (self.ended in ("hangup", "document", "rejected")
                                         or self.ended == "caller" and bool(self.heard))

    def hang_up(self):
        self.wire.hang_up()

    def start(self):
        self._thread = threading.Thread(target=self.run, daemon=True)
        self._thread.start()
        return self

    def join(self, timeout=60):
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"the call {self.sid} is still on (waited {timeout} s)")
        return self

    def run(self):
        timer = threading.Timer(self.hang_up_after or 0, self.hang_up)
        timer.daemon = True
        if self.hang_up_after is not None:
            timer.start()
        self.tell(f"{self.sid}: {self.form()['From']} calls {self.form()['To']}")
        try:
            self.ended = self._talk()
        except (HungUp, KeyboardInterrupt):
            self.ended = "caller"
            self.tell("the caller hangs up")
        except CallFailed as e:
            self.ended, self.failure = "failed", str(e)
            self.tell(f"FAILED: {e}")
        finally:
            timer.cancel()
        self._complete()
        return self

    def _talk(self):
        step = (self.method, self.url, {})
        for _ in range(REQUESTS_MAX):
            method, url, form = step
            document = self.ask(method, url, {**self.form(), **form})
            self._at = (method, url)
            self.status = "in-progress"
            step = self._carry_out(document)
            if isinstance(step, str):
                return step
        raise CallFailed(f"{REQUESTS_MAX} requests in one call: the documents redirect for ever")

    def _complete(self):
        """The status callback; the call is over whatever it answers."""
        self.status = "busy" if self.ended == "rejected" else "completed"
        if self.status_callback:
            self.wire = Wire()
            try:
                seconds = str(int(time.monotonic() - self._began))
                self.ask("POST", self.status_callback, {**self.form(), "CallDuration": seconds})
            except CallFailed as e:
                self.note(f"status callback: {e}")

    def form(self):
        caller, called = self.more.get("From", FROM), self.more.get("To", TO)
        return {"AccountSid": self.account, "ApiVersion": "2010-04-01", "CallSid": self.sid,
                "CallStatus": self.status, "Called": called, "Caller": caller, "Direction": "inbound",
                "From": caller, "To": called, **PLACES, **self.more}

    # ---- the document
    def _carry_out(self, document):
        """The next request, (method, url, form), or how the call ended."""
        for element in document.children if document is not None else ():
            verb = getattr(self, "_verb_" + element.name.lower(), None)
            if verb is None or not element.name[0].isupper():
                self.note(f"<{element.name}> is not simulated, passed over")
                continue
            step = verb(element)
            if step:
                return step
        self.tell("the document ends, and the call with it")
        return "document"

    def _sleep(self, seconds):
        """So many seconds of the call."""
        if self.wire.gone.wait(seconds / self.speed):
            raise HungUp

    def _number(self, element, attribute, default, low, high):
        text = element.attributes.get(attribute, "")
        if not text:
            return default
        if text.isdecimal() and low <= int(text) <= high:
            return int(text)
        self.note(f'<{element.name} {attribute}="{text}">: not {low} to {high}, {default} is taken')
        return default

    def _next(self, element, target, form=None):
        """A request that an element asks for; without a target to the document's own URL."""
        base = self._at[1]
        method = element.attributes.get("method", "POST").upper()
        if method not in ("GET", "POST"):
            self.note(f'<{element.name} method="{method}">: POST is taken')
            method = "POST"
        return method, join_url(base, target) if target.strip() else base, form or {}

    def _verb_say(self, element):
        text = " ".join(element.text.split())
        for _ in range(self._number(element, "loop", 1, 0, LOOP_MAX) or LOOP_MAX):
            self.heard.append(text)
            self.tell(f"hears: {text}")
            self._sleep(len(text) / CHARACTERS_PER_S)

    def _verb_play(self, element):
        _, base = self._at
        digits = element.attributes.get("digits")
        what = f"[keys {digits}]" if digits else f"[{join_url(base, element.text)}]"
        for _ in range(self._number(element, "loop", 1, 0, LOOP_MAX) or LOOP_MAX):
            self.heard.append(what)
            self.tell(f"hears: {what}")
            self._sleep(PLAY_S)

    def _verb_pause(self, element):
        seconds = self._number(element, "length", 1, 0, 600)
        self.tell(f"silence for {seconds} s")
        self._sleep(seconds)

    def _verb_redirect(self, element):
        return self._next(element, element.text)

    def _verb_hangup(self, _element):
        self.tell("the application hangs up")
        return "hangup"

    def _verb_reject(self, element):
        self.tell(f"rejected: {element.attributes.get('reason', 'rejected')}")
        return "rejected"

    def _verb_gather(self, element):
        many = self._number(element, "numDigits", 0, 1, 100)
        timeout = self._number(element, "timeout", 5, 0, 600)
        finish = element.attributes.get("finishOnKey", "#")
        if not self.barge_in:
            for child in element.children:
                verb = {"Say": self._verb_say, "Play": self._verb_play, "Pause": self._verb_pause}.get(child.name)
                if verb:
                    verb(child)
                else:
                    self.note(f"<{child.name}> has no place in <Gather>")
        digits, key = self._gather(many, timeout, finish)
        if not digits and not key:
            self.tell(f"no key within {timeout} s")
            if element.attributes.get("actionOnEmptyResult", "").lower() != "true":
                return None
        form = {"Digits": digits, "msg": "Gather End"}
        if key:
            form["FinishedOnKey"] = key
        return self._next(element, element.attributes.get("action", ""), form)

    def _gather(self, many, timeout, finish):
        """(the digits, the key that finished them or "")."""
        digits = ""
        for key in self._pressed(timeout):
            if key in finish:
                self.tell(f"presses: {key}")
                return digits, key
            self.tell(f"presses: {key}")
            digits += key
            if len(digits) == many:
                break
        return digits, ""

    def _pressed(self, timeout):
        """Keys as they are pressed; ends when `timeout` seconds of the call go by without one."""
        if self.typed:
            yield from self._typed_keys(timeout)
            return
        silence = 0.0
        for key in self.keys.pop(0) if self.keys else "":
            wait = 0.5 if key == "w" else KEY_S
            if silence + wait > timeout and timeout:
                break
            self._sleep(wait)
            silence = silence + wait if key == "w" else 0.0
            if key != "w":
                yield key
        self._sleep(max(timeout - silence, 0))

    def _typed_keys(self, timeout):
        while True:
            line = self.typed(timeout / self.speed)
            if self.wire.gone.is_set():
                raise HungUp
            if line is None:
                return
            yield from (key for key in line if key in KEYS)

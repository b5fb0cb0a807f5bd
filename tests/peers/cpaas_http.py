# SPDX-License-Identifier: MIT
"""How a CPaaS talks to a webhook: forms by POST or GET, signatures, a time-out of 15 s, retries.

A request ends in one of four ways: an answer; HungUp, because the caller hung up meanwhile and the
connection was dropped; a retry, when the connection failed, no answer came in time, or it was a 5xx; and
WebhookError after the last retry. All attempts of one request carry the same I-Twilio-Idempotency-Token and
count in an attempt header, so that the receiver can tell a retry from a second call.
"""
import base64
import collections
import hashlib
import hmac
import http.client
import re
import socket
import ssl
import threading
import time
import urllib.parse
import uuid

SIGNATURE_HEADER = "X-Twilio-Signature"
BODY_MAX = 1 << 20

Answer = collections.namedtuple("Answer", "status headers body seconds attempt")
# What was asked, for those who look at a call afterwards; outcome is a status or what went wrong.
Asked = collections.namedtuple("Asked", "method url params attempt outcome")


class HungUp(Exception):
    """The caller hung up; nothing more is to be said."""


class WebhookError(Exception):
    """No answer could be had; the text says why."""


def sign(token, url, params=()):
    """Twilio's signature: Base64 of HMAC-SHA1 over the URL and, key by key, the form's distinct values."""
    values = collections.defaultdict(set)
    for key, value in params:
        values[key].add(value)
    text = url + "".join(key + value for key in sorted(values) for value in sorted(values[key]))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


def join_url(base, target):
    """Where a document that came from `base` sends: absolute, absolute-path or relative; blanks are escaped."""
    return urllib.parse.quote(urllib.parse.urljoin(base, target.strip()), safe="%/:=&?~#+!$,;'@()*[]")


class Wire:
    """What a caller holds in the hand: hang_up() ends waits and drops the request that is under way."""

    def __init__(self):
        self.gone = threading.Event()
        self._lock = threading.Lock()
        self._socket = None

    def hang_up(self):
        with self._lock:
            self.gone.set()
            cut(self._socket)

    def carry(self, sock):
        """This socket is the request under way; None when it is over."""
        with self._lock:
            self._socket = sock
            if self.gone.is_set():
                cut(sock)


def cut(sock):
    """Ends a connection that another thread may be reading from; below TLS, that has a state of its own."""
    if sock is not None:
        try:
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            pass


class Webhook:
    """An account's way to its webhooks.

    token: requests are signed with it (None: not). via: http[s]://HOST:PORT that requests go to in place of
    the URL's own host, as through a reverse proxy; what is signed is the URL all the same. retry_delay: seconds
    between a failed attempt and the next.
    """

    def __init__(self, token=None, signature_header=SIGNATURE_HEADER, timeout=15.0, retries=1, via=None,
                 idempotency=True, context=None, retry_delay=0.0):
        self.token = token
        self.signature_header = signature_header
        self.attempt_header = re.sub(r"(?i)-signature$", "", signature_header) + "-Attempt"
        self.timeout = timeout
        self.retries = retries
        self.via = via
        self.idempotency = idempotency
        self.context = context
        self.retry_delay = retry_delay

    def ask(self, method, url, params, wire, asked=None):
        """One request with its retries; params is a list of pairs. `asked` (a list) is told of each attempt."""
        url = urllib.parse.urldefrag(url).url
        if method == "GET":
            url += ("&" if "?" in url else "?") + urllib.parse.urlencode(params)
        token = str(uuid.uuid4())
        why = ""
        for attempt in range(1, self.retries + 2):
            if attempt > 1:
                wire.gone.wait(self.retry_delay)
            if wire.gone.is_set():
                raise HungUp
            try:
                answer = self._attempt(method, url, params, (attempt, token), wire)
                why = f"HTTP {answer.status}"
            except (OSError, http.client.HTTPException) as e:
                answer, why = None, str(e) or type(e).__name__
            if wire.gone.is_set():
                why, answer = "hung up", None
            if asked is not None:
                asked.append(Asked(method, url, dict(params), attempt, answer.status if answer else why))
            if wire.gone.is_set():
                raise HungUp
            if answer and answer.status < 500:
                return answer
        tries = f" ({self.retries + 1} attempts)" if self.retries else ""
        raise WebhookError(f"{method} {url}: {why}{tries}")

    def _headers(self, method, url, params, attempt, token):
        headers = {"Host": urllib.parse.urlsplit(url).netloc.rpartition("@")[2], "User-Agent": "cpaas-sim/1.0",
                   "Accept": "application/xml, text/xml, */*", self.attempt_header: str(attempt)}
        if self.idempotency:
            headers["I-Twilio-Idempotency-Token"] = token
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
        if self.token is not None:
            headers[self.signature_header] = sign(self.token, url, params if method == "POST" else ())
        if self.via:
            headers["X-Forwarded-Proto"] = urllib.parse.urlsplit(url).scheme
        return headers

    def _connection(self, url):
        to = urllib.parse.urlsplit(self.via or url)
        if to.scheme == "https":
            return http.client.HTTPSConnection(to.hostname, to.port, timeout=self.timeout, context=self.context)
        if to.scheme != "http":
            raise WebhookError(f"{url}: only http:// and https:// can be asked")
        return http.client.HTTPConnection(to.hostname, to.port, timeout=self.timeout)

    def _attempt(self, method, url, params, attempt, wire):
        parts = urllib.parse.urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        body = urllib.parse.urlencode(params).encode() if method == "POST" else None
        connection = self._connection(url)
        late = threading.Event()
        live = []  # connection.sock is None again while an answer that closes is read
        began = time.monotonic()

        def give_up():
            late.set()
            cut(live[0] if live else None)

        timer = threading.Timer(self.timeout, give_up)
        timer.daemon = True
        timer.start()
        try:
            connection.connect()
            live.append(connection.sock)
            wire.carry(connection.sock)
            connection.request(method, target, body, self._headers(method, url, params, *attempt))
            answer = connection.getresponse()
            data = answer.read(BODY_MAX + 1)
            if late.is_set():
                raise TimeoutError
            if len(data) > BODY_MAX:
                raise http.client.HTTPException(f"the answer is over {BODY_MAX} bytes")
            headers = {k.lower(): v for k, v in answer.getheaders()}
            return Answer(answer.status, headers, data, time.monotonic() - began, attempt[0])
        except (OSError, http.client.HTTPException) as e:
            if late.is_set() or isinstance(e, TimeoutError):
                raise TimeoutError(f"no answer in {self.timeout:g} s") from None
            raise
        finally:
            timer.cancel()
            wire.carry(None)
            connection.close()


def tls_context(cacert=None, insecure=False):
    """Whom https:// URLs have to convince."""
    context = ssl.create_default_context(cafile=cacert)
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context

# SPDX-License-Identifier: MIT
"""What scenario and live tests stand on: the daemon as a process, the lab's Asterisk, SIPp, HTTP clients.

Nothing is built here: VOXBUS_BUILD names the build directory (default build/test). Nothing is skipped
either: what cannot be had is a failure. Servers listen on drawn ports of 127.0.0.1 or on Unix sockets in a
temporary directory with a short name (a Unix socket's path has at most 107 bytes), and are ended by the
pid that we hold. conftest.py makes fixtures of these classes.
"""
import base64
import collections
import fcntl
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import uuid

TESTS = pathlib.Path(__file__).resolve().parent
ROOT = TESTS.parent
LAB = TESTS / "lab"
BUILD = pathlib.Path(os.environ.get("VOXBUS_BUILD") or ROOT / "build" / "test").resolve()
VOXBUSD = BUILD / "voxbusd"
VOXBUS = BUILD / "cli" / "voxbus"

SID = "ACtest00000000000000000000000000"
TOKEN = "test-token-1"
READY_S = 10
STOP_S = 5

SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|ThreadSanitizer"
                       r"|runtime error:|Assertion .* failed")
Answer = collections.namedtuple("Answer", "status headers body")


def free_port(kind=socket.SOCK_STREAM):
    """A port that nobody has now; it is drawn by the kernel, so two tests hardly draw the same."""
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(question, timeout=10, what="it did not come true", every=0.01):
    """The first true answer of question()."""
    deadline = time.monotonic() + timeout
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} (waited {timeout} s)")
        time.sleep(every)


def child_env(extra=None):
    """The environment of a program under test: ours without what would steer it, plus extra."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("VOXBUS_", "XDG_", "ASAN_", "UBSAN_"))}
    env["ASAN_OPTIONS"] = "detect_leaks=1:exitcode=99:strict_string_checks=1"
    env["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1:exitcode=99"
    env.update({k: str(v) for k, v in (extra or {}).items()})
    return env


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path, timeout=10):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def http_request(connection, method, target, body=None, headers=None):
    """One request on a connection that is closed afterwards."""
    try:
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


# ---------------------------------------------------------------- the log

LOGFMT = re.compile(r'([A-Za-z0-9_.]+)=("(?:[^"\\]|\\.)*"|\S*)')


def parse_log(line):
    """The fields of a line in logfmt or JSON; {} if it is neither."""
    if line.startswith("{"):
        try:
            return json.loads(line)
        except ValueError:
            return {}
    if not line.startswith("ts="):
        return {}
    out = {}
    for key, value in LOGFMT.findall(line):
        if value.startswith('"'):
            try:
                value = json.loads(value)
            except ValueError:
                value = value[1:-1]
        out[key] = value
    return out


# ---------------------------------------------------------------- the daemon

class Daemon:
    """One voxbusd.

        d = daemon({"engines": [...], "applications": [...]})    # from the fixture; is ready to serve HTTP
        d.http("GET", "/auth"); d.admin("GET", "/readyz"); d.cli("status")
        d.expect_log("link lost")          # a warning or error that this test brings about, by event name
        d.wait_log("link up", peer="x")    # waits until such a line is there; returns its fields
        d.stop(); d.kill(); d.restart()    # SIGTERM and checks; kill -9; the same configuration again
    """

    def __init__(self, config=None, env=None, args=(), wait=True, http_port=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="vb", dir="/tmp"))
        self.data_dir = self.dir / "d"
        self.admin_path = self.dir / "admin.sock"
        self.http_port = http_port or free_port()
        self.args = list(args)
        self.env = env
        self.lines = []
        self.expected = set()
        self.process = None
        self._news = threading.Condition()
        self._reader = None
        self.config_path = self.dir / "voxbus.yaml"
        self.config_path.write_text(self._config_text(config))
        self.start(wait)

    def _config_text(self, config):
        """A dict is completed by what every test needs; a text has @HTTP@, @ADMIN@, @DATA@ filled in."""
        if isinstance(config, str):
            return (config.replace("@HTTP@", f"127.0.0.1:{self.http_port}")
                    .replace("@ADMIN@", f"unix:{self.admin_path}").replace("@DATA@", str(self.data_dir)))
        full = {
            "node": "test",
            "data_dir": str(self.data_dir),
            "log": {"level": "info", "format": "logfmt"},
            "http": {"listen": [f"127.0.0.1:{self.http_port}"]},
            "admin": {"listen": f"unix:{self.admin_path}"},
            "accounts": [{"sid": SID, "token": TOKEN}],
            "buses": [{"type": "longpoll", "name": "http", "account": SID}],
        }
        full.update(config or {})
        return json.dumps(full, indent=1) + "\n"

    # ---- life
    def start(self, wait=True):
        if not VOXBUSD.exists():
            raise FileNotFoundError(f"{VOXBUSD} is not built (VOXBUS_BUILD)")
        self.process = subprocess.Popen(
            [str(VOXBUSD), "-c", str(self.config_path), *self.args], env=child_env(self.env), cwd=self.dir,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()
        if wait:
            self.wait_healthy()
        return self

    def _read(self, pipe):
        for raw in pipe:
            with self._news:
                self.lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    @property
    def pid(self):
        return self.process.pid

    @property
    def output(self):
        return "\n".join(self.lines)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """SIGTERM: it must end with status 0 within 5 s, with nothing unexpected in its log."""
        if self.process is None:
            return
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.kill()
            raise AssertionError(f"voxbusd did not end within {STOP_S} s of SIGTERM\n{self.tail()}") from None
        self._reader.join(5)
        self.process = None
        assert code == 0, f"voxbusd ended with {code}\n{self.tail()}"
        self.check_log()

    def kill(self):
        """kill -9, and no questions about the log."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._reader.join(5)
            self.process = None

    def restart(self):
        if self.alive():
            self.stop()
        return self.start()

    def wait_end(self, timeout=10):
        """Waits until it ends by itself; returns its status."""
        code = self.process.wait(timeout)
        self._reader.join(5)
        self.process = None
        return code

    def clean(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- the log
    def expect_log(self, *events):
        """These warnings and errors are part of the test."""
        self.expected.update(events)

    def events(self, event=None, **fields):
        """The fields of all log lines (with that event and those fields)."""
        with self._news:
            parsed = [parse_log(line) for line in self.lines]
        return [p for p in parsed if p and (event is None or p.get("event") == event)
                and all(str(p.get(k)) == str(v) for k, v in fields.items())]

    def wait_log(self, event, timeout=10, count=1, **fields):
        deadline = time.monotonic() + timeout
        while True:
            hits = self.events(event, **fields)
            if len(hits) >= count:
                return hits[count - 1]
            left = deadline - time.monotonic()
            if left <= 0 or not self.alive():
                raise TimeoutError(f"no log line {event!r} {fields or ''}\n{self.tail()}")
            with self._news:
                self._news.wait(min(left, 0.1))

    def check_log(self):
        report = [line for line in self.lines if SANITIZER.search(line)]
        assert not report, f"a sanitizer or an assertion speaks\n{self.output}"
        bad = [p for p in self.events() if p.get("level") in ("warn", "error")
               and p.get("event") not in self.expected]
        assert not bad, "unexpected in the log (declare it with expect_log):\n" + "\n".join(map(str, bad))

    def tail(self, n=60):
        return "---- voxbusd says\n" + "\n".join(self.lines[-n:])

    # ---- talking to it
    @property
    def url(self):
        return f"http://127.0.0.1:{self.http_port}"

    def http(self, method, target, body=None, headers=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout)
        return http_request(connection, method, target, body, headers)

    def admin(self, method, target, body=None, headers=None, timeout=10):
        return http_request(UnixConnection(self.admin_path, timeout), method, target, body, headers)

    def healthy(self):
        return self._is_fine("/healthz")

    def ready(self):
        return self._is_fine("/readyz")

    def _is_fine(self, target):
        try:
            return self.admin("GET", target, timeout=2).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def wait_healthy(self, timeout=READY_S):
        deadline = time.monotonic() + timeout
        while not self.healthy():
            if not self.alive() or time.monotonic() > deadline:
                self._reader.join(0.2)
                state = "does not answer /healthz" if self.alive() else f"ended with {self.process.poll()}"
                self.kill()
                raise AssertionError(f"voxbusd {state}\n{self.tail()}")
            time.sleep(0.01)

    def wait_ready(self, timeout=READY_S):
        try:
            wait_until(lambda: self.ready() or not self.alive(), timeout, "/readyz is not 200")
        except TimeoutError as e:
            raise TimeoutError(f"{e}: {self.admin('GET', '/readyz').body.decode()}\n{self.tail()}") from None
        assert self.alive(), f"voxbusd ended with {self.process.poll()}\n{self.tail()}"
        return self

    def metrics(self):
        """{'name{labels}': value} of /metrics."""
        out = {}
        for line in self.admin("GET", "/metrics").body.decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                out[name] = float(value)
        return out

    def cli(self, *args, timeout=10, env=None):
        """Runs `voxbus ARGS` against this daemon's admin socket."""
        extra = {"VOXBUS_ADMIN": f"unix:{self.admin_path}", **(env or {})}
        return run_program(VOXBUS, *args, timeout=timeout, env=extra)

    def pubsub(self, sid=SID, token=TOKEN):
        return Pubsub(self.http_port, sid, token)


def run_program(program, *args, timeout=10, env=None, stdin=None):
    """Runs a program to its end: CompletedProcess with text; a sanitizer report is a failure."""
    done = subprocess.run([str(program), *map(str, args)], env=child_env(env), capture_output=True, text=True,
                          timeout=timeout, input=stdin or "", check=False)
    assert not SANITIZER.search(done.stderr), done.stderr
    return done


# ---------------------------------------------------------------- the long-poll bus

class Pubsub:
    """A client of the long-poll HTTP API, for one account."""

    def __init__(self, port, sid=SID, token=TOKEN):
        self.port = port
        self.sid = sid
        self.token = token
        self._session = None

    def request(self, method, target, body=None, headers=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        return http_request(connection, method, target, body, headers)

    def auth(self, ttl=None):
        """GET /auth with Basic; returns the session token."""
        basic = base64.b64encode(f"{self.sid}:{self.token}".encode()).decode()
        answer = self.request("GET", "/auth" + (f"?ttl={ttl}" if ttl else ""),
                              headers={"Authorization": f"Basic {basic}"})
        assert answer.status == 200, answer
        return answer.body.decode()

    @property
    def session(self):
        if self._session is None:
            self._session = self.auth()
        return self._session

    def target(self, queue, **query):
        return f"/{self.sid}/{queue}" + ("?" + urllib.parse.urlencode(query) if query else "")

    def poll(self, queue, timeout=5, **query):
        """The list of messages that a long poll brings; [] at its time-out."""
        target = self.target(queue, session=self.session, timeout=f"{int(timeout * 1000)}ms", **query)
        answer = self.request("GET", target, timeout=timeout + 10)
        assert answer.status == 200, (queue, answer)
        return json.loads(answer.body)

    def post(self, queue, body, content_type="application/json", session=True, **query):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if session:
            query["session"] = self.session
        return self.request("POST", self.target(queue, **query), body.encode() if isinstance(body, str) else body,
                            {"Content-Type": content_type})

    def wait_dialog(self, application, timeout=10):
        """The Dialog of the next call of that application."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for start in self.poll(application, timeout=min(5, timeout), max=1):
                return Dialog(self, start)
        raise TimeoutError(f"no call for application {application} (waited {timeout} s)")


class Dialog:
    """One call's conversation, as an application has it."""

    def __init__(self, pubsub, start):
        self.pubsub = pubsub
        self.start = start
        self.id = start["dialog_id"]
        self.seen = []  # the envelopes of all events so far
        self._next = 0
        self._responses = {}

    def events(self, timeout=5):
        """More event envelopes, as they come."""
        got = self.pubsub.poll(f"events_{self.id}", timeout=timeout, max=100)
        self.seen += got
        return got

    def wait_event(self, kind, timeout=10):
        """The next event of that type after the last one waited for; returns the ARI body as a dict."""
        deadline = time.monotonic() + timeout
        while True:
            while self._next < len(self.seen):
                envelope = self.seen[self._next]
                self._next += 1
                if envelope["type"] == kind:
                    return json.loads(envelope["ari_body"])
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no {kind} in dialog {self.id}; seen {[e['type'] for e in self.seen]}")
            self.events(timeout=min(left, 5))

    def send(self, method, url, body=None, unique_id=None):
        """Posts a command; returns its unique_id."""
        unique_id = uuid.uuid4().hex if unique_id is None else unique_id
        text = body if isinstance(body, str) else json.dumps(body or {})
        answer = self.pubsub.post(f"commands_{self.id}",
                                  {"unique_id": unique_id, "url": url, "method": method, "body": text})
        assert answer.status == 200, answer
        return unique_id

    def response(self, unique_id, timeout=10):
        """The response with that unique_id; others that come meanwhile are kept for their own callers."""
        deadline = time.monotonic() + timeout
        while unique_id not in self._responses:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no response to {unique_id} in dialog {self.id}")
            for r in self.pubsub.poll(f"responses_{self.id}", timeout=min(left, 5), max=100):
                self._responses[r["unique_id"]] = r
        return self._responses.pop(unique_id)

    def command(self, method, url, body=None, timeout=10):
        """One command and its response."""
        return self.response(self.send(method, url, body), timeout)


# ---------------------------------------------------------------- Asterisk and SIPp

class Asterisk:
    """One instance of the lab's Asterisk, see tests/lab/README.md."""

    def __init__(self, version=22, rtp=None):
        """rtp: (first, last) of the UDP ports for RTP, where the block's 200, enough for 100 calls, are too few."""
        self.version = version
        self.rtp = rtp
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="va", dir="/tmp"))
        self.portbase = self._draw_portbase()
        self.ari_port = self.portbase + 88
        self.sip_port = self.portbase + 60
        self.url = f"http://127.0.0.1:{self.ari_port}/ari"
        self.username, self.password = "ari", "secret"
        self.configured = False
        self._script("setup.sh", timeout=300)

    def _draw_portbase(self):
        """Blocks of 400 ports, one for each instance, claimed by a lock file for as long as we live."""
        for base in range(20000, 60000, 400):
            claim = None
            try:
                claim = open(f"/tmp/voxbus-ports-{base}.lock", "w", encoding="ascii")
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
                    tcp.bind(("127.0.0.1", base + 88))
                    udp.bind(("127.0.0.1", base + 60))
                self._claim = claim
                return base
            except OSError:
                if claim:
                    claim.close()
        raise RuntimeError("no free block of ports for Asterisk")

    def _script(self, name, *args, timeout=30):
        env = {**os.environ, "INSTANCE": str(self.dir), "PORTBASE": str(self.portbase)}
        if self.rtp:
            env.update(RTP_FIRST=str(self.rtp[0]), RTP_LAST=str(self.rtp[1]))
        # Output to a file: Asterisk inherits it, and a pipe would be held open for ever.
        with open(self.dir / "script.log", "w+b") as log:
            done = subprocess.run([str(LAB / "asterisk" / name), str(self.version), *args], env=env, timeout=timeout,
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False)
            log.seek(0)
            assert done.returncode == 0, f"{name}: {log.read().decode()}"

    def start(self):
        self._script("start.sh")
        return self

    def stop(self):
        self._script("stop.sh")

    def kill(self):
        """As in a crash: SIGKILL."""
        self._script("stop.sh", "KILL")

    def clean(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
        self._claim.close()

    def command(self, line):
        """What Asterisk's command line says to that."""
        done = subprocess.run([str(self.dir / "asterisk"), "-rx", line], capture_output=True, text=True, timeout=10,
                              check=False)
        return done.stdout

    def dials(self, port, *applications, name="pbx1", username="pbx1", password="s3cret"):
        """Lets it dial ws://127.0.0.1:port/ari/name for those applications."""
        plain = (LAB / "asterisk" / "conf" / "ari.conf").read_text()
        client = (f"[{name}]\ntype = websocket_client\nconnection_type = persistent\n"
                  f"uri = ws://127.0.0.1:{port}/ari/{name}\nprotocols = ari\n"
                  f"username = {username}\npassword = {password}\n")
        ari = (f"[{name}-events]\ntype = outbound_websocket\nwebsocket_client_id = {name}\n"
               f"apps = {','.join(applications)}\nlocal_ari_user = {self.username}\n")
        self.configure(client, plain + ari)

    def configure(self, client=None, ari=None):
        """The text of websocket_client.conf and ari.conf, for as long as the test runs."""
        self.configured = True
        for name, text in (("websocket_client.conf", client), ("ari.conf", ari)):
            if text is None:
                text = (LAB / "asterisk" / "conf" / name).read_text()
            (self.dir / "etc" / name).write_text(text)
        self.command("module reload res_websocket_client.so")
        self.command("module reload res_ari.so")

    def hush(self):
        """A test is over: it dials nobody, and has its own users again."""
        if self.configured:
            self.configure()
            self.configured = False

    def rest(self, method, path, body=None):
        """(status, JSON or None) of a REST request of our own, past the daemon."""
        basic = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        answer = http_request(http.client.HTTPConnection("127.0.0.1", self.ari_port, timeout=10), method,
                              "/ari" + path, json.dumps(body) if body is not None else None,
                              {"Authorization": f"Basic {basic}", "Content-Type": "application/json"})
        return answer.status, json.loads(answer.body or b"null")

    def channels(self):
        return self.rest("GET", "/channels")[1]

    def local(self, kind="wait", app="test", args=""):
        """A call without SIP: one end in Stasis(app), the other runs that extension of [far]."""
        query = urllib.parse.urlencode({"endpoint": f"Local/{kind}@far/n", "app": app, "appArgs": args})
        status, body = self.rest("POST", f"/channels?{query}")
        assert status == 200, body
        return body

    def sipp(self, number, count=1, talk_ms=1000, hangup="caller", rate=5, parallel=None, limit=60):
        """Starts SIP calls with RTP in the background; .result() waits and returns (ok, failed)."""
        return SippCalls(self.sip_port, number, count, talk_ms if hangup == "caller" else "callee", rate,
                         parallel or count, limit)

    def engine(self, *applications, name="pbx1", **more):
        """This Asterisk as an entry of `engines`."""
        return ari_engine(self.url, *applications, name=name, **more)


class SippCalls:
    def __init__(self, sip_port, number, count, talk, rate, parallel, limit):
        self.dir = tempfile.mkdtemp(prefix="vs", dir="/tmp")
        self.limit = limit
        env = {**os.environ, "TALK": str(talk), "RATE": str(rate), "PARALLEL": str(parallel), "LIMIT": str(limit),
               "WORK": self.dir}
        self.process = subprocess.Popen(
            [str(LAB / "sipp" / "call.sh"), f"127.0.0.1:{sip_port}", str(number), str(count)], env=env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True)

    def result(self):
        out, _ = self.process.communicate(timeout=self.limit + 15)
        self.said = out
        counts = re.search(r"^calls \d+ ok (\d+) failed (\d+)$", out, re.M)
        assert counts, out
        return int(counts[1]), int(counts[2])

    def must_succeed(self):
        ok, failed = self.result()
        assert failed == 0, self.said
        return ok

    def clean(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)  # a group of its own: the script and its sipp
            self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def incoming(d, asterisk, application="test"):
    """A call of that (real) Asterisk into the application; its dialog and its channel's id."""
    asterisk.local("wait", application, "a,b")
    dialog = d.pubsub().wait_dialog(application)
    event = dialog.wait_event("StasisStart")
    assert event["args"] == ["a", "b"]
    return dialog, event["channel"]["id"]


def play_and_stop(dialog, channel):
    """A playback of the call, with an id of its own, from its start to its end."""
    answer = dialog.command("POST", f"/channels/{channel}/play/my-playback", {"media": "sound:tt-monkeys"})
    assert answer["status_code"] == 201 and json.loads(answer["response_body"])["id"] == "my-playback"
    assert dialog.wait_event("PlaybackStarted")["playback"]["id"] == "my-playback"
    assert dialog.command("DELETE", "/playbacks/my-playback")["status_code"] in (204, 404)
    assert dialog.wait_event("PlaybackFinished")["playback"]["id"] == "my-playback"


def ari_engine(url, *applications, name="pbx1", username="ari", password="secret", **more):
    """An entry of `engines` for an Asterisk, real or scripted (AriPeer.url)."""
    return {"type": "asterisk", "name": name, "url": url, "username": username, "password": password,
            "applications": list(applications), "websocket": "client", **more}


def applications(*names, bus="http", **more):
    """The `applications` of a configuration, all on one bus."""
    return [{"name": n, "bus": bus, **more} for n in names]


# What an engine needs to be dialled, with the words that Asterisk.dials and AriPeer.dial say.
SERVER = {"websocket": "server", "server_username": "pbx1", "server_password": "s3cret"}

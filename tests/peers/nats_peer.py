# SPDX-License-Identifier: MIT
"""A scripted NATS server: what nats-server looks like to a client, and every way in which it may misbehave.

    with NatsPeer() as peer:                       # peer.url is nats://127.0.0.1:PORT
        peer.wait_sub("commands_")                 # the subject of a SUB that begins so
        peer.listeners.add("hello")                # somebody listens there: no 503
        peer.wait_pub("events_x")                  # (subject, reply, payload) of the next one there
        peer.send("commands_x", b"DUMMY")          # MSG to the subscription of that subject

    peer.mute = True; peer.mute = False            # reads, but answers nothing; then all that it owes
    peer.pong_delay = 1.5                          # PONGs come late
    peer.refuse = "Authorization Violation"        # instead of the PONG after CONNECT: -ERR, and the end
    peer.error("Slow Consumer"); peer.raw(b"...")  # any bytes, on the connection
    peer.chop = True                               # writes byte by byte
    peer.no_responders = False                     # says so in INFO, and never answers 503
    peer.drop(); peer.down(); peer.up()            # RST; the whole server gone and back on the same port

Subjects nobody is known to listen to are answered 503 when there is a reply; peer.everybody = True: none is.
"""
import json
import socket
import struct
import threading
import time


class NatsPeer:
    def __init__(self):
        self.listeners, self.everybody, self.no_responders = set(), False, True
        self.mute, self.pong_delay, self.refuse, self.chop, self.greet = False, 0, None, False, True
        self.subs, self.pubs, self.connects = {}, [], []
        self.pings = 0
        self._dropped = set()
        self._owed = []
        self._news = threading.Condition()
        self._writing = threading.Lock()
        self._connection = None
        self._taken = {}
        self._listener = self._listen(0)
        self.port = self._listener.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        self._closed = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._closed = True
        self.down()

    # ---- the server
    def _listen(self, port):
        listener = socket.create_server(("127.0.0.1", port), reuse_port=False)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with self._news:
            self._connection = connection
            self.subs, self._owed = {}, []
        if self.greet:
            info = {"server_id": "PEER", "version": "2.9.10", "proto": 1, "headers": self.no_responders,
                    "max_payload": 1048576, "auth_required": bool(self.refuse)}
            self._write(b"INFO " + json.dumps(info).encode() + b"\r\n", connection)
        stream = connection.makefile("rb")
        try:
            while self._line(stream, connection):
                pass
        except (OSError, ValueError):
            pass
        stream.close()

    def _line(self, stream, connection):
        line = stream.readline()
        if not line or connection in self._dropped:
            return False
        words = line.decode().split()
        verb = words[0].upper() if words else ""
        with self._news:
            if verb == "CONNECT":
                self.connects.append(json.loads(line[8:]))
            elif verb == "PING":
                self.pings += 1
            elif verb == "SUB":
                self.subs[words[1]] = words[-1]
            elif verb == "UNSUB":
                self.subs = {subject: sid for subject, sid in self.subs.items() if sid != words[1]}
            self._news.notify_all()
        if verb == "PUB":
            payload = stream.read(int(words[-1]) + 2)[:-2]
            if connection in self._dropped:  # what was read may be cut
                return False
            self._published(words, payload, connection)
        elif verb == "PING":
            self._pong(connection)
        return True

    def _published(self, words, payload, connection):
        subject, reply = words[1], words[2] if len(words) == 4 else None
        heard = self.everybody or subject in self.listeners
        with self._news:
            if heard or not reply:
                self.pubs.append((subject, reply, payload))
            self._news.notify_all()
        if reply and not heard and self.no_responders:
            sid = next(sid for s, sid in self.subs.items() if s.endswith(".*.*") and reply.startswith(s[:-4]))
            head = b"NATS/1.0 503\r\n\r\n"
            self._write(f"HMSG {reply} {sid} {len(head)} {len(head)}\r\n".encode() + head + b"\r\n", connection)

    def _pong(self, connection):
        if self.refuse:
            self._write(f"-ERR '{self.refuse}'\r\n".encode(), connection)
            connection.close()
        elif self.pong_delay:
            threading.Timer(self.pong_delay, self._write, (b"PONG\r\n", connection)).start()
        else:
            self._write(b"PONG\r\n", connection)

    def _write(self, data, connection):
        with self._news:
            if connection in self._dropped:
                return
            if self.mute:
                self._owed.append((data, connection))
                return
        try:
            with self._writing:
                for piece in [bytes([b]) for b in data] if self.chop else [data]:
                    connection.sendall(piece)
        except OSError:
            pass

    # ---- what a test does
    def speak(self):
        """No longer mute: says all that it owes, in order."""
        with self._news:
            owed, self._owed, self.mute = self._owed, [], False
        for data, connection in owed:
            self._write(data, connection)

    def raw(self, data):
        self._write(data, self._connection)

    def error(self, text):
        self.raw(f"-ERR '{text}'\r\n".encode())

    def send(self, subject, payload):
        sid = self.wait_sub(subject)
        self.raw(f"MSG {subject} {sid} {len(payload)}\r\n".encode() + payload + b"\r\n")

    def drop(self):
        with self._news:
            self._dropped.add(self._connection)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.shutdown(socket.SHUT_RD)
        self._connection.close()

    def down(self):
        # A blocked accept would keep the port.
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        if self._connection is not None:
            try:
                self._connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._connection.close()

    def up(self):
        self._listener = self._listen(self.port)

    def _wait(self, question, timeout, what):
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                answer = question()
                if answer:
                    return answer
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{what} (waited {timeout} s); published {[p[0] for p in self.pubs]}")
                self._news.wait(left)

    def wait_sub(self, begin, timeout=10):
        """The sid of a subscription whose subject begins so."""
        return self._wait(lambda: next((sid for s, sid in self.subs.items() if s.startswith(begin)), None), timeout,
                          f"no SUB {begin}")

    def subject(self, begin, timeout=10):
        """The subject of a subscription that begins so."""
        return self._wait(lambda: next((s for s in self.subs if s.startswith(begin)), None), timeout, f"no {begin}")

    def of(self, subject):
        with self._news:
            return [p for p in self.pubs if p[0] == subject]

    def wait_pub(self, subject, timeout=10):
        """The next message there that somebody gets."""
        n = self._taken[subject] = self._taken.get(subject, 0) + 1
        return self._wait(lambda: [p for p in self.pubs if p[0] == subject][n - 1:n], timeout,
                          f"no PUB {n} to {subject}")[0]

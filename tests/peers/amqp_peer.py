# SPDX-License-Identifier: MIT
"""A scripted AMQP 0-9-1 broker: enough of RabbitMQ for the bus, and every way in which a broker may misbehave.

Frames are read and written here, byte by byte, so that a test sees what was sent and may send what a broker would
not. Queues live in memory; a queue with a consumer delivers at once, another keeps its messages.

    with AmqpPeer() as peer:                       # peer.url is amqp://guest:guest@127.0.0.1:PORT/
        peer.wait_ready()                          # a client has its four channels
        peer.wait_published("hello")               # bodies that came for that queue, acknowledged
        peer.publish("commands_x", b"...", redelivered=True)      # as another client would
        peer.acked                                 # delivery tags that the client acknowledged
        peer.declares, peer.publishes              # (channel, payload bytes) of those methods

    peer.password = "other"                        # a wrong password: connection.close 403
    peer.heartbeat = 1                             # what tune says, in seconds
    peer.silent = True                             # it reads and says nothing, not even a heartbeat
    peer.frozen = True                             # it neither reads nor says anything: TCP fills
    peer.pieces = 3                                # everything is written three bytes at a time
    peer.hold = True; peer.confirm()               # confirms wait, and then come as one with `multiple`
    peer.nacks = 2                                 # the next two publishes are refused
    peer.block("low on memory"); peer.unblock()
    peer.close_channel(1, 406, "..."); peer.close(320, "CONNECTION_FORCED"); peer.drop()
    peer.delete("commands_x")                      # by somebody: its consumers hear basic.cancel
    peer.refuse_declare["queue"] = 406             # the next declare of it closes the channel
    peer.down(); peer.up()                         # gone, and back on the same port
"""
import socket
import struct
import threading
import time

METHOD, HEADER, BODY, HEARTBEAT, END = 1, 2, 3, 8, b"\xce"
START, START_OK, TUNE, TUNE_OK, OPEN, OPEN_OK, CLOSE, CLOSE_OK, BLOCKED, UNBLOCKED = (
    (10, n) for n in (10, 11, 30, 31, 40, 41, 50, 51, 60, 61))
CHANNEL_OPEN, CHANNEL_OPEN_OK, CHANNEL_CLOSE, CHANNEL_CLOSE_OK = ((20, n) for n in (10, 11, 40, 41))
DECLARE, DECLARE_OK, DELETE, DELETE_OK = ((50, n) for n in (10, 11, 40, 41))
QOS, QOS_OK, CONSUME, CONSUME_OK, CANCEL, CANCEL_OK, PUBLISH, RETURN, DELIVER, ACK, NACK = (
    (60, n) for n in (10, 11, 20, 21, 30, 31, 40, 50, 60, 80, 120))
SELECT, SELECT_OK = (85, 10), (85, 11)


def short(text):
    data = text if isinstance(text, bytes) else text.encode()
    return bytes([len(data)]) + data


def long(data):
    return struct.pack(">I", len(data)) + data


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + END


def method(channel, ids, arguments=b""):
    return frame(METHOD, channel, struct.pack(">HH", *ids) + arguments)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        out = self.data[self.at:self.at + n]
        self.at += n
        return out

    def short(self):
        return self.take(self.take(1)[0]).decode()

    def long(self):
        return self.take(struct.unpack(">I", self.take(4))[0])


class Queue:
    def __init__(self):
        self.messages, self.consumers = [], []


class AmqpPeer:
    def __init__(self):
        self.lock = threading.RLock()
        self.news = threading.Condition(self.lock)
        self.password, self.mechanisms, self.heartbeat = "guest", b"PLAIN AMQPLAIN EXTERNAL", 60
        self.silent = self.frozen = self.hold = False
        self.pieces, self.nacks = 0, 0
        self.refuse_declare = {}
        self.queues, self.published, self.declares, self.publishes, self.acked, self.deleted = {}, {}, [], [], [], []
        self.links, self.connections, self.logins = [], 0, []
        self.listener, self.port, self.accepting = None, 0, False
        self.up()

    @property
    def url(self):
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()

    # ---- for the test's thread
    def up(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(16)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def down(self):
        """A listening socket that another thread accepts on is closed for good by a shutdown only."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.frozen = False
        self.drop()

    def drop(self):
        with self.lock:
            for link in list(self.links):
                link.end()

    def wait(self, question, timeout=15, what="the client does not do it"):
        deadline = time.monotonic() + timeout
        with self.news:
            while True:
                answer = question()
                if answer:
                    return answer
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{what} (waited {timeout} s)")
                self.news.wait(min(left, 0.1))

    def wait_ready(self, timeout=15):
        return self.wait(lambda: next((k for k in self.links if len(k.ready) == 4), None), timeout, "no client is ready")

    def wait_published(self, queue, count=1, timeout=15):
        return self.wait(lambda: self.published.get(queue) if len(self.published.get(queue, ())) >= count else None,
                         timeout, f"nothing is published to {queue}")

    def wait_topic(self, prefix, timeout=15):
        """The name of a queue that begins so and has a consumer, or a message."""
        return self.wait(lambda: next((n for n, q in self.queues.items() if n.startswith(prefix)
                                       and (q.consumers or q.messages)), None), timeout, f"no queue {prefix}")

    def publish(self, queue, body, redelivered=False):
        with self.lock:
            self._put(queue, body if isinstance(body, bytes) else body.encode(), redelivered)

    def confirm(self):
        with self.lock:
            self.hold = False
            for link in self.links:
                if link.tag > link.confirmed:
                    link.send(method(1, ACK, struct.pack(">QB", link.tag, 1)))
                    link.confirmed = link.tag

    def block(self, reason="low on memory"):
        self._all(method(0, BLOCKED, short(reason)))

    def unblock(self):
        self._all(method(0, UNBLOCKED))

    def close(self, code, text, ids=(0, 0)):
        self._all(method(0, CLOSE, struct.pack(">H", code) + short(text) + struct.pack(">HH", *ids)))

    def close_channel(self, channel, code, text, ids=(0, 0)):
        with self.lock:
            for link in self.links:
                link.close_channel(channel, code, text, ids)

    def delete(self, queue):
        with self.lock:
            gone = self.queues.pop(queue, None)
            for link, tag in gone.consumers if gone else ():
                link.send(method(2, CANCEL, short(tag) + b"\x01"))

    def raw(self, data):
        self._all(data)

    # ---- inside
    def _all(self, data):
        with self.lock:
            for link in self.links:
                link.send(data)

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                link = Link(self, sock)
                self.links.append(link)
            threading.Thread(target=link.run, daemon=True).start()

    def _put(self, name, body, redelivered=False):
        """False: there is no such queue."""
        queue = self.queues.get(name)
        if queue is None:
            return False
        if queue.consumers:
            link, tag = queue.consumers[0]
            link.deliver(tag, name, body, redelivered)
        else:
            queue.messages.append(body)
        return True


class Link:
    def __init__(self, peer, sock):
        self.peer, self.sock = peer, sock
        self.ready, self.open = set(), set()
        self.tag = self.confirmed = self.delivery = 0
        self.content = None
        self.heartbeat = 0
        self.beats = threading.Thread(target=self._beat, daemon=True)

    def send(self, data):
        if self.peer.silent or self.peer.frozen:
            return
        step = self.peer.pieces or len(data)
        try:
            for at in range(0, len(data), step):
                self.sock.sendall(data[at:at + step])
                if self.peer.pieces:
                    time.sleep(0.001)
        except OSError:
            pass

    def end(self):
        for fn in (lambda: self.sock.shutdown(socket.SHUT_RDWR), self.sock.close):
            try:
                fn()
            except OSError:
                pass

    def close_channel(self, channel, code, text, ids):
        self.ready.discard(channel)
        if channel == 1:
            self.tag = self.confirmed = 0
        if channel == 2:
            self._forget_consumers()
        self.send(method(channel, CHANNEL_CLOSE, struct.pack(">H", code) + short(text) + struct.pack(">HH", *ids)))

    def deliver(self, tag, key, body, redelivered):
        self.delivery += 1
        self.send(method(2, DELIVER, short(tag) + struct.pack(">QB", self.delivery, redelivered) + short("") + short(key))
                  + self._content(2, body))

    def _content(self, channel, body):
        head = frame(HEADER, channel, struct.pack(">HHQH", 60, 0, len(body), 0))
        return head + (frame(BODY, channel, body) if body else b"")

    def _forget_consumers(self):
        for queue in self.peer.queues.values():
            queue.consumers = [c for c in queue.consumers if c[0] is not self]

    def _exactly(self, n):
        out = b""
        while len(out) < n:
            while self.peer.frozen:
                time.sleep(0.01)
            got = self.sock.recv(n - len(out))
            if not got:
                raise ConnectionError
            out += got
        return out

    def run(self):
        try:
            assert self._exactly(8) == b"AMQP\0\0\x09\x01"  # protocol 0-9-1
            self.send(method(0, START, b"\0\x09" + long(b"") + long(self.peer.mechanisms) + long(b"en_US")))
            while True:
                kind, channel, size = struct.unpack(">BHI", self._exactly(7))
                payload = self._exactly(size + 1)
                assert payload[-1:] == END
                with self.peer.news:
                    if not self.peer.silent:
                        self._take(kind, channel, payload[:-1])
                    self.peer.news.notify_all()
        except (ConnectionError, OSError):
            pass
        finally:
            with self.peer.news:
                self._forget_consumers()
                if self in self.peer.links:
                    self.peer.links.remove(self)
                self.peer.news.notify_all()
            self.end()

    def _beat(self):
        while self in self.peer.links:
            time.sleep(self.heartbeat / 2)
            with self.peer.lock:
                self.send(frame(HEARTBEAT, 0, b""))

    def _take(self, kind, channel, payload):
        if kind == METHOD:
            ids = struct.unpack(">HH", payload[:4])
            handler = self.HANDLERS.get(ids)
            assert handler, ids
            handler(self, channel, Reader(payload[4:]), payload)
        elif kind == HEADER:
            self.content[2] = struct.unpack(">Q", payload[4:12])[0]
            self.content[3] = payload
            if not self.content[2]:
                self._published()
        elif kind == BODY:
            self.content[4] += payload
            if len(self.content[4]) == self.content[2]:
                self._published()

    # ---- methods
    def _start_ok(self, channel, r, payload):
        properties = r.long()
        mechanism, response = r.short(), r.long()
        self.peer.logins.append((mechanism, response, properties))
        if mechanism == "PLAIN" and response != b"\0guest\0" + self.peer.password.encode():
            self.send(method(0, CLOSE, struct.pack(">H", 403) + short("ACCESS_REFUSED - Login was refused")
                             + struct.pack(">HH", 0, 0)))
            return
        self.send(method(0, TUNE, struct.pack(">HIH", 2047, 131072, self.peer.heartbeat)))

    def _tune_ok(self, channel, r, payload):
        self.heartbeat = struct.unpack(">HIH", r.take(8))[2]
        self.beats.start()

    def _nothing(self, channel, r, payload):
        pass

    def _open(self, channel, r, payload):
        self.send(method(0, OPEN_OK, short("")))

    def _close(self, channel, r, payload):
        self.send(method(0, CLOSE_OK))

    def _close_ok(self, channel, r, payload):
        self.end()

    def _channel_open(self, channel, r, payload):
        self.send(method(channel, CHANNEL_OPEN_OK, long(b"")))
        if channel > 2:
            self.ready.add(channel)

    def _qos(self, channel, r, payload):
        self.prefetch = struct.unpack(">IH", r.take(6))[1]
        self.send(method(channel, QOS_OK))
        self.ready.add(channel)

    def _select(self, channel, r, payload):
        self.send(method(channel, SELECT_OK))
        self.ready.add(channel)

    def _declare(self, channel, r, payload):
        r.take(2)
        name, flags = r.short(), r.take(1)[0]
        self.peer.declares.append((channel, payload))
        code = self.peer.refuse_declare.pop(name, None)
        if code is None and flags & 1 and name not in self.peer.queues:
            code = 404
        if code:
            self.close_channel(channel, code, f"refused for queue '{name}'", DECLARE)
            return
        queue = self.peer.queues.setdefault(name, Queue())
        self.send(method(channel, DECLARE_OK, short(name) + struct.pack(">II", len(queue.messages), len(queue.consumers))))

    def _delete(self, channel, r, payload):
        r.take(2)
        name, flags = r.short(), r.take(1)[0]
        queue = self.peer.queues.get(name)
        if queue and ((flags & 1 and queue.consumers) or (flags & 2 and queue.messages)):
            self.close_channel(channel, 406, f"queue '{name}' in use or not empty", DELETE)
            return
        self.peer.queues.pop(name, None)
        self.peer.deleted.append(name)
        self.send(method(channel, DELETE_OK, struct.pack(">I", len(queue.messages) if queue else 0)))

    def _consume(self, channel, r, payload):
        r.take(2)
        name, tag = r.short(), r.short()
        queue = self.peer.queues.get(name)
        if queue is None:
            self.close_channel(channel, 404, f"no queue '{name}'", CONSUME)
            return
        queue.consumers.append((self, tag))
        self.send(method(channel, CONSUME_OK, short(tag)))
        waiting, queue.messages = queue.messages, []
        for body in waiting:
            self.deliver(tag, name, body, False)

    def _cancel(self, channel, r, payload):
        tag = r.short()
        for queue in self.peer.queues.values():
            queue.consumers = [c for c in queue.consumers if c != (self, tag)]

    def _ack(self, channel, r, payload):
        self.peer.acked.append(struct.unpack(">Q", r.take(8))[0])

    def _publish(self, channel, r, payload):
        r.take(2)
        exchange, key = r.short(), r.short()
        assert exchange == ""
        self.content = [payload, key, 0, b"", b""]

    def _published(self):
        payload, key, _, header, body = self.content
        self.peer.publishes.append((payload, header))
        self.tag += 1
        if self.peer.nacks:
            self.peer.nacks -= 1
            self.send(method(1, NACK, struct.pack(">QB", self.tag, 0)))
            return
        if self.peer._put(key, body):
            self.peer.published.setdefault(key, []).append(body)
        elif payload[-1] & 1:
            self.send(method(1, RETURN, struct.pack(">H", 312) + short("NO_ROUTE") + short("") + short(key))
                      + frame(HEADER, 1, header) + frame(BODY, 1, body))
        if not self.peer.hold:
            self.send(method(1, ACK, struct.pack(">QB", self.tag, 0)))
            self.confirmed = self.tag

    HANDLERS = {START_OK: _start_ok, TUNE_OK: _tune_ok, OPEN: _open, CLOSE: _close, CLOSE_OK: _close_ok,
                CHANNEL_OPEN: _channel_open, CHANNEL_CLOSE_OK: _nothing, QOS: _qos, SELECT: _select, DECLARE: _declare,
                DELETE: _delete, CONSUME: _consume, CANCEL: _cancel, ACK: _ack, NACK: _nothing, PUBLISH: _publish}

# SPDX-License-Identifier: MIT
"""HTTP as attackers send it: bytes on a socket, what came back, and a table of requests that must be refused."""
import socket
import time

from harness import SID

SLOW_S = 8


def raw(d, data, timeout=SLOW_S, shut=False):
    """What comes back for those bytes until the server closes or the time is over."""
    with socket.create_connection(("127.0.0.1", d.http_port), timeout) as s:
        try:
            s.sendall(data)
            if shut:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        return read_all(s, timeout)


def read_all(s, timeout=SLOW_S):
    out = b""
    deadline = time.monotonic() + timeout
    try:
        while (left := deadline - time.monotonic()) > 0:
            s.settimeout(left)
            piece = s.recv(65536)
            if not piece:
                return out
            out += piece
    except (TimeoutError, ConnectionError):
        pass
    return out


def statuses(data):
    return [int(line.split(b" ")[1]) for line in data.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


HOST = b"Host: h\r\n"
CLOSE = b"Connection: close\r\n"
Q = f"/{SID}/q".encode()

REFUSED = [
    ("garbage", b"\x00\x01\x02\xff\r\n\r\n"),
    ("http2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("no version", b"GET /\r\n\r\n"),
    ("version 2", b"GET / HTTP/2.0\r\n" + HOST + b"\r\n"),
    ("version 1.10", b"GET / HTTP/1.10\r\n" + HOST + b"\r\n"),
    ("two spaces", b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("tab", b"GET\t/\tHTTP/1.1\r\n" + HOST + b"\r\n"),
    ("bare lf", b"GET / HTTP/1.1\nHost: h\n\n"),
    ("no host", b"GET / HTTP/1.1\r\n\r\n"),
    ("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("nul in target", b"GET /a\x00b HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("nul in header", b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n"),
    ("space before colon", b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length : 3\r\n\r\nabc"),
    ("obs-fold", b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n"),
    ("fold first", b"GET / HTTP/1.1\r\n Host: h\r\n\r\n"),
    ("cl and te", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("two lengths", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
    ("length list", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 4, 5\r\n\r\nabcde"),
    ("length +", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Content-Length: +4\r\n\r\nabcd"),
    ("length -", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n"),
    ("length hex", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 0x4\r\n\r\nabcd"),
    ("length huge", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999999\r\n\r\n"),
    ("length 2^64", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 18446744073709551616\r\n\r\n"),
    ("length empty", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Content-Length: \r\n\r\n"),
    ("te identity", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: identity\r\n\r\n"),
    ("te xchunked", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("te gzip", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("te twice", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("te vt", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
    ("te 1.0", b"POST " + Q + b" HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("chunk size none", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n\r\n"),
    ("chunk size 2^64", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n"),
    ("chunk size fff", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\na"),
    ("chunk size -", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\na"),
    ("chunk no crlf", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n"),
    ("chunk lf", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n"),
    ("chunk ext lf", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\n"),
    ("chunk ext long", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 70000 + b"\r\nx\r\n0\r\n\r\n"),
    ("trailer long", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 20000 + b"\r\n"),
    ("long method", b"A" * 5000 + b" / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("long target", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("long header", b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 20000 + b"\r\n\r\n"),
    ("many headers", b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 200 + b"\r\n"),
    ("endless line", b"G" * 100000),
    ("expect", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\n"),
    ("connect", b"CONNECT h:80 HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("absolute form of nobody", b"GET ftp:h HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("body too large", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 9999999\r\n\r\n"),
    ("chunked too large", b"POST " + Q + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 6),
]

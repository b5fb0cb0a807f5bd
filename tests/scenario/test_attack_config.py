# SPDX-License-Identifier: MIT
"""What an operator may get wrong, or a stranger try on the admin listener: one line and an end, never a hang."""
import http.client
import os
import socket
import stat

import pytest

import harness
from harness import free_port, run_program, wait_until


def check(path, *args, env=None):
    return run_program(harness.VOXBUSD, "-c", path, "--check", *args, env=env, timeout=10)


def test_files_that_are_none_are_one_line_and_exit_2(tmp_path):
    fifo, directory, secret, loop = tmp_path / "fifo", tmp_path / "dir", tmp_path / "secret", tmp_path / "loop"
    os.mkfifo(fifo)
    directory.mkdir()
    loop.symlink_to(loop)
    big = tmp_path / "big"
    big.write_bytes(b"#" * (2 << 20))
    for path in (directory, fifo, tmp_path / "missing", loop, big, "/dev/zero", "/dev/null/x", "x" * 5000, ""):
        done = check(path)
        if path == fifo:  # nobody writes to it: an empty file, and no waiting
            assert done.returncode == 0, done
            continue
        assert done.returncode == 2, (str(path)[:50], done)
        assert len(done.stderr.strip().splitlines()) == 1 and not done.stdout, (str(path)[:50], done)


HOSTILE = [b"\x00", b"\xff\xfe{}", b"{" * 20000, b"[" * 20000, b"a: &a [*a]", b"a: &a {b: 1}\nc: *a", b"? ? ? ?", b"---\n---\n",
           b"%YAML 9.9\n---\na", b"node: " + b"x" * 100000, b"node: \"\\x00\"", b"!!python/object:os.system x", b"- " * 5000,
           b"http: {listen: [" + b"'127.0.0.1:1'," * 5000 + b"]}", b"node: ${" + b"${" * 5000, b"node: |\n" + b" x\n" * 50000,
           b"\t", b":", b"'", b"\"", b"a: b: c", b"node: x\nnode: y", b"node: \x1b[31m", b"http: {listen: ['127.0.0.1:99999']}",
           b"http: {listen: ['unix:" + b"/x" * 100 + b"']}", b"journal: {quota: 99999999999999999999GiB}",
           b"dialogs: {linger: 1e9}", b"data_dir: 'relative'"]


def test_hostile_files_are_one_line_and_exit_2(tmp_path):
    path = tmp_path / "c.yaml"
    for text in HOSTILE:
        path.write_bytes(text)
        done = check(path)
        assert done.returncode in (0, 2), (text[:40], done)
        lines = done.stderr.strip().splitlines()
        assert len(lines) == (1 if done.returncode == 2 else 0), (text[:40], done)
        assert all(len(line) < 2000 and line.isprintable() for line in lines), (text[:40], done)
        if done.returncode == 2:
            assert lines[0].count(str(path)) == 1, lines


def test_environment_of_odd_bytes(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("node: ${NODE}\naccounts: [{sid: ACx, token: '${TOKEN}'}]\n")
    for value in (b"\xff\xfe", b"a\nb: c", b"\x1b[2J", b"x" * 100000, b"${NODE}", b"", b"'", b"]]"):
        env = {"NODE": os.fsdecode(value), "TOKEN": "t"}
        done = check(path, env=env)
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, (value[:20], done)
        assert done.stderr.strip().isprintable(), (value[:20], done)
    for name in ("VOXBUS_HTTP", "VOXBUS_ARI_URL", "VOXBUS_APPLICATION", "HOME", "XDG_STATE_HOME"):
        for value in ("\udcff", "x" * 5000, "\n", "a b"):
            done = run_program(harness.VOXBUSD, "--check", env={"HOME": str(tmp_path), name: value})
            assert done.returncode in (0, 2) and len(done.stderr.strip().splitlines()) <= 1, (name, value[:20], done)


def ends(daemon, config, *words):
    d = daemon(config, wait=False)
    code = d.wait_end(10)
    assert code not in (0, 99) and code > 0, (code, d.output)
    assert len(d.output.strip().splitlines()) == 1, d.output
    assert all(word in d.output for word in words), d.output


def test_what_cannot_be_listened_on(daemon, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ends(daemon, {"http": {"listen": [f"127.0.0.1:{port}"]}}, "http.listen", str(port))
        token = tmp_path / "token"
        token.write_text("t" * 32)
        ends(daemon, {"admin": {"listen": f"127.0.0.1:{port}", "token_file": str(token)}}, "admin.listen", str(port))
    ends(daemon, {"admin": {"listen": "unix:/" + "a" * 150}}, "admin")
    ends(daemon, {"admin": {"listen": f"unix:{tmp_path}/no/such/dir/a.sock"}}, "admin")
    ends(daemon, {"admin": {"listen": f"unix:{tmp_path}"}}, "admin")
    ends(daemon, {"http": {"listen": ["192.0.2.1:8090"]}}, "http.listen")
    file = tmp_path / "file"
    file.write_text("precious")
    ends(daemon, {"admin": {"listen": f"unix:{file}"}}, "admin")
    assert file.read_text() == "precious"


def test_token_files_that_are_none(daemon, tmp_path):
    fifo, short, empty = tmp_path / "fifo", tmp_path / "short", tmp_path / "empty"
    os.mkfifo(fifo)
    short.write_text("x" * 15)
    empty.write_text("\n")
    for path in (tmp_path / "missing", tmp_path, fifo, short, empty):
        ends(daemon, {"admin": {"listen": "127.0.0.1:0", "token_file": str(path)}}, "token_file")


def test_the_admin_socket_is_for_its_owner(daemon):
    d = daemon()
    assert stat.S_IMODE(d.admin_path.stat().st_mode) == 0o600
    assert stat.S_IMODE((d.data_dir / "journal").stat().st_mode) & 0o077 == 0
    for path in d.data_dir.rglob("*"):
        assert path.is_dir() or stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.fixture
def tcp(daemon, tmp_path):
    port, token = free_port(), "a-token-of-32-characters-or-more"
    (tmp_path / "token").write_text(token + "\nsecond line\n")
    d = daemon({"admin": {"listen": f"127.0.0.1:{port}", "token_file": str(tmp_path / "token")}}, wait=False)

    def ask(path, method="GET", raw=None, **headers):
        if raw is not None:
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                s.sendall(raw)
                answer = s.recv(65536)
                return int(answer.split(b" ")[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        return harness.http_request(connection, method, path, None,
                                    {k.replace("_", "-"): v for k, v in headers.items()}).status

    def up():
        try:
            return ask("/healthz") == 200
        except OSError:
            return False

    wait_until(up, what=d.tail())
    return port, token, ask


def test_admin_on_tcp_against_tricks(tcp):
    port, token, ask = tcp
    good = {"Authorization": f"Bearer {token}"}
    assert ask("/api/status", **good) == 200
    for value in ("", "Bearer", "Bearer ", f"bearer{token}", f"Bearer {token}x", f"Bearer {token[:-1]}", f"Bearer {token.upper()}",
                  f"Basic {token}", token + " ", f"Bearer {token} {token}", "Bearer " + "x" * 8000, f"Bearer \"{token}\""):
        if value != token + " ":
            assert ask("/api/status", Authorization=value) == 401, value
    for path in ("//api/status", "/api//status", "/api/../api/status", "/healthz/../api/status", "/healthz/", "/healthz/x",
                 "/%61pi/status", "/api/status/", "/api/status%00", "/healthz?/api/status", "/readyz/..;/metrics"):
        assert ask(path) in (200, 401, 404), path
        assert ask(path) != 200 or path.startswith(("/healthz", "/readyz")), path
    assert ask(f"/api/status?token={token}&access_token={token}") == 401
    for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", f"localhost.evil:{port}", "127.0.0.2:1",
                 f"127.0.0.1:{port}.evil", f"127.0.0.1:{port}@evil", f"[::1", "localhost:", f" localhost:{port}x", "0"):
        assert ask("/api/status", Host=host, **good) in (400, 403), host
        assert ask("/api/status", Host=host) in (400, 401, 403), host
    for origin in ("http://evil.example", "null", "file://", f"http://127.0.0.1:{port}.evil", f"http://127.0.0.1:{port}@evil",
                   f"http://evil#127.0.0.1:{port}", f"https://localhost.evil:{port}", "*", f"http://127.0.0.1:{port + 1}"):
        assert ask("/api/status", Origin=origin, **good) == 403, origin
    old = f"GET /api/status HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n"
    assert ask("", raw=old.encode()) in (400, 403)
    twice = f"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer no\r\nAuthorization: Bearer {token}\r\n\r\n"
    assert ask("", raw=twice.encode()) in (400, 401)
    origins = f"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nOrigin: http://127.0.0.1:{port}\r\nOrigin: http://evil\r\n\r\n"
    assert ask("", raw=origins.encode()) in (200, 400, 403)
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert ask("/api/status", method=method, **good) in (404, 405), method

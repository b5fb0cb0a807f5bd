# SPDX-License-Identifier: MIT
"""What the benchmarks in Python share: the optimised build, a process's time, a subscriber of NATS that counts."""
import os
import pathlib
import socket
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"
os.environ.setdefault("VOXBUS_BUILD", str(BUILD))
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "peers")]
TICK = os.sysconf("SC_CLK_TCK")


def build(*targets):
    """And that one is measured, whatever VOXBUS_BUILD says."""
    os.environ["VOXBUS_BUILD"] = str(BUILD)
    if not BUILD.exists():
        subprocess.run(["meson", "setup", BUILD, "-Dbuildtype=release", "-Db_lto=true"], cwd=ROOT, check=True,
                       stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", BUILD, "voxbusd", *targets], check=True, stdout=subprocess.DEVNULL)


def cpu_s(stat):
    """Seconds of the processor, user and system, by /proc/PID/stat or that of one thread."""
    fields = pathlib.Path(stat).read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def daemon_cpu_s(pid):
    return cpu_s(f"/proc/{pid}/stat")


class Subscriber:
    """Hears all subjects and counts those that begin with `begin`; bytes are not looked at more closely than that."""

    def __init__(self, port, begin):
        self.count, self._begin = 0, b"\nMSG " + begin
        self._socket = socket.create_connection(("127.0.0.1", port))
        # A PONG says that the subscription is there; "events_*" would be no wildcard.
        self._socket.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB > 1\r\nPING\r\n')
        said = b""
        while b"PONG\r\n" not in said:
            said += self._socket.recv(1 << 16)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        rest = b""
        while data := self._socket.recv(1 << 20):
            if b"PING\r\n" in data:
                self._socket.sendall(b"PONG\r\n")
            data = rest + data
            self.count += data.count(self._begin)
            rest = data[-(len(self._begin) - 1):]

    def close(self):
        """It hears nothing any more: on core NATS it would count as a client of each call."""
        self._socket.shutdown(socket.SHUT_RDWR)

# SPDX-License-Identifier: MIT
"""Certificates for tests, made by the openssl command when they run: nothing secret lies in the repository.

    pki = Certificates(directory)              # has ca.pem
    pair = pki.issue("server")                 # a pair for localhost and 127.0.0.1: pair.certificate, pair.key
    pki.issue("server", into=pair)             # a new one in the same files, put there whole by a rename
    pki.issue("x", hosts="DNS:pbx.example.com"); pki.issue("x", days=-1); pki.issue("x", signed=False)
    pki.server_context(pair); pki.client_context(pair)    # for Python's ssl
"""
import collections
import os
import pathlib
import ssl
import subprocess

LOCALHOST = "DNS:localhost,IP:127.0.0.1"
Pair = collections.namedtuple("Pair", "certificate key")


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, timeout=30)


class Certificates:
    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self._made = 0
        self.ca = self.dir / "ca.pem"
        self._ca_key = self.dir / "ca.key"
        self._self_sign(self.ca, self._ca_key, "test authority", "basicConstraints=critical,CA:TRUE", 30)

    def _self_sign(self, certificate, key, name, extension, days):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                "-out", certificate, "-subj", f"/CN={name}", "-days", days, "-addext", extension)

    def issue(self, name, hosts=LOCALHOST, days=30, signed=True, into=None):
        self._made += 1
        base = self.dir / f"{name}-{self._made}"
        new = Pair(base.with_suffix(".pem"), base.with_suffix(".key"))
        if signed:
            request, extensions = base.with_suffix(".csr"), base.with_suffix(".ext")
            openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", new.key,
                    "-out", request, "-subj", f"/CN={name}")
            extensions.write_text(f"subjectAltName={hosts}\nbasicConstraints=CA:FALSE\n")
            openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._ca_key, "-set_serial", self._made,
                    "-out", new.certificate, "-days", days, "-extfile", extensions)
        else:
            self._self_sign(new.certificate, new.key, name, f"subjectAltName={hosts}", days)
        os.chmod(new.key, 0o600)
        if into:
            os.replace(new.certificate, into.certificate)
            os.replace(new.key, into.key)
            return into
        return new

    def server_context(self, pair):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        return context

    def client_context(self, pair=None):
        context = ssl.create_default_context(cafile=self.ca)
        if pair:
            context.load_cert_chain(pair.certificate, pair.key)
        return context

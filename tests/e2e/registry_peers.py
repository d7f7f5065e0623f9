"""Registries of others, and what a registry with TLS and users needs."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
import unittest
import urllib.error
import urllib.request

import harness


def make_certificate(folder):
    """A certificate for this machine that has signed itself, and its key."""
    folder.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", folder / "server.pem",
                    "-out", folder / "ca.crt"], check=True, capture_output=True)
    return folder / "ca.crt", folder / "server.pem"


def make_users(file):
    """alice and bob, whose passwords are alice-secret and bob-secret."""
    if not shutil.which("htpasswd") and os.geteuid() == 0:
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "apache2-utils"],
                       env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"), stdout=subprocess.DEVNULL)
    if not shutil.which("htpasswd"):
        raise unittest.SkipTest("not installed: htpasswd (apache2-utils)")
    for flags, user in (("-Bbc", "alice"), ("-Bb", "bob")):
        subprocess.run(["htpasswd", flags, file, user, f"{user}-secret"], check=True, capture_output=True)


class DockerRegistry:
    """Debian's docker-registry on a free port, its data in `folder`; `tls` is (certificate, key), `users` an htpasswd file."""

    def __init__(self, folder, tls=None, users=None):
        harness.require("docker-registry")
        folder.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.host = f"localhost:{self.port}"
        files = f", tls: {{certificate: '{tls[0]}', key: '{tls[1]}'}}" if tls else ""
        config = folder / "config.yml"
        config.write_text(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
                          f"storage: {{filesystem: {{rootdirectory: '{folder}/data'}}, delete: {{enabled: true}}}}\n"
                          f"http: {{addr: '127.0.0.1:{self.port}'{files}}}\n"
                          + (f"auth: {{htpasswd: {{realm: test, path: '{users}'}}}}\n" if users else ""))
        self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        self._await(f"{'https' if tls else 'http'}://{self.host}/v2/")

    def _await(self, url):
        anybody = ssl._create_unverified_context()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=anybody))
        while True:
            try:
                opener.open(url).close()
                return
            except urllib.error.HTTPError:  # 401: it answers
                return
            except OSError:
                if self.process.poll() is not None:
                    raise AssertionError("docker-registry ended") from None
                threading.Event().wait(0.01)

    def close(self):
        self.process.kill()
        self.process.wait()

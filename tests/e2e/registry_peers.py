"""Registries of others, what a registry with TLS and users needs, and what may stand before one."""

import base64
import os
import secrets
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import unittest
import urllib.error
import urllib.request

import harness

RULES = """
[registry]
htpasswd = "users"
[[registry.access]]
user = "alice"
repositories = "team/**"
allow = ["pull", "push", "delete", "catalog"]
[[registry.access]]
user = "bob"
repositories = "team/*"
allow = "pull"
"""


def make_certificate(folder, name="localhost"):
    """A certificate for this machine (and what else it is called) that has signed itself, and its key."""
    folder.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=DNS:{name},DNS:localhost,IP:127.0.0.1", "-keyout", folder / "server.pem",
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


# What tells its answers from those of whoever was quicker to take the port.
SIGN = "X-Kiln-Test"


class DockerRegistry:
    """Debian's docker-registry on a free port, its data in `folder`; `tls` is (certificate, key), `users` an htpasswd file,
    `client_authority` a certificate that has signed those of all who may come."""

    def __init__(self, folder, tls=None, users=None, client_authority=None):
        harness.require("docker-registry")
        folder.mkdir()
        self.sign = folder.name + secrets.token_hex(8)
        clients = f", clientcas: ['{client_authority}']" if client_authority else ""
        files = f", tls: {{certificate: '{tls[0]}', key: '{tls[1]}'{clients}}}" if tls else ""
        config = folder / "config.yml"
        # It cannot be asked for a free port; take one, and another if somebody else was quicker.
        for _ in range(5):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            self.host = f"localhost:{self.port}"
            config.write_text(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
                              f"storage: {{filesystem: {{rootdirectory: '{folder}/data'}}, delete: {{enabled: true}}}}\n"
                              f"http: {{addr: '127.0.0.1:{self.port}', headers: {{{SIGN}: ['{self.sign}']}}{files}}}\n"
                              + (f"auth: {{htpasswd: {{realm: test, path: '{users}'}}}}\n" if users else ""))
            self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL)
            if harness.until(lambda: self._state(tls), "docker-registry answers") == "up":
                return
            self.close()
        raise AssertionError("docker-registry finds no port that is free")

    def _state(self, tls):
        """"up", "gone", or nothing yet."""
        anybody = ssl._create_unverified_context()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=anybody))
        try:
            with opener.open(f"{'https' if tls else 'http'}://{self.host}/v2/") as answer:
                headers = answer.headers
        except urllib.error.HTTPError as error:  # 401: it answers
            headers = error.headers
        except OSError as error:
            if isinstance(error, ssl.SSLError) or isinstance(getattr(error, "reason", None), ssl.SSLError):
                return "up" if self.process.poll() is None else "gone"  # it wants to know who asks
            return "gone" if self.process.poll() is not None else None
        return "up" if headers.get(SIGN) == self.sign else "gone"  # another program has the port

    def close(self):
        self.process.kill()
        self.process.wait()


class Relay(socketserver.ThreadingTCPServer):
    """Takes connections on a free port, and passes on what they say to a port of this machine; ends with close()."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), None)
        self.target, self.port = port, self.server_address[1]
        self.host = f"localhost:{self.port}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def finish_request(self, client, _):
        with socket.create_connection(("127.0.0.1", self.target)) as server:
            self.pass_on(client, server)

    def pass_on(self, client, server):
        back = threading.Thread(target=self.pump, args=(server, client, "down"), daemon=True)
        back.start()
        self.pump(client, server, "up")
        back.join()

    def pump(self, source, sink, direction):
        try:
            while piece := source.recv(65536):
                self.moves(direction, len(piece))
                sink.sendall(piece)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def moves(self, direction, size):
        pass

    def close(self):
        self.shutdown()
        self.server_close()


class Valve(Relay):
    """Lets so many bytes through in one direction ("up" to the registry, "down" from it), and the rest once it is opened."""

    def __init__(self, port, direction, limit):
        self.direction, self.left = direction, limit
        self.stalled, self.opened = threading.Event(), threading.Event()
        super().__init__(port)

    def moves(self, direction, size):
        if direction != self.direction:
            return
        self.left -= size
        if self.left < 0:
            self.stalled.set()
            self.opened.wait()

    def close(self):
        self.opened.set()
        super().close()


class Proxy(Relay):
    """A small HTTP proxy, written for these tests: CONNECT, and requests for http URLs. Every name leads to one port of
    this machine, so that names that nobody else knows show who asked it. `asked` has what it was asked for."""

    def __init__(self, port, password=None):
        self.asked, self.password = [], password
        super().__init__(port)

    def pass_on(self, client, server):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(65536)
            if not piece:
                return
            head += piece
        first, *fields = head.split(b"\r\n\r\n", 1)[0].decode().split("\r\n")
        method, target, _ = first.split(" ")
        self.asked.append(f"{method} {target}")
        wanted = "Proxy-Authorization: Basic " + base64.b64encode((self.password or "").encode()).decode()
        if self.password and wanted not in fields:
            client.sendall(b"HTTP/1.1 407 Who are you?\r\nProxy-Authenticate: Basic realm=\"proxy\"\r\nContent-Length: 0\r\n\r\n")
            return
        if method == "CONNECT":
            client.sendall(b"HTTP/1.1 200 Here you are\r\n\r\n")
        else:
            server.sendall(head)
        super().pass_on(client, server)

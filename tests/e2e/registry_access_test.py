#!/usr/bin/env python3
"""Programs of others against `kiln serve` with TLS, users and rights; and how much memory a large blob takes.

KILN_BLOB_SIZE (bytes, 1.5 GB) sets how large.
"""

import base64
import hashlib
import http.client
import os
import pathlib
import shutil
import ssl
import subprocess
import unittest

import harness
from registry_peers import RULES, make_certificate, make_users

BLOB_SIZE = int(os.environ.get("KILN_BLOB_SIZE", str(1500 << 20)))
PEAK_LIMIT = 64 << 20
CRANE = "github.com/google/go-containerregistry/cmd/crane@v0.20.2"
CONFIG = RULES + """\
[[registry.access]]
user = "anonymous"
repositories = "team/public"
allow = "pull"
"""


class Secured(unittest.TestCase):
    def setUp(self):
        harness.require("openssl", "skopeo")
        self.world = harness.World()
        self.addCleanup(self.world.close)
        self.folder = self.world.folder
        self.world.env["XDG_DATA_HOME"] = str(self.folder / "data")
        config = self.folder / "config/kiln"
        config.mkdir(parents=True)
        (config / "config.toml").write_text(CONFIG)
        make_users(config / "users")
        self.certificate, key = make_certificate(self.folder / "certs")
        self.world.serve(arguments=("--tls-cert", self.certificate, "--tls-key", key))
        self.host = f"localhost:{self.world.port}"

    def run_peer(self, *command, ok=True, **env):
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        done = subprocess.run(list(map(str, command)), text=True, capture_output=True, timeout=300, stdin=subprocess.DEVNULL,
                              env=dict(os.environ, HOME=str(home), XDG_RUNTIME_DIR=str(home), **env))
        self.assertEqual(done.returncode == 0, ok, f"{command}\n{done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

    def layout(self):
        """An image of umoci's making with one file in a layer."""
        harness.require("umoci")
        layout = self.folder / "layout"
        (self.folder / "file").write_text("hello")
        self.run_peer("umoci", "init", "--layout", layout)
        self.run_peer("umoci", "new", "--image", f"{layout}:v1")
        self.run_peer("umoci", "insert", "--image", f"{layout}:v1", self.folder / "file", "/file")
        return f"oci:{layout}:v1"

    def skopeo(self, verb, *arguments, **options):
        return self.run_peer("skopeo", "--insecure-policy", verb, *arguments, **options)

    def push(self, user, repository, ok=True):
        return self.skopeo("copy", "--dest-cert-dir", self.certificate.parent, "--dest-creds", f"{user}:{user}-secret",
                           self.layout_name, f"docker://{self.host}/{repository}:v1", ok=ok)

    def pull(self, user, repository, ok=True):
        who = ["--src-creds", f"{user}:{user}-secret"] if user else ["--src-no-creds"]
        target = self.folder / f"pulled-{user}-{repository.replace('/', '-')}"
        said = self.skopeo("copy", "--src-cert-dir", self.certificate.parent, *who, f"docker://{self.host}/{repository}:v1",
                           f"oci:{target}:v1", ok=ok)
        return said if not ok else target

    def test_skopeo_and_umoci(self):
        self.layout_name = self.layout()
        self.push("alice", "team/app")
        self.assertRegex(self.push("bob", "team/app", ok=False).lower(), "denied|forbidden")
        self.assertRegex(self.push("alice", "other/app", ok=False).lower(), "denied|forbidden")
        pulled = self.pull("bob", "team/app")
        self.run_peer("umoci", "unpack", "--rootless", "--image", f"{pulled}:v1", self.folder / "bundle")
        self.assertEqual((self.folder / "bundle/rootfs/file").read_text(), "hello")
        self.assertIn("unauthorized", self.pull("", "team/app", ok=False).lower())
        self.push("alice", "team/public")
        self.pull("", "team/public")
        certificates = ("--cert-dir", self.certificate.parent)
        tags = self.skopeo("list-tags", *certificates, "--creds", "bob:bob-secret", f"docker://{self.host}/team/app")
        self.assertIn('"v1"', tags)
        reference = f"docker://{self.host}/team/app:v1"
        self.skopeo("delete", *certificates, "--creds", "bob:bob-secret", reference, ok=False)
        self.skopeo("delete", *certificates, "--creds", "alice:alice-secret", reference)
        self.pull("bob", "team/app", ok=False)
        self.skopeo("login", *certificates, "-u", "alice", "-p", "wrong", self.host, ok=False)

    def test_buildah(self):
        harness.require("buildah")
        self.layout_name = self.layout()
        storage = ("--root", self.folder / "storage", "--runroot", self.folder / "run", "--storage-driver", "vfs")
        certificates = ("--cert-dir", self.certificate.parent)
        buildah = lambda verb, *rest, **options: self.run_peer("buildah", *storage, verb, *rest, **options)
        image = f"docker://{self.host}/team/buildah:v1"
        buildah("login", *certificates, "-u", "alice", "-p", "alice-secret", self.host)
        name = buildah("pull", "--policy", "always", "-q", self.layout_name).split()[-1]
        buildah("push", *certificates, name, image)
        buildah("rmi", "--all", "--force")
        buildah("pull", *certificates, image)
        buildah("logout", self.host)
        self.assertIn("unauthorized", buildah("pull", "--policy", "always", *certificates, image, ok=False).lower())

    def test_crane(self):
        if not shutil.which("go"):
            self.skipTest("not installed: go, which builds crane")
        programs = pathlib.Path(harness.KILN).resolve().parent / "peers"
        if not (programs / "crane").exists():
            built = subprocess.run(["go", "install", CRANE], env=dict(os.environ, GOBIN=str(programs)),
                                   capture_output=True, text=True)
            if built.returncode != 0:
                self.skipTest(f"crane does not arrive or build: {built.stderr.strip()}")
        self.layout_name = self.layout()
        crane = lambda *rest, **options: self.run_peer(programs / "crane", *rest, SSL_CERT_FILE=str(self.certificate), **options)
        crane("auth", "login", self.host, "-u", "alice", "-p", "alice-secret")
        image = f"{self.host}/team/crane"
        crane("push", self.folder / "layout", f"{image}:v1")
        crane("copy", f"{image}:v1", f"{self.host}/team/copied:v1")
        crane("pull", "--format", "oci", f"{self.host}/team/copied:v1", self.folder / "crane-out")
        self.assertEqual(crane("ls", image).split(), ["v1"])
        self.assertEqual(crane("catalog", self.host).split(), ["team/copied", "team/crane"])
        crane("push", self.folder / "layout", f"{self.host}/other:v1", ok=False)
        digest = crane("digest", f"{image}:v1").strip()
        crane("delete", f"{image}@{digest}")
        crane("digest", f"{image}:v1", ok=False)

    def test_the_other_parts_of_the_port(self):
        self.world.kiln("service", "list", check=0)
        trust = ssl.create_default_context(cafile=str(self.certificate))
        connection = http.client.HTTPSConnection("localhost", self.world.port, timeout=20, context=trust)
        connection.request("GET", "/")
        answer = connection.getresponse()
        self.assertIn("<h1>Kiln</h1>", answer.read().decode())
        connection.close()


class Memory(unittest.TestCase):
    def setUp(self):
        harness.require("openssl")
        self.world = harness.World()
        self.addCleanup(self.world.close)
        self.world.env["XDG_DATA_HOME"] = str(self.world.folder / "data")

    def peak(self):
        with open(f"/proc/{self.world.server.pid}/status") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

    def up_and_down(self, connect):
        with open(f"/proc/{self.world.server.pid}/clear_refs", "w") as file:
            file.write("5")  # VmHWM begins anew
        piece = os.urandom(1 << 20)
        pieces = BLOB_SIZE // len(piece)
        hasher = hashlib.sha256()
        for number in range(pieces):
            hasher.update(piece[:-8] + number.to_bytes(8, "big"))
        digest = "sha256:" + hasher.hexdigest()
        connection = connect()
        connection.request("POST", "/v2/large/blobs/uploads/")
        answer = connection.getresponse()
        answer.read()
        body = (piece[:-8] + number.to_bytes(8, "big") for number in range(pieces))
        connection.request("PATCH", answer.headers["Location"], body, {"Content-Length": str(pieces * len(piece))})
        patched = connection.getresponse()
        patched.read()
        self.assertEqual(patched.status, 202)
        connection.request("PUT", f"{answer.headers['Location']}?digest={digest}")
        answer = connection.getresponse()
        self.assertEqual(answer.status, 201, answer.read())
        answer.read()
        connection.request("GET", f"/v2/large/blobs/{digest}")
        answer = connection.getresponse()
        received = hashlib.sha256()
        while part := answer.read(1 << 20):
            received.update(part)
        connection.close()
        self.assertEqual("sha256:" + received.hexdigest(), digest)
        peak = self.peak()
        print(f"{pieces} MiB up and down: peak {peak >> 20} MiB", flush=True)
        self.assertLessEqual(peak, PEAK_LIMIT)

    def test_does_not_grow_with_a_blob(self):
        port = self.world.serve()
        self.up_and_down(lambda: http.client.HTTPConnection("127.0.0.1", port, timeout=120))

    def test_does_not_grow_with_a_blob_over_tls(self):
        certificate, key = make_certificate(self.world.folder / "certs")
        port = self.world.serve(arguments=("--tls-cert", certificate, "--tls-key", key))
        trust = ssl.create_default_context(cafile=str(certificate))
        self.up_and_down(lambda: http.client.HTTPSConnection("localhost", port, timeout=120, context=trust))


if __name__ == "__main__":
    harness.main()

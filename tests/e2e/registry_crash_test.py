#!/usr/bin/env python3
"""Clients push and pull while the store is collected and the server is killed again and again: what was acknowledged is there.

KILN_CRASH_CLIENTS, KILN_CRASH_KILLS and KILN_CRASH_PUSHES (acknowledged between two kills) make it longer; `tests/nightly registry`
is 64 clients and ten kills, for a minute and more.
"""

import base64
import hashlib
import http.client
import json
import os
import random
import signal
import threading
import unittest

import harness
from registry_peers import make_users

CLIENTS = int(os.environ.get("KILN_CRASH_CLIENTS", "8"))
KILLS = int(os.environ.get("KILN_CRASH_KILLS", "3"))
PUSHES = int(os.environ.get("KILN_CRASH_PUSHES", "60"))
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class RegistryCrash(unittest.TestCase):
    def setUp(self):
        self.world = harness.World()
        self.addCleanup(self.world.close)
        self.world.env["XDG_DATA_HOME"] = str(self.world.folder / "data")
        self.acknowledged, self.wrong = [], []
        self.collections = 0
        self.changed = threading.Condition()
        self.done = threading.Event()

    headers = {}  # of every request

    def request(self, connection, method, path, body=None, headers=None):
        connection.request(method, path, body, {**self.headers, **(headers or {})})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 503:
            raise ConnectionError("the server is starting")
        return answer.status, answer.headers, body

    def push(self, connection, repository, tag, content):
        """False when the server, or the collection, made the client begin anew."""
        digest = digest_of(content)
        status, headers, _ = self.request(connection, "POST", f"/v2/{repository}/blobs/uploads/")
        if status != 202:
            return False
        status, _, said = self.request(connection, "PUT", f"{headers['Location']}?digest={digest}", content)
        if status != 201:
            self.wrong.append(("blob", status, said))
            return False
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
                               "config": {"mediaType": CONFIG, "digest": digest, "size": len(content)}}).encode()
        status, _, said = self.request(connection, "PUT", f"/v2/{repository}/manifests/{tag}", manifest,
                                       {"Content-Type": MANIFEST})
        if status == 404 and b"MANIFEST_BLOB_UNKNOWN" in said:
            return False  # a collection without grace came in between, and the client was told
        if status != 201:
            self.wrong.append(("manifest", status, said))
            return False
        with self.changed:
            self.acknowledged.append((repository, tag, manifest, digest))
            self.changed.notify_all()
        return True

    def check(self, connection, pushed):
        repository, tag, manifest, digest = pushed
        status, _, body = self.request(connection, "GET", f"/v2/{repository}/manifests/{tag}")
        if status != 200 or body != manifest:
            self.wrong.append(("lost manifest", tag, status))
        status, _, body = self.request(connection, "GET", f"/v2/{repository}/blobs/{digest}")
        if status != 200 or digest_of(body) != digest:
            self.wrong.append(("lost blob", tag, status))

    def client(self, number):
        choose = random.Random(number)
        connection, count = None, 0
        while not self.done.is_set():
            count += 1
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.world.port, timeout=20)
                self.push(connection, f"r{number % 4}", f"t{number}-{count}",
                          choose.randbytes(choose.choice([10, 5000, 300000])))
                if self.acknowledged:
                    self.check(connection, choose.choice(self.acknowledged))
            except (OSError, http.client.HTTPException):  # killed meanwhile
                connection.close()
                connection = None
                self.done.wait(0.02)
        if connection:
            connection.close()

    def collect(self):
        while not self.done.is_set():
            # Spares nothing for its age: harder than what anybody would run.
            self.world.kiln("image", "gc", "--grace", "0s", check=0)
            self.collections += 1

    def test_what_was_acknowledged_is_readable_and_right(self):
        world = self.world
        port = world.serve()
        threads = [threading.Thread(target=self.client, args=(number,)) for number in range(CLIENTS)]
        threads.append(threading.Thread(target=self.collect))
        for thread in threads:
            thread.start()
        try:
            for _ in range(KILLS):
                with self.changed:
                    goal = len(self.acknowledged) + PUSHES
                    self.assertTrue(self.changed.wait_for(lambda: len(self.acknowledged) >= goal, timeout=120))
                world.stop_server(signal.SIGKILL)
                world.serve(f"127.0.0.1:{port}")
        finally:
            self.done.set()
            for thread in threads:
                thread.join()
        self.assertEqual(self.wrong, [])
        print(f"{CLIENTS} clients: {len(self.acknowledged)} pushes acknowledged, {KILLS} kills, {self.collections} collections",
              flush=True)
        self.assertGreater(self.collections, 0)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for pushed in self.acknowledged:
            self.check(connection, pushed)
        connection.close()
        self.assertEqual(self.wrong, [])
        self.assertIn(" 0 damaged", world.kiln("image", "verify", check=0).stdout)

    def test_the_same_where_blobs_are_shown_to_their_repositories_only(self):
        config = self.world.folder / "config/kiln"
        config.mkdir(parents=True)
        (config / "config.toml").write_text('[registry]\nhtpasswd = "users"\n')
        make_users(config / "users")
        self.world.serve()  # its tokens hold for those after it, too
        connection = http.client.HTTPConnection("127.0.0.1", self.world.port, timeout=20)
        scopes = "".join(f"&scope=repository:r{number}:pull,push" for number in range(4))
        credentials = base64.b64encode(b"alice:alice-secret").decode()
        status, _, body = self.request(connection, "GET", f"/v2/token?service=kiln{scopes}",
                                       headers={"Authorization": f"Basic {credentials}"})
        connection.close()
        self.assertEqual(status, 200, body)
        self.headers = {"Authorization": f"Bearer {json.loads(body)['token']}"}
        self.world.stop_server()
        self.test_what_was_acknowledged_is_readable_and_right()

    def chunked(self, content, location, offset, size, cut=None, number=None):
        """One chunk; with `cut`, the server is ended by a signal when so many of its bytes were sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.world.port, timeout=20)
        chunk = content[offset:offset + size]
        connection.putrequest("PATCH", location)
        connection.putheader("Content-Length", str(len(chunk)))
        connection.putheader("Content-Range", f"{offset}-{offset + len(chunk) - 1}")
        connection.endheaders()
        if cut is None:
            connection.send(chunk)
            answer = connection.getresponse()
            self.assertEqual(answer.status, 202)
            answer.read()
        else:
            connection.send(chunk[:cut])
            self.world.stop_server(number)
        connection.close()

    def offset(self, location):
        connection = http.client.HTTPConnection("127.0.0.1", self.world.port, timeout=20)
        status, headers, _ = self.request(connection, "GET", location)
        self.assertEqual(status, 204)
        connection.close()
        last = int(headers["Range"].split("-")[1])
        return last + 1 if last else 0

    def test_a_chunked_upload_is_carried_on_after_the_server_was_killed(self):
        world = self.world
        port = world.serve()
        content = random.Random(1).randbytes(12 << 20)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        status, headers, _ = self.request(connection, "POST", "/v2/r/blobs/uploads/")
        connection.close()
        self.assertEqual(status, 202)
        location, acknowledged = headers["Location"], 0
        for cut, number in ((0, signal.SIGKILL), (3_000_000, signal.SIGKILL), (1_000_000, signal.SIGTERM)):
            self.chunked(content, location, acknowledged, 1 << 20)
            acknowledged += 1 << 20
            self.chunked(content, location, acknowledged, 4 << 20, cut, number)
            world.serve(f"127.0.0.1:{port}")
            there = self.offset(location)
            self.assertGreaterEqual(there, acknowledged, "what was acknowledged is there")
            self.assertLessEqual(there, acknowledged + cut)
            acknowledged = there
        self.chunked(content, location, acknowledged, len(content))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        digest = digest_of(content)
        self.assertEqual(self.request(connection, "PUT", f"{location}?digest={digest}")[0], 201)
        self.assertEqual(self.request(connection, "GET", f"/v2/r/blobs/{digest}")[2], content)
        connection.close()
        self.assertEqual(os.listdir(world.folder / "data/kiln/store/uploads"), [])


if __name__ == "__main__":
    harness.main()

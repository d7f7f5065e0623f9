#!/usr/bin/env python3
"""The policies of `kiln serve`'s registry, with docker-registry as upstream and skopeo as client."""

import hashlib
import http.client
import http.server
import json
import signal
import subprocess
import threading
import unittest
import urllib.request

import harness
from registry_peers import DockerRegistry

CONFIG = """
[registry]
immutable-tags = "v*"
[[registry.quota]]
repositories = "small"
bytes = "100B"
[[registry.retention]]
repositories = ["ci", "own"]
tags = "pr-*"
keep-last = 1
[[registry.upstream]]
prefix = "mirror"
registry = "{upstream}"
tag-age = "1h"
[[registry.notify]]
name = "hook"
url = "{hook}"
"""


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.came:
            self.server.subjects.append(event["type"].removeprefix("dev.kiln.registry.") + " " + event["subject"])
            self.server.came.notify_all()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Policies(unittest.TestCase):
    def setUp(self):
        harness.require("skopeo", "docker-registry", "umoci")
        self.world = harness.World()
        self.addCleanup(self.world.close)
        self.folder = self.world.folder
        self.world.env["XDG_DATA_HOME"] = str(self.folder / "data")
        self.upstream = DockerRegistry(self.folder / "upstream")
        self.addCleanup(self.upstream.close)
        self.hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        self.hook.subjects, self.hook.came = [], threading.Condition()
        threading.Thread(target=self.hook.serve_forever, daemon=True).start()
        self.addCleanup(self.hook.server_close)
        self.addCleanup(self.hook.shutdown)
        config = self.folder / "config/kiln"
        config.mkdir(parents=True)
        (config / "config.toml").write_text(CONFIG.format(
            upstream=self.upstream.host, hook=f"http://127.0.0.1:{self.hook.server_port}/"))
        self.world.serve()
        self.host = f"localhost:{self.world.port}"

    def layout(self, text):
        """An image of umoci's making with one file in a layer."""
        layout = self.folder / f"layout-{text}"
        (self.folder / "file").write_text(text)
        for command in (("init", "--layout", layout), ("new", "--image", f"{layout}:v1"),
                        ("insert", "--image", f"{layout}:v1", self.folder / "file", "/file")):
            subprocess.run(["umoci", *map(str, command)], check=True, capture_output=True)
        return f"oci:{layout}:v1"

    def copy(self, source, target, ok=True):
        done = subprocess.run(["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
                               source, target], text=True, capture_output=True, timeout=120)
        self.assertEqual(done.returncode == 0, ok, done.stderr)
        return done.stderr

    def test_pull_through(self):
        one = self.layout("one")
        self.copy(one, f"docker://{self.upstream.host}/team/app:v1")
        copied = f"docker://{self.host}/mirror/team/app:v1"
        self.copy(copied, f"dir:{self.folder}/first")
        self.assertIn("mirror/team/app", self.world.kiln("image", "list", check=0).stdout)
        self.upstream.close()
        self.copy(copied, f"dir:{self.folder}/second")
        first, second = (sorted(p.name for p in (self.folder / name).iterdir()) for name in ("first", "second"))
        self.assertEqual(first, second)
        self.assertIn("503", self.copy(f"docker://{self.host}/mirror/team/other:v1", f"dir:{self.folder}/x", ok=False))
        self.assertIn("push there", self.copy(one, copied, ok=False))
        self.world.kiln("image", "verify", check=0)
        self.world.kiln("image", "gc", "--grace", "0s", check=0)
        self.copy(copied, f"dir:{self.folder}/third")

    def test_what_is_refused_and_told(self):
        one, two = self.layout("one"), self.layout("two")
        self.copy(one, f"docker://{self.host}/team/app:v1")
        self.copy(one, f"docker://{self.host}/team/app:v1")
        self.assertIn("immutable", self.copy(two, f"docker://{self.host}/team/app:v1", ok=False))
        self.assertIn("may hold 100 B", self.copy(one, f"docker://{self.host}/small:latest", ok=False))
        with self.hook.came:
            self.assertTrue(self.hook.came.wait_for(lambda: len(self.hook.subjects) >= 2, timeout=60))
        self.assertEqual(self.hook.subjects, ["push team/app:v1"] * 2)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                f"http://{self.host}/metrics") as answer:
            page = answer.read().decode()
        self.assertIn('kiln_registry_requests_total{endpoint="manifests",method="PUT",code="409"} 1', page)
        self.assertIn("process_resident_memory_bytes ", page)

    def test_retention_at_the_start(self):
        for number in "1", "2":
            self.copy(self.layout(number), f"docker://{self.host}/ci:pr-{number}")
        self.copy(self.layout("3"), f"docker://{self.host}/ci:latest")
        for name in "own:pr-a", "own:pr-b":
            self.world.kiln("image", "tag", "ci:latest", name, check=0)
        self.world.stop_server()
        self.world.serve()
        with self.hook.came:
            self.assertTrue(self.hook.came.wait_for(lambda: "delete ci:pr-1" in self.hook.subjects, timeout=60),
                            self.hook.subjects)
        names = [image["name"] for image in json.loads(self.world.kiln("image", "list", "-o", "json", check=0).stdout)]
        self.assertEqual([name for name in names if name.startswith(("ci:", "own:"))],
                         ["ci:latest", "ci:pr-2", "own:pr-a", "own:pr-b"])

    def test_a_quota_counts_what_an_upload_had_received_when_the_server_was_killed(self):
        def ask(method, path, body=b""):
            port = int(self.host.rpartition(":")[2])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request(method, path, body)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return answer

        whole = f"/v2/small/blobs/uploads/?digest=sha256:{hashlib.sha256(b'y' * 60).hexdigest()}"
        first = ask("POST", "/v2/small/blobs/uploads/").headers["Location"]
        self.assertEqual(ask("PATCH", first, b"x" * 60).status, 202)
        self.world.stop_server(signal.SIGKILL)
        self.host = f"localhost:{self.world.serve()}"
        self.assertEqual(ask("POST", whole, b"y" * 60).status, 403)
        self.assertEqual(ask("GET", first).status, 204)
        self.assertEqual(ask("POST", whole, b"y" * 60).status, 403)
        self.assertEqual(ask("DELETE", first).status, 204)
        self.assertEqual(ask("POST", whole, b"y" * 60).status, 201)
        self.assertEqual(ask("POST", whole.replace("digest=sha256:", "digest=sha256:0")[:-1], b"z" * 60).status, 403)
        self.world.kiln("image", "gc", "--grace", "0s", check=0)
        self.assertEqual(ask("POST", whole, b"y" * 60).status, 201)


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
"""What a push has acknowledged is on disk: the server's own system calls say in which order it got there."""

import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import unittest

import harness

CONFIG = b"{}"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CALLS = "openat,rename,renameat,renameat2,fsync,fdatasync,sendmsg,sendto,write,writev"
# One call that strace shows whole, or the end of one that another thread interrupted.
CALL = re.compile(r"(?P<thread>\d+) +(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
BEGUN = re.compile(r"(?P<thread>\d+) +(?P<call>\w+\(.*?) *<unfinished \.\.\.>")
ENDED = re.compile(r"(?P<thread>\d+) +<\.\.\. \w+ resumed>(?P<rest>.*)")


def digest_of(content):
    return hashlib.sha256(content).hexdigest()


def finished_calls(trace):
    """(name, arguments) of the calls that succeeded, in the order in which they ended."""
    begun, calls = {}, []
    for line in trace.splitlines():
        if found := BEGUN.match(line):
            begun[found["thread"]] = found["call"]
            continue
        if found := ENDED.match(line):
            line = f"{found['thread']} {begun.pop(found['thread'], '')}{found['rest']}"
        found = CALL.match(line)
        if found and int(found["result"]) >= 0:
            calls.append((found["name"], found["arguments"]))
    return calls


class Trace:
    def __init__(self, calls):
        self.calls = calls

    def first(self, test, after, what, **wanted):
        """The place of the first call of that kind after the given one."""
        names = wanted["names"]
        for place in range(after + 1, len(self.calls)):
            name, arguments = self.calls[place]
            if name in names and re.search(wanted["arguments"], arguments):
                return place
        following = "\n".join(f"  {name}({arguments[:200]})" for name, arguments in self.calls[after + 1:])
        test.fail(f"there is no {what} after call {after}:\n{following}")

    def rename(self, test, after, source, target):
        return self.first(test, after, f"rename of {source} to {target}", names=("rename", "renameat", "renameat2"),
                          arguments=f"{source}.*{target}")

    def sync(self, test, after, path):
        return self.first(test, after, f"fsync of {path}", names=("fsync", "fdatasync"), arguments=f"<[^>]*{path}>")

    def answer(self, test, after, status):
        return self.first(test, after, f"answer {status}", names=("sendmsg", "sendto", "write", "writev"),
                          arguments=f"HTTP/1.1 {status} ")


class RegistryFsync(unittest.TestCase):
    def setUp(self):
        harness.require("strace")
        allowed = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True)
        if allowed.returncode != 0:
            self.skipTest(f"ptrace is not allowed here: {allowed.stderr.strip()}")
        self.world = harness.World()
        self.addCleanup(self.world.close)
        self.world.env["XDG_DATA_HOME"] = str(self.world.folder / "data")
        self.file = self.world.folder / "trace"
        # -y shows the file behind each descriptor.
        self.port = self.world.serve(prefix=["strace", "-f", "-y", "-s", "64", "-o", str(self.file), "-e", f"trace={CALLS}"])

    def ask(self, method, path, body=None, status=201, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        self.assertEqual(answer.status, status, said)
        return answer

    def trace(self):
        # The server, not strace: strace ends with what it follows.
        children = subprocess.run(["pgrep", "-P", str(self.world.server.pid)], capture_output=True, text=True).stdout.split()
        os.kill(int(children[0]), signal.SIGTERM)
        self.world.server.wait(timeout=60)
        self.world.server = None
        return Trace(finished_calls(self.file.read_text(errors="replace")))

    def test_an_answer_follows_what_it_promises(self):
        location = self.ask("POST", "/v2/a/blobs/uploads/", status=202).headers["Location"]
        blob = digest_of(CONFIG)
        self.ask("PUT", f"{location}?digest=sha256:{blob}", CONFIG)
        document = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": [],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": f"sha256:{blob}", "size": len(CONFIG)},
        }).encode()
        self.ask("PUT", "/v2/a/manifests/v1", document, **{"Content-Type": MANIFEST_TYPE})
        trace = self.trace()

        # The blob: its bytes, its name, the folder with the name; then the answer.
        begun = trace.answer(self, -1, 202)
        named = trace.rename(self, begun, "uploads/", f"blobs/sha256/{blob}")
        written = trace.sync(self, begun, r"/uploads/[0-9a-f]{32}")
        self.assertLess(written, named, "a blob gets its name when its bytes are on disk")
        folder = trace.sync(self, named, "/blobs/sha256")
        answered = trace.answer(self, begun, 201)
        self.assertLess(folder, answered, "a blob is acknowledged when its name is on disk")

        # The manifest: the same, then index.json, which names it: its bytes, its name, the folder; then the answer.
        named = trace.rename(self, answered, "uploads/", f"blobs/sha256/{digest_of(document)}")
        written = trace.sync(self, answered, r"/uploads/[0-9a-f]{32}")
        self.assertLess(written, named, "a manifest gets its name when its bytes are on disk")
        folder = trace.sync(self, named, "/blobs/sha256")
        index_named = trace.rename(self, answered, r"/store/[^/\"]*", r"/store/index\.json")
        self.assertLess(folder, index_named, "the index names only what is on disk")
        temporary = re.search(r'"[^"]*/store/([^/"]+)"', trace.calls[index_named][1])[1]
        index_written = trace.sync(self, answered, f"/store/{re.escape(temporary)}")
        self.assertLess(index_written, index_named, "the index is replaced by one whose bytes are on disk")
        root = trace.sync(self, index_named, "/store")
        answered_again = trace.answer(self, answered, 201)
        self.assertLess(root, answered_again, "a push is acknowledged when the index's name is on disk")


if __name__ == "__main__":
    harness.main()

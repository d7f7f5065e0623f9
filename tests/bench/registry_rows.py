"""Rows of `compare` about the registry of `kiln serve` against Debian's docker-registry: large blobs, small manifests, connections."""

import contextlib
import hashlib
import json
import os
import re
import selectors
import shutil
import socket
import statistics
import subprocess

import harness
from registry_peers import DockerRegistry
from run_rows import timed

BLOB = 256 << 20
MANIFESTS = 1000
MANY = 500  # connections
CONFIG = b"{}"
TYPE = "application/vnd.oci.image.manifest.v1+json"


class Server:
    """One of the two, empty, on a free port; ends with the `with` and takes its data along."""

    def __init__(self, name, folder, world):
        self.name, self.folder, self.world = name, folder, world

    def __enter__(self):
        if self.name == "kiln":
            self.registry = None
            self.world.env["XDG_DATA_HOME"] = str(self.folder)
            self.port = self.world.serve()
            self.process = self.world.server
        else:
            self.registry = DockerRegistry(self.folder)
            self.port, self.process = self.registry.port, self.registry.process
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_):
        self.registry.close() if self.registry else self.world.stop_server()
        shutil.rmtree(self.folder)

    def peak_mb(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def request(method, path, body=b"", **headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}",
             *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def is_whole(answer):
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return False
    length = re.search(rb"\r\ncontent-length: *(\d+)", answer[:head], re.IGNORECASE)
    return len(answer) >= head + 4 + (int(length[1]) if length else 0)


def pump(port, connections, requests, status):
    """Sends the requests over so many keep-alive connections, each one after the other's answer; the last answer."""
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        left, open_ones, answer = iter(requests), 0, b""
        for first in requests[:connections]:
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.sendall(next(left))
            selector.register(one, selectors.EVENT_READ, bytearray())
            open_ones += 1
        while open_ones:
            for key, _ in selector.select():
                piece = key.fileobj.recv(65536)
                key.data.extend(piece)
                if piece and not is_whole(key.data):
                    continue
                answer = bytes(key.data)
                if not answer.startswith(b"HTTP/1.1 %d " % status):
                    raise RuntimeError(f"the registry answered {answer[:300]}")
                key.data.clear()
                if following := next(left, None):
                    key.fileobj.sendall(following)
                else:
                    selector.unregister(key.fileobj)
                    open_ones -= 1
    return answer


def upload(server, repository, file, digest):
    answer = pump(server.port, 1, [request("POST", f"/v2/{repository}/blobs/uploads/")], 202)
    location = re.search(rb"\r\nlocation: *(\S+)", answer, re.IGNORECASE)[1].decode()
    location = server.url + re.sub(r"^http://[^/]+", "", location)
    subprocess.run(["curl", "-sf", "-H", "Expect:", "-o", os.devnull, "-T", file,
                    f"{location}{'&' if '?' in location else '?'}digest={digest}"], check=True)


def blobs(server, folder, times):
    """One large blob there and back, by curl."""
    file = folder / "blob"
    with open(file, "r+b") as content:  # another one each time
        content.write(os.urandom(16))
    with open(file, "rb") as content:
        digest = "sha256:" + hashlib.file_digest(content, "sha256").hexdigest()
    times["upload"].append(timed(lambda: upload(server, "large", file, digest)))
    fetch = ["curl", "-sf", "-o", os.devnull, f"{server.url}/v2/large/blobs/{digest}"]
    times["download"].append(min(timed(lambda: subprocess.run(fetch, check=True)) for _ in range(3)))


def manifests(server, folder, connections, times):
    config = folder / "config"
    config.write_bytes(CONFIG)
    digest = "sha256:" + hashlib.sha256(CONFIG).hexdigest()
    repository = f"small{connections}"
    upload(server, repository, config, digest)
    document = {"schemaVersion": 2, "mediaType": TYPE, "layers": [], "annotations": {},
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(CONFIG)}}
    pushes = []
    for number in range(MANIFESTS):
        document["annotations"]["number"] = str(number)
        pushes.append(request("PUT", f"/v2/{repository}/manifests/t{number}", json.dumps(document).encode(), Content_Type=TYPE))
    reads = [request("GET", f"/v2/{repository}/manifests/t{number}", Accept=TYPE) for number in range(MANIFESTS)]
    times[f"manifests-{connections}.push"].append(timed(lambda: pump(server.port, connections, pushes, 201)))
    times[f"manifests-{connections}.read"].append(timed(lambda: pump(server.port, connections, reads, 200)))


def many_connections(server, times):
    """A thousand reads of one manifest, in ms, while wrk keeps 500 connections busy for three seconds."""
    done = subprocess.run(["wrk", "-t2", f"-c{MANY}", "-d3s", "--timeout", "30s", "-H", f"Accept: {TYPE}",
                           f"{server.url}/v2/small1/manifests/t7"], check=True, capture_output=True, text=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(done.stdout)
    times[f"connections-{MANY}"].append(1e6 / float(re.search(r"Requests/sec: *([\d.]+)", done.stdout)[1]))


def registry_rows(world, wanted, row, runs):
    names = ["upload", "download", "manifests-1.push", "manifests-1.read", "manifests-16.push", "manifests-16.read",
             f"connections-{MANY}"]
    asked = {name for name in names if wanted(f"registry.{name}")}
    results = {server: {name: [] for name in names} for server in ("kiln", "docker-registry")}
    peaks = {server: [] for server in results}
    with open(world.folder / "blob", "wb") as file:
        for _ in range(BLOB >> 20):
            file.write(os.urandom(1 << 20))
    for number in range(runs):
        for name in list(results)[::-1 if number % 2 else 1]:
            times = results[name]
            with Server(name, world.folder / f"{name}-{number}", world) as server:
                if asked & {"upload", "download"}:
                    blobs(server, world.folder, times)
                if asked - {"upload", "download"}:
                    manifests(server, world.folder, 1, times)
                    if asked & {"manifests-16.push", "manifests-16.read"}:
                        manifests(server, world.folder, 16, times)
                    if f"connections-{MANY}" in asked:
                        many_connections(server, times)
                peaks[name].append(server.peak_mb())
    for name in names:
        if name not in asked:
            continue
        ours, theirs = (statistics.median(results[server][name]) for server in results)
        row(f"registry.{name}", ours, "docker-registry", theirs)
        if name in ("upload", "download"):
            unit, ours, theirs = "MB/s", BLOB / 1e3 / ours, BLOB / 1e3 / theirs
        else:
            unit, ours, theirs = "requests/s", 1e6 / ours, 1e6 / theirs
        print(f"# registry.{name}: {ours:.0f} {unit}, docker-registry {theirs:.0f}", flush=True)
    ours, theirs = (max(peaks[server]) for server in results)
    print(f"# registry: peak memory {ours:.0f} MB, docker-registry {theirs:.0f} MB", flush=True)

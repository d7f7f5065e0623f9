#!/usr/bin/env python3
"""`kiln image copy` between all kinds of places; what it wrote is read by skopeo and umoci, and the other way round.

A copy that ends early (Ctrl-C, a full disk) leaves nothing half done, and the next one gets there.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import unittest

import harness
from registry_peers import DockerRegistry, Valve

LARGE = 8 << 20
OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
LAYOUT = {"blobs", "index.json", "oci-layout"}


class Layout:
    """An OCI image layout, written here byte for byte."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.entries = []

    def blob(self, content, media_type):
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def document(self, value, media_type):
        return self.blob(json.dumps(value).encode(), media_type)

    def image(self, files, architecture="amd64", layer_type="layer.v1.tar+gzip"):
        layers, diff_ids = [], []
        for path, content in files.items():
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w") as tar:
                entry = tarfile.TarInfo(path)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            diff_ids.append("sha256:" + hashlib.sha256(out.getvalue()).hexdigest())
            layers.append(self.blob(gzip.compress(out.getvalue(), 1, mtime=0), OCI + layer_type))
        config = self.document({"architecture": architecture, "os": "linux", "config": {},
                                "rootfs": {"type": "layers", "diff_ids": diff_ids}}, OCI + "config.v1+json")
        return self.document({"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": config, "layers": layers},
                             OCI + "manifest.v1+json")

    def index(self, images):
        manifests = [dict(image, platform={"os": "linux", "architecture": name}) for name, image in images.items()]
        return self.document({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": manifests}, OCI + "index.v1+json")

    def name(self, name, entry):
        """Returns where it is."""
        self.entries.append(dict(entry, annotations={"org.opencontainers.image.ref.name": name}))
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.entries}))
        return f"oci:{self.folder}:{name}"


class Copies(unittest.TestCase):
    def setUp(self):
        harness.require("skopeo", "umoci", "docker-registry")
        self.world = harness.World()
        self.addCleanup(self.world.close)
        self.folder = self.world.folder
        self.world.env["XDG_DATA_HOME"] = str(self.folder / "data")
        self.layout = Layout(self.folder / "layout")

    def registry(self):
        peer = DockerRegistry(self.folder / "peer")
        self.addCleanup(peer.close)
        return peer

    def kiln_registry(self):
        """With a store of its own, so that blobs really move."""
        server = harness.World()
        self.addCleanup(server.close)
        server.env["XDG_DATA_HOME"] = str(server.folder / "data")
        return f"localhost:{server.serve()}"

    def copy(self, *words, check=0):
        return self.world.kiln("image", "copy", *words, check=check)

    def moved(self, *words):
        return json.loads(self.copy("-o", "json", *words).stdout)

    def skopeo(self, verb, *words):
        tls = {"copy": ("--src-tls-verify=false", "--dest-tls-verify=false"), "inspect": ("--tls-verify=false",)}[verb]
        done = subprocess.run(["skopeo", "--insecure-policy", verb, *tls, *map(str, words)], capture_output=True, env=self.world.env)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def raw(self, place):
        return "sha256:" + hashlib.sha256(self.skopeo("inspect", "--raw", place)).hexdigest()

    def small(self):
        image = self.layout.image({"etc/one": b"one", "two": os.urandom(300_000)})
        return image["digest"], self.layout.name("small", image)

    def store_is_tidy(self):
        self.assertEqual(os.listdir(self.folder / "data/kiln/store/uploads"), [])

    def places(self):
        return [f"docker://{self.registry().host}/team/app:v1", f"docker://{self.kiln_registry()}/team/app:v1",
                f"oci:{self.folder}/out:name", f"oci-archive:{self.folder}/out.tar:name", f"dir:{self.folder}/out-dir"]


class Everywhere(Copies):
    def test_what_kiln_writes_is_read_by_others_and_nothing_moves_twice(self):
        digest, source = self.small()
        for place in (*self.places(), "hello:v1"):
            with self.subTest(place=place):
                self.assertEqual(self.moved(source, place)["moved"], 3)
                again = self.moved(source, place)
                self.assertEqual((again["moved"], again["digest"]), (0, digest))
                if place != "hello:v1":
                    self.assertEqual(self.raw(place), digest)
                    self.skopeo("copy", place, f"dir:{self.folder}/read-{len(place)}")  # every blob is right
                self.assertEqual(self.moved(place, f"dir:{self.folder}/back")["digest"], digest)
                shutil.rmtree(self.folder / "back")
        self.assertEqual(set(os.listdir(self.folder / "out")), LAYOUT)
        subprocess.run(["umoci", "unpack", "--rootless", "--image", f"{self.folder}/out:name", self.folder / "bundle"],
                       check=True, capture_output=True)
        self.assertEqual((self.folder / "bundle/rootfs/etc/one").read_bytes(), b"one")
        self.store_is_tidy()

    def test_what_others_write_is_read(self):
        digest, source = self.small()
        for place in self.places():
            with self.subTest(place=place):
                self.skopeo("copy", source, place)
                self.assertEqual(self.moved(place, "hello:v1")["digest"], digest)
                self.assertEqual(self.moved(place, f"oci:{self.folder}/all:{len(place)}")["digest"], digest)

    def test_from_any_place_to_any_other(self):
        digest, source = self.small()
        places = [*self.places(), "hello:v1"]
        for place in places:
            self.copy(source, place)
        for one in places:
            for other in places:
                self.assertEqual(self.moved(one, other)["digest"], digest, (one, other))

    def test_docker_archives_both_ways(self):
        _, source = self.small()
        mine, theirs = (f"docker-archive:{self.folder}/{name}.tar:hello:v1" for name in ("mine", "theirs"))
        self.copy(source, mine)
        self.skopeo("copy", source, theirs)
        self.assertEqual(self.moved(source, mine)["moved"], 0)
        configs = []
        for place in (mine, theirs):
            self.skopeo("copy", place, f"dir:{self.folder}/by-skopeo")
            configs.append(json.loads((self.folder / "by-skopeo/manifest.json").read_text())["config"]["digest"])
            self.copy(place, f"oci:{self.folder}/by-kiln:{len(configs)}")
            configs.append(json.loads(self.skopeo("inspect", "--raw", f"oci:{self.folder}/by-kiln:{len(configs)}"))["config"]["digest"])
        self.assertEqual(len(set(configs)), 1)
        zstd = self.layout.name("zstd", self.layout.image({"file": b"z"}, layer_type="layer.v1.tar+zstd"))
        refused = self.copy(zstd, f"docker-archive:{self.folder}/zstd.tar:z", check=2)
        self.assertIn("compressed with zstd", refused.stderr)
        self.assertFalse((self.folder / "zstd.tar").exists())

    def test_a_docker_archive_is_named_after_its_source(self):
        digest, source = self.small()
        self.copy(source, "hello:v1")
        for number, (place, tags) in enumerate({source: ["small:latest"], "hello:v1": ["hello:v1"],
                                                f"hello:v1@{digest}": ["hello:v1"], f"hello@{digest}": []}.items()):
            self.copy(place, f"docker-archive:{self.folder}/{number}.tar")
            with tarfile.open(self.folder / f"{number}.tar") as tar:
                self.assertEqual(json.load(tar.extractfile("manifest.json"))[0]["RepoTags"], tags, place)

    def test_several_names_are_removed_at_once_or_none(self):
        _, source = self.small()
        for name in ("one:v1", "two:v1"):
            self.copy(source, name)
        self.world.kiln("image", "rm", "one:v1", "none:v1", "two:v1", check=1)
        names = lambda: [image["name"] for image in json.loads(self.world.kiln("image", "list", "-o", "json", check=0).stdout)]
        self.assertEqual(sorted(names()), ["one:v1", "two:v1"])
        self.world.kiln("image", "rm", "one:v1", "two:v1", check=0)
        self.assertEqual(names(), [])

    def test_platforms(self):
        images = {name: self.layout.image({"etc/which": name.encode()}, name) for name in ("amd64", "arm64", "s390x")}
        index = self.layout.index(images)
        source = self.layout.name("multi", index)
        for place in self.places():
            with self.subTest(place=place):
                self.assertEqual(self.moved(source, place, "--platform", "linux/arm64")["digest"], images["arm64"]["digest"])
                self.assertEqual(self.raw(place), images["arm64"]["digest"])
                self.assertEqual(self.moved(source, place, "--all")["digest"], index["digest"])
                self.assertEqual(self.raw(place), index["digest"])
                self.assertEqual(self.moved(source, place, "--all")["moved"], 0)
        refused = self.copy(source, "hello", "--platform", "linux/riscv64", check=1)
        self.assertIn("linux/arm64", refused.stderr)
        self.copy(source, f"docker-archive:{self.folder}/all.tar:x", "--all", check=2)
        self.copy(source, "hello", "--all", "--platform", "linux/arm64", check=2)

    def test_another_format(self):
        digest, source = self.small()
        before = json.loads(self.skopeo("inspect", "--raw", source))
        place = f"docker://{self.registry().host}/converted:v1"
        said = self.copy("--format", "docker", source, place)
        docker = json.loads(self.skopeo("inspect", "--raw", place))
        self.assertEqual(docker["mediaType"], DOCKER + "distribution.manifest.v2+json")
        self.assertEqual(docker["config"]["mediaType"], DOCKER + "container.image.v1+json")
        self.assertEqual({layer["mediaType"] for layer in docker["layers"]}, {DOCKER + "image.rootfs.diff.tar.gzip"})
        self.assertEqual([layer["digest"] for layer in docker["layers"]], [layer["digest"] for layer in before["layers"]])
        self.assertRegex(said.stderr, f"note: .*{self.raw(place)} was {digest}")
        back = self.moved("--format", "oci", place, f"oci:{self.folder}/back:v1")
        self.assertEqual((back["sourceDigest"], back["mediaType"]), (self.raw(place), OCI + "manifest.v1+json"))
        self.assertEqual(json.loads(self.skopeo("inspect", "--raw", f"oci:{self.folder}/back:v1"))["layers"], before["layers"])
        self.assertNotIn("sourceDigest", self.moved("--format", "oci", source, "hello"))
        zstd = self.layout.name("zstd", self.layout.image({"file": b"z"}, layer_type="layer.v1.tar+zstd"))
        self.assertIn("zstd", self.copy("--format", "docker", zstd, "hello:zstd", check=2).stderr)

    def test_what_is_something_else_is_not_overwritten(self):
        _, source = self.small()
        (self.folder / "notes.txt").write_text("mine")
        (self.folder / "folder").mkdir()
        (self.folder / "folder/notes.txt").write_text("mine")
        self.copy(source, f"oci-archive:{self.folder}/two.tar:one")
        for place in ("oci-archive:notes.txt", "docker-archive:notes.txt:x", "oci:folder:x", "dir:folder"):
            kind, _, path = place.partition(":")
            refused = self.copy(source, f"{kind}:{self.folder}/{path}", check=2)
            self.assertEqual(len(refused.stderr.strip().splitlines()), 2, refused.stderr)
            self.assertIn(str(self.folder / path.partition(":")[0]), refused.stderr)
        self.assertEqual((self.folder / "notes.txt").read_text(), "mine")
        self.assertEqual(os.listdir(self.folder / "folder"), ["notes.txt"])


class EndedEarly(Copies):
    def setUp(self):
        super().setUp()
        self.source = self.layout.name("large", self.layout.image({"large": os.urandom(LARGE), "small": b"small"}))
        self.small_blobs = {file.name for file in (self.layout.folder / "blobs/sha256").iterdir() if file.stat().st_size < LARGE}

    def interrupt(self, valve, *words):
        """Ctrl-C once the large blob is under way and goes no further."""
        process = subprocess.Popen([harness.KILN, "image", "copy", *words], env=self.world.env, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.assertTrue(valve.stalled.wait(120))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, errors)

    def valve(self, port, direction):
        valve = Valve(port, direction, LARGE // 2)
        self.addCleanup(valve.close)
        return valve

    def test_by_an_interrupt_while_fetching(self):
        peer = self.registry()
        self.copy(self.source, f"docker://{peer.host}/large:v1")
        out = self.folder / "out"
        out.mkdir()
        for target in ("hello:v1", f"oci:{out}/layout:x", f"oci-archive:{out}/a.tar:x", f"docker-archive:{out}/b.tar:x",
                       f"dir:{out}/dir"):
            with self.subTest(target=target):
                valve = self.valve(peer.port, "down")
                source = f"docker://{valve.host}/large:v1"
                self.interrupt(valve, source, target)
                if target.startswith("oci:") and os.listdir(out):  # blobs that had come whole
                    self.assertEqual(set(os.listdir(out / "layout")), LAYOUT)
                    self.assertEqual(json.loads((out / "layout/index.json").read_text())["manifests"], [])
                    for blob in (out / "layout/blobs/sha256").iterdir():
                        self.assertEqual(hashlib.sha256(blob.read_bytes()).hexdigest(), blob.name)
                else:
                    self.assertEqual(os.listdir(out), [])
                self.store_is_tidy()
                self.assertNotIn("hello", self.world.kiln("image", "list", check=0).stdout)
                valve.opened.set()
                done = self.moved(source, target)
                self.assertEqual(done["moved"] + done["present"], 3)
                self.assertEqual(self.moved(target, f"dir:{self.folder}/back")["moved"], 3)
                shutil.rmtree(self.folder / "back")
                shutil.rmtree(out)
                out.mkdir()
                self.world.kiln("image", "rm", "hello:v1")

    def test_by_an_interrupt_while_sending(self):
        for host in (self.registry().host, self.kiln_registry()):
            with self.subTest(host=host):
                valve = self.valve(int(host.rpartition(":")[2]), "up")
                target = f"docker://{valve.host}/large:v1"
                self.interrupt(valve, self.source, target)
                valve.opened.set()
                self.world.kiln("image", "inspect", f"docker://{host}/large:v1", check=1)
                self.copy(self.source, target)
                self.assertEqual(self.moved(f"docker://{host}/large:v1", f"dir:{self.folder}/back")["moved"], 3)
                shutil.rmtree(self.folder / "back")

    def test_by_a_full_disk(self):
        small = self.folder / "small"
        small.mkdir()
        inside = ["unshare", "--map-root-user", "--mount", "sh", "-c",
                  f'mount -t tmpfs -o size=4m none {small} && "$@" >&2; code=$?; find {small} -type f; exit $code', "sh"]
        if subprocess.run([*inside, "true"], capture_output=True).returncode != 0:
            self.skipTest("no mounts in a user namespace here")
        for target in (f"oci:{small}/layout:x", f"oci-archive:{small}/a.tar:x", f"docker-archive:{small}/b.tar:x",
                       f"dir:{small}/dir", "hello:v1"):
            with self.subTest(target=target):
                env = dict(self.world.env, XDG_DATA_HOME=str(small)) if target == "hello:v1" else self.world.env
                done = subprocess.run([*inside, harness.KILN, "image", "copy", self.source, target], env=env, text=True,
                                      capture_output=True, timeout=120)
                self.assertEqual(done.returncode, 3, done.stderr)
                self.assertRegex(done.stderr, "kiln: .*No space left on device")
                left = {os.path.basename(line) for line in done.stdout.splitlines()}
                if target.startswith("oci:") or target == "hello:v1":  # the blobs that came whole are kept
                    left -= {"index.json", "oci-layout", ".lock", ".sweep.lock", *self.small_blobs}
                self.assertEqual(left, set())


if __name__ == "__main__":
    harness.main()

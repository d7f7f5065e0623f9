"""Images that stand in for those that the examples name: no registry is asked.

They are made of Kiln's own base images and of Debian packages, in a store of their own beside the build, once. Each has
what the examples notice of the real one: its shell, its programs, its user (root), ENTRYPOINT and CMD.
"""

import gzip
import hashlib
import io
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "e2e"))
import harness  # noqa: E402

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SUITE = "bookworm"

# The end of an image's name, with or without its tag → what stands in for it.
STAND_INS = {
    "alpine": "alpine",
    "alpine-git-nonroot": "git",
    "bash": "bash",
    "busybox": "alpine",
    "curl": "curl",
    "git": "git",
    "node": "node",
    "node:lts-alpine3.20": "node-alpine",
    "nop-8eac7c133edad5df719dc37b36b62482": "nop",
    "origin-cli": "bash",
    "perl": "perl",
    "python": "python",
    "python-38": "platform-python",
    "ubi": "platform-python",
    "ubi-minimal": "platform-python",
    "ubuntu": "ubuntu",
}

# As the image of that name has it: what is given is run, and options are bash's.
BASH_ENTRYPOINT = b"""#!/bin/sh
case "${1--}" in -*) set -- bash "$@" ;; esac
exec "$@"
"""

# As much of the program as Tasks that clone with it use.
GIT_INIT = b"""#!/bin/sh
set -eu
for argument; do
  case $argument in
    -url=*) url=${argument#*=} ;;
    -revision=*) revision=${argument#*=} ;;
    -path=*) path=${argument#*=} ;;
  esac
done
git init -q "$path"
cd "$path"
git remote add origin "$url"
git fetch -q origin "${revision:-HEAD}"
git checkout -q -f FETCH_HEAD
"""


class Unavailable(Exception):
    """An image cannot be made here."""


class Layer:
    """A tar file in memory."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w")

    def folder(self, name, mode=0o755, owner=0):
        self._add(name, tarfile.DIRTYPE, mode, owner)

    def link(self, name, target):
        self._add(name, tarfile.SYMTYPE, 0o777, linkname=target)

    def file(self, name, content, mode=0o755):
        self._add(name, tarfile.REGTYPE, mode, content=content)

    def _add(self, name, kind, mode, owner=0, linkname="", content=b""):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid, entry.linkname = kind, mode, owner, owner, linkname
        entry.size = len(content)
        self.tar.addfile(entry, io.BytesIO(content))

    def bytes(self):
        self.tar.close()
        return self.buffer.getvalue()


class Store:
    """An OCI image layout on disk, as `kiln` keeps its store."""

    def __init__(self, folder):
        self.folder = folder
        self.index = json.loads((folder / "index.json").read_text())

    def add(self, content):
        digest = hashlib.sha256(content).hexdigest()
        blob = self.folder / "blobs" / "sha256" / digest
        if not blob.exists():
            blob.write_bytes(content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    def read(self, digest):
        return json.loads((self.folder / "blobs" / digest.replace(":", "/")).read_text())

    def named(self, name):
        """Manifest and configuration of an image."""
        for one in self.index["manifests"]:
            if one.get("annotations", {}).get("org.opencontainers.image.ref.name") == f"{name}:latest":
                manifest = self.read(one["digest"])
                return manifest, self.read(manifest["config"]["digest"])
        raise Unavailable(f"no image {name} in {self.folder}")

    def image(self, name, layers, base=None, **config):
        """Names an image: the layers of `base`, then `layers` (tar files)."""
        manifest, whole = self.named(base) if base else ({"layers": []}, {"rootfs": {"diff_ids": []}})
        descriptors, diff_ids = list(manifest["layers"]), list(whole["rootfs"]["diff_ids"])
        for layer in layers:
            packed = self.add(gzip.compress(layer, compresslevel=1, mtime=0))
            descriptors.append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **packed})
            diff_ids.append("sha256:" + hashlib.sha256(layer).hexdigest())
        architecture = self.named("kiln/run")[1]["architecture"]
        configuration = {"architecture": architecture, "os": "linux", "config": {"Env": [PATH], **config},
                         "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        kind = "application/vnd.oci.image.manifest.v1+json"
        made = {"schemaVersion": 2, "mediaType": kind, "layers": descriptors,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                           **self.add(json.dumps(configuration).encode())}}
        self.index["manifests"].append({"mediaType": kind, **self.add(json.dumps(made).encode()),
                                        "annotations": {"org.opencontainers.image.ref.name": f"{name}:latest"}})

    def save(self):
        (self.folder / "index.json").write_text(json.dumps(self.index))


def debian(variant, packages):
    """Files of Debian packages: an open tar file."""
    if not shutil.which("mmdebstrap"):
        raise Unavailable("mmdebstrap is not installed")
    archive = pathlib.Path(tempfile.mkstemp(suffix=".tar")[1])
    try:
        made = subprocess.run(["mmdebstrap", "--quiet", f"--variant={variant}", f"--include={','.join(packages)}",
                               "--aptopt=APT::Install-Recommends \"false\"", "--format=tar", SUITE, str(archive)],
                              capture_output=True, text=True)
        if made.returncode != 0:
            raise Unavailable(f"no Debian packages {', '.join(packages)}: {made.stderr.strip()[-300:]}")
        return tarfile.open(fileobj=io.BytesIO(archive.read_bytes()))
    finally:
        archive.unlink()


def busybox_layer(busybox):
    """A root of nothing but busybox, whose shell and tools alpine has."""
    layer = Layer()
    for folder in ("bin", "dev", "etc", "home", "proc", "sys", "usr", "usr/local", "usr/local/bin", "var", "run"):
        layer.folder(folder)
    layer.folder("tmp", 0o1777)
    layer.folder("root", 0o700)
    for other in ("sbin", "usr/bin", "usr/sbin"):
        layer.link(other, "/bin")
    layer.file("bin/busybox", busybox)
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "busybox"
        program.write_bytes(busybox)
        program.chmod(0o755)
        applets = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            layer.link(f"bin/{applet}", "busybox")
    layer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0o644)
    layer.file("etc/group", b"root:x:0:\nnobody:x:65534:\n", 0o644)
    return layer.bytes()


def git_layers(packages):
    """A root with git, ssh and its server, and busybox's ash; a user of id 1000 whose home is /home/nonroot."""
    root, more = Layer(), Layer()
    passwd = b""
    for entry in packages:
        name = entry.name.removeprefix("./")
        if name.startswith(("dev/", "usr/share/doc/", "usr/share/man/", "usr/share/locale/", "etc/ssh/ssh_host_")):
            continue
        content = packages.extractfile(entry) if entry.isreg() else None
        if name == "etc/passwd":
            passwd = packages.extractfile(entry).read()
        root.tar.addfile(entry, content)
    more.link("usr/bin/ash", "busybox")
    more.folder("run/sshd")
    more.file("etc/ssh/sshd_config", b"UsePAM no\nHostKey /etc/ssh/ssh_host_rsa_key\n", 0o644)
    more.file("etc/passwd", passwd + b"nonroot:x:1000:1000::/home/nonroot:/bin/sh\n", 0o644)
    more.folder("home/nonroot", 0o755, owner=1000)
    return [root.bytes(), more.bytes()]


def make(folder):
    """Fills a store; returns the reason why an image is not there, by its name."""
    store = Store(folder)
    missing = {}
    for name, base in (("ubuntu", "kiln/run"), ("perl", "kiln/build"), ("node", "kiln/run-node"),
                       ("python", "kiln/run-python"), ("curl", "kiln/build")):
        store.image(f"stand-in/{name}", [], base, Cmd=["/bin/bash"])
    platform = Layer()
    platform.link("usr/libexec/platform-python", "../bin/python3")
    store.image("stand-in/platform-python", [platform.bytes()], "kiln/run-python", Cmd=["/bin/bash"])
    try:
        static = debian("extract", ["busybox-static", "bash-static"])
        busybox = static.extractfile("./bin/busybox").read()
        root = busybox_layer(busybox)
        bash, shell = Layer(), Layer()
        bash.file("usr/local/bin/bash", static.extractfile("./bin/bash-static").read())
        bash.file("usr/local/bin/docker-entrypoint.sh", BASH_ENTRYPOINT)
        shell.file("usr/bin/busybox", busybox)
        shell.link("usr/bin/sh", "busybox")
        store.image("stand-in/alpine", [root], Cmd=["/bin/sh"])
        store.image("stand-in/nop", [root], Entrypoint=["/bin/true"])
        store.image("stand-in/bash", [root, bash.bytes()], Entrypoint=["docker-entrypoint.sh"], Cmd=["bash"])
        store.image("stand-in/node-alpine", [shell.bytes()], "kiln/run-node", Cmd=["node"])
    except Unavailable as reason:
        missing.update(dict.fromkeys([f"stand-in/{name}" for name in ("alpine", "nop", "bash", "node-alpine")],
                                     str(reason)))
    try:
        packages = debian("essential", ["busybox-static", "ca-certificates", "git", "openssh-client", "openssh-server"])
        layers, init = git_layers(packages), Layer()
        init.file("ko-app/git-init", GIT_INIT)
        store.image("stand-in/git", layers, Entrypoint=["git"])
        store.image("stand-in/git-init", [*layers, init.bytes()], Entrypoint=["/ko-app/git-init"])
    except Unavailable as reason:
        missing.update(dict.fromkeys(("stand-in/git", "stand-in/git-init"), str(reason)))
    store.save()
    return missing


def data_folder():
    """A data folder (XDG_DATA_HOME) whose store has the stand-ins, and what is missing there: name → reason."""
    base = harness.shared_data() / "kiln" / "store"
    data = pathlib.Path(harness.KILN).resolve().parent / "conformance" / "data"
    mark = data / "made-of"
    recipe = hashlib.sha256(pathlib.Path(__file__).read_bytes() + (base / "index.json").read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == recipe:
        return data, {}
    shutil.rmtree(data, ignore_errors=True)
    store = data / "kiln" / "store"
    store.mkdir(parents=True)
    for name in ("oci-layout", "index.json", "blobs"):
        subprocess.run(["cp", "-a", "--reflink=auto", str(base / name), str(store / name)], check=True)
    print("making the images that stand in (once)", flush=True)
    missing = make(store)
    if not missing:
        mark.write_text(recipe)
    return data, missing


def aliases(images):
    """For [images] of config.toml: image, with its tag only where STAND_INS has that, → name of what stands in."""
    found = {}
    for image in images:
        place, slash, name = image.split("@")[0].rpartition("/")
        if name not in STAND_INS:
            name = name.split(":")[0]
        if name in STAND_INS:
            found[place + slash + name] = "stand-in/" + STAND_INS[name]
    return found

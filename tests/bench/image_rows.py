"""Rows of `compare` about layers: unpacking them, and what they are hashed and compressed with."""

import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile

import sample_image
from run_rows import timed

LAYERS, BLOBS = 6, 294 << 20


def bench(program, *words):
    done = subprocess.run([str(word) for word in (program, *words)], check=True, capture_output=True, text=True)
    return [float(number) for number in done.stdout.split()]


def unpack(program, wanted, row, run, place, below, runs):
    """The same image by Kiln, umoci, and GNU tar one layer after the other (as root, owners and all)."""
    if not wanted(f"image.unpack-{place}"):
        return
    with tempfile.TemporaryDirectory(dir=below, prefix="kiln-bench-") as folder:
        folder = pathlib.Path(folder)
        layout = folder / "store"
        total = sample_image.write(layout, "sample", LAYERS, BLOBS)
        blobs = sorted((layout / "blobs/sha256").iterdir(), key=lambda file: -file.stat().st_size)[:LAYERS]
        ours, umoci, tar = [], [], []
        for _ in range(runs):
            ours += bench(program, "unpack", layout, "sample", 1)
            shutil.rmtree(layout / "snapshots")
            umoci.append(timed(lambda: run("umoci", "unpack", "--image", f"{layout}:sample", folder / "bundle")))
            shutil.rmtree(folder / "bundle")
            (folder / "tree").mkdir()
            tar.append(timed(lambda: [run("tar", "-xzf", blob, "-C", folder / "tree") for blob in blobs]))
            shutil.rmtree(folder / "tree")
        row(f"image.unpack-{place}.umoci", statistics.median(ours), "umoci unpack", statistics.median(umoci))
        row(f"image.unpack-{place}.tar", statistics.median(ours), "tar -xz, layer by layer", statistics.median(tar))
        print(f"# image.unpack-{place}: {LAYERS} layers, {BLOBS >> 20} MB compressed, {total >> 20} MB unpacked", flush=True)


def codecs(program, wanted, row, runs):
    if wanted("image.sha256"):
        ours, theirs = bench(program, "sha256", 256, runs)
        row("image.sha256", ours, "OpenSSL SHA256() in one call", theirs)
    if wanted("image.gzip"):
        with tempfile.NamedTemporaryFile(suffix=".tar") as file:
            file.write(sample_image.layer(0, 184 << 20))
            file.flush()
            ours, theirs = bench(program, "gzip", file.name, runs)
        row("image.gzip", ours, "ISA-L alone, one thread", theirs)


def image_rows(program, wanted, row, run, runs):
    """`program` is image_bench; `row` prints, `run` runs a command."""
    runs = max(3, runs // 3)
    if os.path.isdir("/dev/shm"):
        unpack(program, wanted, row, run, "tmpfs", "/dev/shm", runs)
    unpack(program, wanted, row, run, "disk", None, 3)
    codecs(program, wanted, row, runs)

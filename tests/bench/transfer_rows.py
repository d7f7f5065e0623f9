"""Rows of `compare` about registries: an image of 294 MB in 6 layers pushed to and pulled from docker-registry."""

import concurrent.futures
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import urllib.request

import sample_image
from registry_peers import DockerRegistry
from run_rows import timed

LAYERS, BLOBS = 6, 294 << 20


@contextlib.contextmanager
def fresh_registry(folder):
    """docker-registry, empty; its data go with the `with`."""
    registry = DockerRegistry(folder)
    try:
        yield registry
    finally:
        registry.close()
        shutil.rmtree(folder)


def parallel(action, items):
    with concurrent.futures.ThreadPoolExecutor(LAYERS) as pool:
        list(pool.map(action, items))


def curl_push(host, blobs):
    """The floor: each blob sent once, all at a time, by curl; no checks, no manifest."""
    def send(blob):
        request = urllib.request.Request(f"http://{host}/v2/curl/blobs/uploads/", method="POST")
        location = urllib.request.urlopen(request).headers["Location"]
        subprocess.run(["curl", "-sf", "-o", "/dev/null", "-T", blob, f"{location}&digest=sha256:{blob.name}"], check=True)
    parallel(send, blobs)


def curl_pull(host, repository, blobs, folder):
    parallel(lambda blob: subprocess.run(["curl", "-sf", "-o", folder / blob.name,
                                          f"http://{host}/v2/{repository}/blobs/sha256:{blob.name}"], check=True), blobs)


def peak_mb(command, env):
    """Through a small process in between: a child's peak is at least what its parent had when it began."""
    measure = ("import resource, subprocess, sys\nsubprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL)\n"
               "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    done = subprocess.run([sys.executable, "-c", measure, *map(str, command)], check=True, env=env, text=True,
                          stdout=subprocess.PIPE)
    return int(done.stdout.split()[-1]) / 1024


def transfer_rows(world, wanted, row, run, runs):
    layout, number = world.folder / "layout", iter(range(1000))
    sample_image.write(layout, "sample", LAYERS, BLOBS)
    blobs = sorted((layout / "blobs/sha256").iterdir(), key=lambda file: -file.stat().st_size)[:LAYERS]
    kiln = os.environ["KILN"]

    def ours(*words):
        run(kiln, "image", *words, env=world.env)

    def skopeo(*words):
        run("skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", *words)

    ours("copy", f"oci:{layout}:sample", "bench")
    times = {name: ([], [], []) for name in ("push.cold", "push.again", "push.mounted", "pull.cold", "pull.again")}
    for _ in range(runs):
        with fresh_registry(world.folder / f"r{next(number)}") as remote:  # all three push into an empty one
            times["push.cold"][2].append(timed(lambda: curl_push(remote.host, blobs)))
        for mine in (True, False):
            with fresh_registry(world.folder / f"r{next(number)}") as remote:
                place = f"docker://{remote.host}"
                push = (lambda name: ours("copy", "bench", f"{place}/{name}")) if mine else (
                    lambda name: skopeo(f"oci:{layout}:sample", f"{place}/{name}"))
                for row_name, name in (("push.cold", "a:v1"), ("push.again", "a:v1"), ("push.mounted", "b:v1")):
                    times[row_name][0 if mine else 1].append(timed(lambda: push(name)))
                target = world.folder / f"pulled{next(number)}"
                pull = (lambda: ours("copy", f"{place}/a:v1", f"oci:{target}")) if mine else (
                    lambda: skopeo(f"{place}/a:v1", f"oci:{target}"))
                for row_name in ("pull.cold", "pull.again"):
                    times[row_name][0 if mine else 1].append(timed(pull))
                shutil.rmtree(target)
                if mine:
                    target.mkdir()
                    times["pull.cold"][2].append(timed(lambda: curl_pull(remote.host, "a", blobs, target)))
                    shutil.rmtree(target)
    for name, (mine, theirs, floor) in times.items():
        if not wanted(f"transfer.{name}"):
            continue
        row(f"transfer.{name}.skopeo", statistics.median(mine), "skopeo copy", statistics.median(theirs))
        if floor:
            row(f"transfer.{name}.curl", statistics.median(mine), "curl, all blobs at a time", statistics.median(floor))
    with fresh_registry(world.folder / f"r{next(number)}") as remote:
        push = peak_mb([kiln, "image", "copy", "bench", f"docker://{remote.host}/m"], world.env)
        pull = peak_mb([kiln, "image", "copy", f"docker://{remote.host}/m", f"oci:{world.folder}/m"], world.env)
    print(f"# transfer: peak memory {push:.0f} MB pushing, {pull:.0f} MB pulling", flush=True)

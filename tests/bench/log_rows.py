"""Rows of `compare` about output: one step that writes 2 GB into `kiln run`, with a pipe as its terminal."""

import os
import shlex
import statistics
import subprocess

from run_rows import timed

BYTES = 2_000_000_000
WRITE = f"yes 'a line of output as compilers and test runners write it, about eighty bytes' | head -c {BYTES}"
SECRET = ("apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {password: sw0rdfish-1234}\n---\n")


def task():
    return ("apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: bench}\nspec:\n  steps:\n  - image: host\n"
            f"    script: |\n      #!/bin/sh\n      {WRITE}\n")


def log_rows(world, wanted, row, runs):
    """Against the same bytes through a pipe into a file; and what masking adds."""
    if not wanted("log.throughput"):
        return
    file, kept = world.folder / "log.yaml", world.folder / "log"

    def kiln(document):
        file.write_text(document)
        run = shlex.join([os.environ["KILN"], "run", "--allow-host", str(file)])
        subprocess.run(["sh", "-c", f"{run} 2>&1 | cat >/dev/null"], check=True, env=world.env,
                       stdin=subprocess.DEVNULL)
        world.kiln("runs", "delete", "last", check=0)

    def pipe():
        subprocess.run(["sh", "-c", f"{WRITE} | cat > {shlex.quote(str(kept))}"], check=True)
        kept.unlink()

    plain, masked, bare = [], [], []
    for _ in range(runs):
        plain.append(timed(lambda: kiln(task())))
        masked.append(timed(lambda: kiln(SECRET + task())))
        bare.append(timed(pipe))
    plain, masked, bare = map(statistics.median, (plain, masked, bare))
    row("log.throughput", plain, "the same through `cat` into a file", bare)
    row("log.throughput.masked", masked, "without a Secret", plain)
    print(f"# log.throughput: {BYTES / plain / 1000:.0f} MB/s, masked {BYTES / masked / 1000:.0f} MB/s", flush=True)

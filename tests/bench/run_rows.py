"""Rows of `compare` about whole runs: `kiln run` in a process of its own, from its start to its end."""

import os
import statistics
import time

STEP = {"image": "kiln/run", "command": ["/bin/true"]}


def timed(action):
    begin = time.perf_counter()
    action()
    return (time.perf_counter() - begin) * 1000


def yaml_of(step, indent):
    return f"{indent}- image: {step['image']}\n{indent}  command: [{', '.join(step['command'])}]\n"


def task(steps):
    return ("apiVersion: tekton.dev/v1\nkind: Task\nmetadata:\n  name: bench\nspec:\n  steps:\n"
            + yaml_of(STEP, "    ") * steps)


def pipeline(tasks):
    text = "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata:\n  name: bench\nspec:\n  tasks:\n"
    for number in range(tasks):
        text += f"    - name: t{number}\n      taskSpec:\n        steps:\n" + yaml_of(STEP, "          ")
    return text


def makefile(targets, command):
    names = " ".join(f"t{number}" for number in range(targets))
    return f".PHONY: all {names}\nall: {names}\n" + "".join(f"t{n}:\n\t@{command.format(n)}\n" for n in range(targets))


def run_rows(world, wanted, row, run, bundle, runs):
    """`bundle()` is a folder that runc can run; `row` prints, `run` runs a command."""
    jobs = str(os.cpu_count())
    # name, document, how many commands, `make` arguments, runs
    shapes = [("run.one-step", pipeline(1), 1, [], max(7, runs)),
              ("run.steps-1000", task(1000), 1000, ["-j1"], 3),
              ("run.parallel-500", pipeline(500), 500, ["-j" + jobs], 3)]
    for name, document, count, words, times in shapes:
        if not wanted(name):
            continue
        file = world.folder / f"{name}.yaml"
        file.write_text(document)
        ours, theirs, bare = [], [], []
        runc = world.folder / f"{name}.runc.mk"
        runc.write_text(makefile(count, f"runc run --bundle {bundle()} kiln-bench-{{}} </dev/null"))
        plain = world.folder / f"{name}.mk"
        plain.write_text(makefile(count, "/bin/true #"))
        world.kiln("run", file, "-j", jobs)  # warm
        for _ in range(times):
            ours.append(timed(lambda: world.kiln("run", file, "-j", jobs)))
            theirs.append(timed(lambda: run("make", "-s", *words, "-f", runc)))
            bare.append(timed(lambda: run("make", "-s", *words, "-f", plain)))
        row(name, statistics.median(ours), "make " + " ".join(words) + " of `runc run`", statistics.median(theirs))
        row(name + ".over-make", statistics.median(ours), "make of the bare commands", statistics.median(bare))
        print(f"# {name}: {(statistics.median(ours) - statistics.median(bare)) / count:.2f} ms a step over the bare "
              "commands", flush=True)

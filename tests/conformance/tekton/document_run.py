"""A run of a document, what is expected of it, and what came of it."""

import json
import re
import subprocess
import time

import example_images
from expectation import differences, exit_code, invalid

TIMEOUT = 120  # seconds
LOG = "  | "  # begins what is no difference but a line of the log beside them


class DocumentRun:
    """`file` run with a real `kiln run`; `name` is that of the document, and `#run` where it has several."""

    def __init__(self, name, file, expected, images=()):
        self.name, self.file, self.expected = name, file, expected
        self.run = name.partition("#")[2]
        self.aliases = example_images.aliases(images)
        self.skipped, self.differences, self.invalid, self.seconds = None, [], [], 0.0

    def stand_ins(self):
        """Names of the images that it runs."""
        return {*self.aliases.values(), *re.findall(r"stand-in/[a-z-]+", self.file.read_text())}

    def start(self, data):
        """Runs it in a world of its own, but for the store."""
        began = time.monotonic()
        world = example_images.harness.World()
        world.env["XDG_DATA_HOME"] = str(data)
        config = world.folder / "config" / "kiln" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text("[images]\n" + "".join(f'"{image}" = "{name}"\n' for image, name in self.aliases.items()))
        try:
            self.differences = self.outcome(world)
        except subprocess.TimeoutExpired:
            self.differences = [f"no end within {TIMEOUT} s"]
        finally:
            world.close()
        self.seconds = time.monotonic() - began

    def outcome(self, world):
        """Runs it and says what differs."""
        return self.kiln_run(world, [self.file])

    def kiln_run(self, world, files):
        flags = [f"--pipeline={self.run}"] if self.run else []
        flags += [f"--network={self.expected['network']}"] if "network" in self.expected else []
        done = world.kiln("run", "-o", "json", *files, *flags, timeout=TIMEOUT)
        try:
            run = json.loads(done.stdout)
        except ValueError:
            return [f"exit code {done.returncode}", *last_lines(done.stderr)]
        self.invalid = invalid(run)
        said = differences(self.expected, run, world.kiln("logs", run["metadata"]["name"]).stdout)
        if done.returncode != exit_code(self.expected["reason"]):
            said += [f"exit code {done.returncode}"]
        return said + last_lines(done.stderr) if said else []


def last_lines(text):
    return [f"{LOG}{line}" for line in text.splitlines()[-12:]]

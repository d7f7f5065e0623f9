#!/usr/bin/env python3
"""An image store that cannot be written: one clear error, and nothing in it changes."""

import hashlib
import os
import subprocess
import unittest

import harness
from harness import SOURCE


class ReadOnlyStore(unittest.TestCase):
    def setUp(self):
        self.world = harness.World()
        self.addCleanup(self.world.close)
        self.leftovers = harness.Leftovers()
        self.store = self.world.folder / "data" / "kiln" / "store"
        self.store.mkdir(parents=True)
        shared = harness.shared_data() / "kiln" / "store"
        for name in ("oci-layout", "index.json", "blobs"):
            subprocess.run(["cp", "-a", "--reflink=auto", str(shared / name), str(self.store / name)], check=True)
        self.env = {"XDG_DATA_HOME": str(self.world.folder / "data")}
        self.task = self.world.folder / "task.yaml"
        self.task.write_text("apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t}\n"
                             "spec: {steps: [{name: s, image: kiln/run, script: 'echo ran'}]}\n")
        self.app = self.world.folder / "app"
        subprocess.run(["cp", "-r", str(SOURCE / "samples/functions/hello-node"), str(self.app)], check=True)

    def close_store(self):
        """Read-only, for root too; the function that makes it writable again."""
        store = str(self.store)
        if os.geteuid() != 0:
            subprocess.run(["chmod", "-R", "a-w", store], check=True)
            return lambda: subprocess.run(["chmod", "-R", "u+w", store], check=True)
        subprocess.run(["mount", "--bind", store, store], check=True)
        self.addCleanup(subprocess.run, ["umount", "-q", store])
        subprocess.run(["mount", "-o", "remount,bind,ro", store], check=True)
        self.leftovers = harness.Leftovers()  # this mount is not kiln's
        return lambda: subprocess.run(["mount", "-o", "remount,bind,rw", store], check=True)

    def content(self):
        return {str(path.relative_to(self.store)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in self.store.rglob("*") if path.is_file() and not path.name.startswith(".")
                and "snapshots" not in path.parts}

    def try_all(self):
        for words in (("run", self.task), ("build", self.app, "-t", "kiln/never"),
                      ("image", "pull", "localhost:1/no/such:image")):
            failed = self.world.kiln(*words, env=self.env, check=3)
            said = failed.stderr.splitlines()
            self.assertEqual(len([line for line in said if "the image store cannot be used" in line]), 1, failed.stderr)
            self.assertRegex(failed.stderr, "(?i)read-only|permission denied")
            self.assertIn(str(self.store), failed.stderr)
            self.assertIn("--root", failed.stderr)
        for words in (("list",), ("inspect", "kiln/run")):
            self.assertIn("kiln/run", self.world.kiln("image", *words, env=self.env, check=0).stdout)

    def check(self, before, open_store):
        self.assertEqual(self.content(), before)
        self.leftovers.check(self)
        open_store()
        self.assertIn("ran", self.world.kiln("run", self.task, env=self.env, check=0).stderr)
        self.assertNotIn("kiln/never", self.world.kiln("image", "list", env=self.env, check=0).stdout)

    def test_from_the_beginning(self):
        before = self.content()
        open_store = self.close_store()
        self.try_all()
        self.check(before, open_store)

    def test_after_it_was_in_use(self):
        self.world.kiln("run", self.task, env=self.env, check=0)
        before = self.content()
        open_store = self.close_store()
        self.try_all()
        self.check(before, open_store)


if __name__ == "__main__":
    harness.main()

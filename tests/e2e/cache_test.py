#!/usr/bin/env python3
"""kiln.dev/cache with real sandboxes: a second run takes the first one's work, and says why when it does not."""

import json
import unittest

from harness import World, main

PIPELINE = """
apiVersion: tekton.dev/v1
kind: Task
metadata:
  name: compile
  annotations: {kiln.dev/cache: inputs}
spec:
  workspaces: [{name: source}]
  results: [{name: size}]
  steps:
    - name: cc
      image: kiln/run
      workingDir: $(workspaces.source.path)
      script: |
        mkdir -p out && tr a-z A-Z < main.txt > out/main && chmod 750 out/main
        printf '%s' "$(wc -c < out/main)" > $(results.size.path)
---
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: p}
spec:
  workspaces: [{name: source}]
  results: [{name: size, value: $(tasks.compile.results.size)}]
  tasks:
    - {name: compile, taskRef: {name: compile}, workspaces: [{name: source}]}
"""


class CacheTest(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)
        self.file = self.world.folder / "p.yaml"
        self.file.write_text(PIPELINE)
        self.source = self.world.folder / "source"
        self.source.mkdir()
        (self.source / "main.txt").write_text("hello\n")

    def run_it(self):
        return self.world.kiln("run", self.file, "-w", f"source={self.source}", check=0)

    def explain(self):
        return json.loads(self.world.kiln("runs", "explain", "-o", "json", check=0).stdout)[0]

    def test_second_run_is_cached_and_third_says_what_changed(self):
        first = self.run_it()
        self.assertNotIn("CACHED", first.stderr)
        self.assertFalse(self.explain()["cached"])
        output = self.source / "out" / "main"
        self.assertEqual(output.read_text(), "HELLO\n")
        self.assertIn("CACHED", self.run_it().stderr, "its own output is no input")
        for path in (output, output.parent):
            path.unlink() if path.is_file() else path.rmdir()

        second = self.run_it()
        self.assertIn("CACHED", second.stderr)
        self.assertEqual(second.stdout, first.stdout)
        self.assertEqual(output.read_text(), "HELLO\n")
        self.assertEqual(output.stat().st_mode & 0o777, 0o750)
        self.assertTrue(self.explain()["cached"])

        (self.source / "main.txt").write_text("hello again\n")
        third = self.run_it()
        self.assertNotIn("CACHED", third.stderr)
        reasons = " ".join(self.explain()["reasons"])
        self.assertIn("main.txt", reasons)
        self.assertEqual(output.read_text(), "HELLO AGAIN\n")

    def test_off_makes_an_exception(self):
        self.run_it()
        self.file.write_text(PIPELINE.replace("kiln.dev/cache: inputs", 'kiln.dev/cache: "off"'))
        self.assertNotIn("CACHED", self.run_it().stderr)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""`kiln graph` of a run that is stored."""

import json
import unittest

from harness import World, main, require_sandboxes

PIPELINE = """
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: hello}
spec:
  tasks:
  - {name: a, taskSpec: {steps: [{image: host, script: "true"}]}}
  - {name: b, runAfter: [a], taskSpec: {steps: [{image: host, script: "exit 3"}]}}
  - {name: c, runAfter: [b], taskSpec: {steps: [{image: host, script: "true"}]}}
"""


class GraphTest(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)
        self.folder = self.world.folder
        (self.folder / "p.yaml").write_text(PIPELINE)

    def graph(self, *words, check=0):
        return self.world.kiln("graph", *words, check=check, cwd=self.folder)

    def test_a_run_shows_what_became_of_its_tasks(self):
        done = self.world.kiln("run", "--allow-host", "p.yaml", cwd=self.folder)
        require_sandboxes(done)
        self.assertEqual(done.returncode, 1, done.stderr)
        drawn = json.loads(self.graph("last", "-o", "json").stdout)
        self.assertEqual([task["state"] for task in drawn["tasks"]], ["Succeeded", "Failed", "Skipped"])
        run = drawn["run"]
        self.assertRegex(self.graph(run).stdout, rf"Pipeline hello, run {run}: Failed\n  a +Succeeded +\d")
        self.assertIn("class t1 failed", self.graph(run, "-o", "mermaid").stdout)
        self.assertIn("for files", self.graph(run, "-p", "a=b", check=2).stderr)
        self.assertIn(f"did you mean `{run}`?", self.graph(run[:-1], check=2).stderr)
        self.world.kiln("runs", "rerun", "--from-failed", "--allow-host")
        self.assertIn("a      Cached", self.graph("last").stdout)
        (self.folder / "last").write_text(PIPELINE.replace("hello", "file"))
        self.assertTrue(self.graph("last").stdout.startswith("Pipeline file\n"), "a file of that name wins")

    def test_what_looks_like_a_file_is_one(self):
        self.assertIn("there is no file q.yaml", self.graph("q.yaml", check=2).stderr)


if __name__ == "__main__":
    main()

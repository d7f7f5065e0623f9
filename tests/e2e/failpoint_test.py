#!/usr/bin/env python3
"""SIGKILL at each failpoint (base/failpoint.h) in turn: the run reaches its true end, what has ended is not run again,
nothing is left behind. Needs a kiln with failpoints, as the preset `dev` builds it; skips aloud otherwise."""

import contextlib
import json
import signal
import sqlite3
import unittest

import harness
from harness import KILN

POINTS = ("journal.begin", "journal.commit", "journal.committed", "action", "workspace.make", "pod.begin", "log.write",
          "results.read", "pod.end")

PIPELINE = """apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: three}
spec:
  workspaces: [{name: w}]
  results: [{name: out, value: $(tasks.second.results.r)}]
  tasks:
    - name: first
      workspaces: [{name: w}]
      taskSpec: &spec
        workspaces: [{name: w}]
        params: [{name: v, default: start}]
        results: [{name: r}]
        steps: [{name: s, image: kiln/run, script: 'echo $(params.v) | tee -a $(workspaces.w.path)/log; printf "$(params.v)+" > $(results.r.path)'}]
    - name: second
      params: [{name: v, value: $(tasks.first.results.r)}]
      workspaces: [{name: w}]
      taskSpec: *spec
    - name: inside
      pipelineSpec:
        tasks:
          - name: deep
            taskSpec: {steps: [{name: s, image: kiln/run, script: 'echo deep'}]}
  finally:
    - name: last
      workspaces: [{name: w}]
      taskSpec: *spec
"""


def has_failpoints(world):
    return world.kiln("version", env={"KILN_FAILPOINT": "start"}).returncode == -signal.SIGKILL


class Failpoints(unittest.TestCase):
    def setUp(self):
        self.leftovers = harness.Leftovers()
        self.world = harness.World()
        self.addCleanup(self.world.close)
        if not has_failpoints(self.world):
            self.skipTest(f"{KILN} is built without failpoints: cmake --preset dev")
        self.file = self.world.folder / "three.yaml"
        self.file.write_text(PIPELINE)

    def runs(self):
        return json.loads(self.world.kiln("runs", "list", "-o", "json", check=0).stdout)

    def wait_for_end(self, run):
        def ended():
            found = next(one for one in self.runs() if one["run"] == run)
            return found if found["reason"] not in ("Running", "Queued") else None

        return harness.until(ended, f"run {run} ends")

    def check_journal(self):
        """Each attempt of each TaskRun ended at most once, and was not started after its end."""
        with contextlib.closing(sqlite3.connect(self.world.folder / "state" / "kiln" / "kiln.db")) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            ended = set()
            for run, text in database.execute("SELECT run, event FROM events ORDER BY run, sequence"):
                event = json.loads(text)
                attempt = (run, event.get("task"), event.get("run", 0), event.get("attempt"))
                if event["kind"] in ("TaskStarted", "TaskFinished"):
                    self.assertNotIn(attempt, ended)
                if event["kind"] == "TaskFinished":
                    ended.add(attempt)

    def serve_until_death(self, point):
        """True when the server came by there and died."""
        world = self.world
        calm = world.env
        world.env = dict(calm, KILN_FAILPOINT=point)
        try:
            world.serve()
        finally:
            world.env = calm
        server = world.server
        started = world.kiln("run", "--detach", self.file)
        run = started.stdout.strip() or (self.runs() or [{"run": ""}])[0]["run"]

        def succeeded():
            return run and next(one for one in self.runs() if one["run"] == run)["reason"] == "Succeeded"

        harness.until(lambda: server.poll() is not None or succeeded(), f"{point}: the server dies, or the run ends")
        if server.poll() is None:
            world.stop_server()
            return False, run
        self.assertEqual(server.returncode, -signal.SIGKILL)
        world.server = None
        return True, run

    def test_a_server_that_dies_anywhere_is_carried_on_by_the_next(self):
        for name in POINTS:
            for time in (1, 2, 4, 7):
                with self.subTest(point=name, time=time):
                    died, run = self.serve_until_death(f"{name}:{time}")
                    self.leftovers.check(self)
                    self.assertTrue(died or time > 1, "every run comes by there once")
                    if died and run:
                        self.world.serve()
                        end = self.wait_for_end(run)
                        self.assertEqual(end["reason"], "Succeeded", end)
                        self.world.stop_server()
                    self.check_journal()
                    self.leftovers.check(self)

    def test_a_terminals_run_that_dies_anywhere_is_closed_and_can_go_on(self):
        for name in POINTS:
            with self.subTest(point=name):
                died = self.world.kiln("run", self.file, env={"KILN_FAILPOINT": name + ":2"})
                self.assertEqual(died.returncode, -signal.SIGKILL, died.stderr)
                self.leftovers.check(self)
                lost = self.runs()[0]["run"]
                again = self.world.kiln("runs", "rerun", lost, "--from-failed", check=0)
                self.assertEqual(harness.results(again.stdout)["out"], "start++")
                self.check_journal()
        self.world.kiln("run", self.file, check=0)
        self.assertNotIn("Running", [one["reason"] for one in self.runs()])
        self.leftovers.check(self)

    def test_a_pull_that_dies_leaves_no_half_a_blob(self):
        world = self.world
        world.serve()
        world.kiln("image", "push", "kiln/run", world.image("run"), check=0)
        env = {"XDG_DATA_HOME": str(world.folder / "other")}
        for point in ("blob.publish:1", "blob.published:1", "blob.publish:2"):
            died = world.kiln("image", "pull", world.image("run"), env=dict(env, KILN_FAILPOINT=point))
            self.assertEqual(died.returncode, -signal.SIGKILL, f"{point}: {died.stderr}")
        world.kiln("image", "pull", world.image("run"), env=env, check=0)
        file = world.folder / "t.yaml"
        file.write_text("apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t}\nspec: {steps: [{name: s, image: "
                        f"{world.image('run')}, script: 'true'}}]}}\n")
        world.kiln("run", file, env=env, check=0)


if __name__ == "__main__":
    harness.main()

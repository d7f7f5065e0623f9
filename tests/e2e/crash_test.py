#!/usr/bin/env python3
"""SIGKILL, Ctrl-C and a full disk at the worst moment: nothing is left running, nothing acknowledged is lost."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import unittest

import harness
from harness import KILN, SOURCE, results

WAITING = """apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: waiting}
spec:
  tasks:
    - name: wait
      taskSpec:
        steps: [{name: s, image: kiln/run, script: 'echo started; sleep 600 & exec sleep 600'}]
  finally:
    - name: tidy
      taskSpec:
        steps: [{name: s, image: kiln/run, script: 'echo tidied up'}]
"""


class Crash(unittest.TestCase):
    def setUp(self):
        harness.require("git")
        self.leftovers = harness.Leftovers()
        self.world = harness.World()
        self.addCleanup(self.world.close)

    def start(self, *words):
        """A kiln process whose stderr is read line by line."""
        return subprocess.Popen([KILN, *map(str, words)], env=self.world.env, stderr=subprocess.PIPE,
                                stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True)

    def until(self, process, text):
        for line in process.stderr:
            if text in line:
                return
        self.fail(f"kiln ended without saying \"{text}\"")

    def finish(self, process):
        rest = process.stderr.read()
        process.stderr.close()
        return process.wait(timeout=60), rest

    def waiting_run(self):
        file = self.world.folder / "waiting.yaml"
        file.write_text(WAITING)
        process = self.start("run", file)
        self.until(process, "started")
        return process

    def test_a_killed_run_leaves_nothing_and_is_closed_by_the_next(self):
        process = self.waiting_run()
        process.kill()
        self.finish(process)
        self.leftovers.check(self)
        task = self.world.folder / "task.yaml"
        task.write_text("apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t}\n"
                        "spec: {steps: [{name: s, image: kiln/run, script: 'true'}]}\n")
        again = self.world.kiln("run", task, check=0)
        self.assertIn("was cut off earlier", again.stderr)
        self.assertNotIn("Running", self.world.kiln("runs", "list", check=0).stdout)
        logs = self.world.kiln("logs", self.run_named("waiting"), check=0).stdout
        self.assertEqual(logs, "[wait : s] started\n")

    def run_named(self, name):
        lines = self.world.kiln("runs", "list", check=0).stdout.splitlines()
        return next(line.split()[0] for line in lines if line.startswith(name))

    def test_a_servers_run_outlives_the_server(self):
        world = self.world
        file = world.folder / "waiting.yaml"
        file.write_text(WAITING)
        refused = world.kiln("run", "--detach", file, check=3)
        self.assertIn("start one with `kiln serve`", refused.stderr)
        world.serve()
        run = world.kiln("run", "--detach", file, check=0).stdout.strip()
        self.until_logged(run, "started")
        world.stop_server(signal.SIGKILL)
        self.leftovers.check(self)
        self.assertIn("Running", world.kiln("runs", "list", check=0).stdout)
        # Asked while nobody carries it on; whoever comes next hears of it.
        world.kiln("runs", "cancel", run, check=0)
        world.serve()
        harness.until(lambda: "Cancelled" in world.kiln("runs", "list", check=0).stdout, f"run {run} is cancelled")
        self.assertIn("tidied up", world.kiln("logs", run, check=0).stdout)
        world.stop_server()
        self.leftovers.check(self)

    def test_a_server_that_ends_leaves_its_runs_to_the_next(self):
        world = self.world
        file = world.folder / "waiting.yaml"
        file.write_text(WAITING)
        world.serve()
        run = world.kiln("run", "--detach", file, check=0).stdout.strip()
        self.until_logged(run, "started")
        world.stop_server()
        self.leftovers.check(self)
        self.assertIn("Running", world.kiln("runs", "describe", run, check=0).stdout)
        world.serve()
        world.kiln("runs", "cancel", run, "--mode", "now", check=0)
        harness.until(lambda: "Cancelled" in world.kiln("runs", "list", check=0).stdout, f"run {run} is cancelled")
        self.assertIn("was cancelled", world.kiln("runs", "describe", run, check=0).stdout)

    def until_logged(self, run, text):
        harness.until(lambda: text in self.world.kiln("logs", run).stdout, f"run {run} says \"{text}\"")

    def small_disk(self, size):
        if os.geteuid() != 0:
            self.skipTest("mounting a small tmpfs needs root")
        small = self.world.folder / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(small)], check=True)
        self.addCleanup(subprocess.run, ["umount", str(small)])
        self.leftovers = harness.Leftovers()  # this mount is not kiln's
        return small

    def task(self, script):
        file = self.world.folder / "task.yaml"
        file.write_text("apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t}\n"
                        f"spec: {{steps: [{{name: s, image: kiln/run, script: '{script}'}}]}}\n")
        return file

    def check_database(self, state):
        with contextlib.closing(sqlite3.connect(state / "kiln" / "kiln.db")) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))

    def test_a_run_that_fills_the_disk_fails_clearly_and_corrupts_nothing(self):
        small = self.small_disk("8m")
        env = {"XDG_STATE_HOME": str(small)}
        failed = self.world.kiln("run", self.task("head -c 30000000 /dev/zero"), env=env, check=3)
        self.assertIn("No space left on device", failed.stderr)
        self.check_database(small)
        for log in small.glob("kiln/runs/*/logs/*/*.log"):
            log.unlink()
        self.world.kiln("run", self.task("true"), env=env, check=0)
        self.assertNotIn("Running", self.world.kiln("runs", "list", env=env, check=0).stdout)
        self.leftovers.check(self)

    def test_a_state_folder_that_is_read_only_is_said_so(self):
        small = self.small_disk("8m")
        env = {"XDG_STATE_HOME": str(small)}
        self.world.kiln("run", self.task("true"), env=env, check=0)
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        for words in (("run", self.task("true")), ("serve", "--listen", "127.0.0.1:0")):
            failed = self.world.kiln(*words, env=env, check=3)
            self.assertRegex(failed.stderr, "(?i)read-?only")
            self.assertIn(str(small), failed.stderr)
        subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
        self.check_database(small)
        self.world.kiln("run", self.task("true"), env=env, check=0)
        self.leftovers.check(self)

    def test_ctrl_c_cancels_runs_finally_and_exits_with_130(self):
        process = self.waiting_run()
        process.send_signal(signal.SIGINT)
        code, words = self.finish(process)
        self.assertEqual(code, 130)
        self.assertIn("tidied up", words)
        self.assertIn("cancelling; finally tasks still run; Ctrl-C again kills", words)
        self.leftovers.check(self)

    def test_a_killed_build_starts_clean_the_next_time(self):
        folder = self.world.folder / "slow"
        subprocess.run(["cp", "-r", str(SOURCE / "samples/functions/hello-node"), str(folder)], check=True)
        process = self.start("build", folder, "-t", "kiln/slow")
        self.until(process, "installing")
        process.kill()
        self.finish(process)
        self.leftovers.check(self)
        built = self.world.kiln("build", folder, "-t", "kiln/slow", check=0)
        self.assertIn("node_modules: installing", built.stderr)
        self.assertIn("node_modules: reused", self.world.kiln("build", folder, "-t", "kiln/slow", check=0).stderr)

    def test_a_killed_server_takes_its_instances_along_and_the_next_one_carries_on(self):
        world = self.world
        port = world.serve()
        source = world.repository("hello-python")
        self.assertEqual(results(world.run_function(f"file://{source}").stdout)["revision"], "hello-00001")
        self.assertEqual(world.ask("hello")[0], 200)
        world.stop_server(signal.SIGKILL)
        self.leftovers.check(self)
        world.serve(f"127.0.0.1:{port}")
        self.assertEqual(world.ask("hello"), (200, "Hello, World! (hello-00001)\n"))
        # What was pushed is still there, too.
        world.kiln("image", "pull", world.image("hello"), check=0)
        world.stop_server()
        self.leftovers.check(self)

    def test_a_server_killed_while_a_revision_deploys_finishes_the_deployment(self):
        world = self.world
        port = world.serve()
        source = world.repository("hello-python")
        with open(source / "main.py", "a", encoding="utf-8") as program:
            program.write("\n\nimport time\n\ntime.sleep(5)\n")  # to start takes it as long as the test needs
        world.kiln("build", source, "-t", world.image("late"), "--push", check=0)
        deploy = self.start("deploy", "--service", "late", "--image", world.image("late"))
        harness.until(lambda: "late" in world.kiln("service", "list").stdout, "the service is known")
        self.assertIsNone(deploy.poll(), "it was deployed before it could be killed")
        world.stop_server(signal.SIGKILL)
        self.finish(deploy)
        world.serve(f"127.0.0.1:{port}")
        world.kiln("deploy", "--service", "late", "--image", world.image("late"), check=0)
        self.assertEqual(world.ask("late"), (200, "Hello, World! (late-00001)\n"))

    def test_a_full_disk_is_a_clear_failure_and_corrupts_nothing(self):
        if os.geteuid() != 0:
            self.skipTest("mounting a small tmpfs needs root")
        world = self.world
        small = world.folder / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(small)], check=True)
        try:
            # The run image fits in there, the build image does not.
            env = {"XDG_DATA_HOME": str(small)}
            store = harness.shared_data() / "kiln" / "store"
            (small / "kiln" / "store").mkdir(parents=True)
            for name in ("oci-layout", "index.json"):
                subprocess.run(["cp", str(store / name), str(small / "kiln/store" / name)], check=True)
            (small / "kiln/store/blobs").symlink_to(store / "blobs")
            folder = world.folder / "app"
            subprocess.run(["cp", "-r", str(SOURCE / "samples/functions/hello-node"), str(folder)], check=True)
            failed = world.kiln("build", folder, "-t", "kiln/never", env=env, check=3)
            self.assertIn("No space left on device", failed.stderr)
            self.assertNotIn("kiln/never", world.kiln("image", "list", env=env).stdout)
        finally:
            subprocess.run(["umount", str(small)], check=True)
        self.leftovers.check(self)


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
"""`kiln logs` of runs that go on in another process, and of one whose kiln was killed."""

import pathlib
import re
import subprocess
import tempfile
import unittest

from harness import KILN, environment, main, require_sandboxes

PIPELINE = """
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: demo}
spec:
  tasks:
  - name: first
    taskSpec: {steps: [{name: say, image: host, script: "echo one; echo two >&2; echo three"}]}
  - name: inner
    runAfter: [first]
    pipelineSpec:
      tasks:
      - name: deep
        taskSpec:
          steps:
          - name: wait
            image: host
            script: |
              echo "waiting"
              while [ ! -e GATE ]; do sleep 0.05; done
              echo "through"
"""

ENDLESS = """
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: demo}
spec:
  tasks:
  - name: first
    taskSpec: {steps: [{name: say, image: host, script: "printf 'half a line'"}]}
  - name: second
    runAfter: [first]
    taskSpec:
      steps:
      - {name: say, image: host, script: "printf 'another half'"}
      - {name: wait, image: host, script: "echo waiting; while [ ! -e GATE ]; do sleep 0.05; done"}
"""


class LogsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(dir="/var/tmp")
        self.root = pathlib.Path(self.folder.name)
        self.gate = self.root / "gate"
        self.file = self.root / "p.yaml"
        self.file.write_text(PIPELINE.replace("GATE", str(self.gate)))
        self.processes = []

    def tearDown(self):
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()
        self.folder.cleanup()

    def kiln(self, *words, check=0):
        done = subprocess.run([KILN, "--root", str(self.root / "root"), *words], text=True, capture_output=True,
                              env=environment(XDG_RUNTIME_DIR="", NO_COLOR="1"), timeout=60, stdin=subprocess.DEVNULL)
        require_sandboxes(done)
        self.assertEqual(done.returncode, check, done.stdout + done.stderr)
        return done.stdout

    def start(self, *words):
        process = subprocess.Popen([KILN, "--root", str(self.root / "root"), *words], text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   env=environment(XDG_RUNTIME_DIR="", NO_COLOR="1"))
        self.processes.append(process)
        return process

    def start_run(self):
        run = self.start("run", "--allow-host", str(self.file))
        for line in run.stdout:
            if "waiting" in line:
                return run
            if "sandbox" in line and "kiln:" in line:
                raise unittest.SkipTest("no sandboxes here: " + line)
        raise AssertionError("it never came to the gate")

    def test_following_goes_on_to_the_end_and_into_inner_pipelines(self):
        self.start_run()
        follow = self.start("logs", "-f")
        for line in follow.stdout:
            if "waiting" in line:
                break
        self.gate.touch()
        rest = follow.stdout.read()
        self.assertEqual(follow.wait(30), 0)
        self.assertIn("[inner/deep : wait] through", rest)

    def test_following_sees_what_the_next_server_does_with_the_run(self):
        def serve():
            server = self.start("serve", "--listen", "127.0.0.1:0")
            for line in server.stdout:
                if "127.0.0.1:" in line:
                    return server
            raise AssertionError("the server did not start")

        server = serve()
        self.kiln("run", "-d", "--allow-host", str(self.file))
        follow = self.start("logs", "-f")
        for line in follow.stdout:
            if "waiting" in line:
                break
        server.kill()
        server.wait()
        serve()
        for line in follow.stdout:  # the attempt that was cut off begins again, in a file of its own
            if "waiting" in line:
                break
        self.gate.touch()
        self.assertIn("[inner/deep : wait] through", follow.stdout.read())

    def test_a_last_line_without_its_end_is_shown_when_its_step_has_ended(self):
        self.file.write_text(ENDLESS.replace("GATE", str(self.gate)))
        run = self.start("run", "--allow-host", str(self.file))
        for line in run.stdout:
            if "waiting" in line:
                break
        follow = self.start("logs", "-f")
        shown = ""
        while "half a line" not in shown or "another half" not in shown:
            line = follow.stdout.readline()
            self.assertTrue(line, shown)
            shown += line
        self.assertFalse(self.gate.exists())
        self.gate.touch()
        self.assertEqual(run.wait(30), 0)

    def test_what_is_shown_can_be_chosen(self):
        self.gate.touch()
        self.kiln("run", "--allow-host", str(self.file))
        whole = self.kiln("logs").splitlines()
        self.assertCountEqual(whole[:3], ["[first : say] one", "[first : say] two", "[first : say] three"],
                              "the two streams may overtake one another")
        self.assertEqual(whole[3:], ["[inner/deep : wait] waiting", "[inner/deep : wait] through"])
        self.assertEqual(len(self.kiln("logs", "--tail", "1").splitlines()), 2)
        self.assertEqual(self.kiln("logs", "--tail", "0"), "")
        self.assertEqual(self.kiln("logs", "-t", "inner", "-s", "wait", "--tail", "1"), "[inner/deep : wait] through\n")
        stamped = self.kiln("logs", "-t", "first", "--timestamps").splitlines()
        self.assertEqual(len(stamped), 3)
        for line in stamped:
            self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z \[first : say\] ")
        self.assertEqual(self.kiln("logs", "--stream", "stderr"), "[first : say] two\n")
        self.kiln("logs", "-t", "frist", check=1)
        self.kiln("logs", "-t", "first", "-s", "nothing", check=1)

    def test_a_killed_kiln_leaves_logs_with_their_times(self):
        run = self.start_run()
        run.kill()
        run.wait()
        self.assertNotIn("Running", self.kiln("runs", "list"))
        follow = self.kiln("logs", "-f", "--timestamps")  # ends: somebody notices that the run is over
        self.assertRegex(follow, r"\d{9}Z \[inner/deep : wait\] waiting\n")
        self.assertEqual(len(re.findall(r"^\d{4}-", follow, re.MULTILINE)), 4)


if __name__ == "__main__":
    main()

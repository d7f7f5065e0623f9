#!/usr/bin/env python3
"""`kiln shell` into the steps of a run, and `kiln run --watch`."""

import os
import pathlib
import secrets
import signal
import subprocess
import tempfile
import termios
import threading
import unittest

from harness import KILN, Terminal, environment, main, require_sandboxes

PASSWORD = "sw0rdfish-" + secrets.token_hex(8)
PIPELINE = """
apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {password: "PASSWORD"}
---
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: demo}
spec:
  workspaces: [{name: src}]
  tasks:
  - name: build
    workspaces: [{name: src}]
    taskSpec:
      workspaces: [{name: src}]
      volumes: [{name: v, secret: {secretName: login}}]
      steps:
      - {name: fine, image: host, script: "true"}
      - name: fails
        image: host
        workingDir: $(workspaces.src.path)
        env: [{name: P, valueFrom: {secretKeyRef: {name: login, key: password}}}]
        volumeMounts: [{name: v, mountPath: /tmp/v}]
        script: "cat input >> made; exit 9"
""".replace("PASSWORD", PASSWORD)


class ShellTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(dir="/var/tmp")
        self.root = pathlib.Path(self.folder.name)
        (self.root / "src").mkdir()
        (self.root / "src" / "input").write_text("one\n")
        self.file = self.root / "p.yaml"
        self.file.write_text(PIPELINE)
        self.env = environment(XDG_RUNTIME_DIR="", NO_COLOR="1", TERM="dumb")

    def tearDown(self):
        self.folder.cleanup()

    def words(self, *words):
        return [KILN, "--root", str(self.root / "root"), *map(str, words)]

    def kiln(self, *words, code=0, **options):
        done = subprocess.run(self.words(*words), text=True, capture_output=True, env=self.env, timeout=60,
                              **{"stdin": subprocess.DEVNULL, **options})
        require_sandboxes(done)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def run_it(self):
        self.kiln("run", "--allow-host", self.file, "-w", f"src={self.root}/src", code=1)

    def copies_of_the_secret(self):
        """Files in memory that hold this test's password; other tests have theirs there, too."""
        kept = subprocess.run(["grep", "-rlsa", PASSWORD, f"/dev/shm/kiln-{os.geteuid()}"], text=True, capture_output=True)
        return kept.stdout.split()

    def test_the_step_that_failed_as_it_was(self):
        self.run_it()
        out = self.kiln("shell", "last", "build", "--allow-host", "--", "sh", "-c",
                        'echo "$P $(cat /tmp/v/password) $PWD"; cat made; exit 5', code=5)
        self.assertEqual(out, f"{PASSWORD} {PASSWORD} /workspace/src\none\n")
        self.assertEqual(self.copies_of_the_secret(), [], "no Secret is left in a file")
        self.assertEqual(list((self.root / "root/state/runs").glob("*/shell-*")), [])
        self.assertEqual(self.kiln("shell", "last", "build/fine", "--allow-host", "--", "sh", "-c", 'echo "<$P>"'), "<>\n")
        self.assertEqual(self.kiln("shell", "build/fine", "--", "echo", "in"), "in\n", "the last run by default")
        self.kiln("shell", "last", "biuld", code=1)
        self.kiln("shell", "biuld", code=1)
        self.kiln("shell", "last", code=2)

    def test_what_the_run_was_allowed_and_no_more(self):
        self.run_it()
        self.assertEqual(self.kiln("shell", "last", "build/fine", "--", "echo", "in"), "in\n")
        devices = "tail -n +3 /proc/net/dev | wc -l"  # of another network than the run's
        inside = self.kiln("shell", "last", "build/fine", "--network", "none", "--", "sh", "-c", devices)
        self.assertEqual(inside.strip(), "1")
        self.kiln("run", self.file, "-w", f"src={self.root}/src", code=1)  # image: host was not allowed
        self.kiln("shell", "last", "build", code=2)

    def test_sidecars_are_said_not_to_run(self):
        self.file.write_text("""
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: aside}
spec:
  sidecars: [{name: db, image: host, command: [sleep, "1000"]}]
  steps: [{image: host, script: "true"}]
""")
        self.kiln("run", "--allow-host", self.file)
        done = subprocess.run(self.words("shell", "aside", "--", "true"), text=True, capture_output=True, env=self.env, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, "note: the sidecars of aside do not run here\n"))

    def terminal(self, *words):
        return Terminal(self, self.words("shell", "last", "build", *words), self.env)

    def test_on_a_terminal_it_is_a_shell_with_job_control(self):
        self.run_it()
        shell = self.terminal()
        shell.until(r"[#$] ")
        # Until something runs the terminal is readline's; and a Ctrl-C before cat answers may be bash's own.
        shell.type("sh -c 'echo runs-$((1+1)); exec cat'\n")
        shell.until("runs-2")
        shell.type("ping\n")
        shell.until("(?s)ping.*ping")
        shell.type("\x03")
        shell.until(r"(?s)\^C.*[#$] ")  # the shell is still there, and what ran is not
        shell.type("echo after-$((1+1)); exit 7\n")
        shell.until("after-2")
        self.assertEqual(shell.ended(), 7)

    def test_a_signal_ends_it_and_gives_the_terminal_back(self):
        self.run_it()
        for number in (signal.SIGTERM, signal.SIGHUP):
            shell = self.terminal()
            shell.until(r"[#$] ")
            held = os.open(f"/proc/{shell.pid}/fd/0", os.O_RDWR | os.O_NOCTTY)  # its settings, once it has ended
            self.assertFalse(termios.tcgetattr(held)[3] & termios.ICANON, "keys go on as they are")
            shell.type("cat /tmp/v/password; echo; sleep 1000\n")
            shell.until(PASSWORD + "\r")
            os.kill(shell.pid, number)
            self.assertEqual(shell.ended(), 130)
            self.assertTrue(termios.tcgetattr(held)[3] & termios.ICANON)
            os.close(held)
            self.assertEqual(self.copies_of_the_secret(), [], "no Secret is left in a file")
            self.assertEqual(list((self.root / "root/state/runs").glob("*/shell-*")), [])

    def test_watching_runs_again_when_a_file_changes(self):
        (self.root / "src" / ".gitignore").write_text("made\n*.o\n")
        run = subprocess.Popen(self.words("run", "--watch", "--allow-host", self.file, "-w", f"src={self.root}/src"),
                               text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self.env)
        timer = threading.Timer(60, run.kill)
        timer.start()
        said = []

        def until(words):
            for line in run.stderr:
                said.append(line)
                if words in line:
                    return
            raise AssertionError(f"it ended without {words}:\n" + "".join(said))

        until("waiting for changes")
        (self.root / "src" / "x.o").write_text("ignored")
        (self.root / "src" / "input").write_text("two\n")
        until("waiting for changes")
        self.assertEqual((self.root / "src" / "made").read_text(), "one\ntwo\n")
        self.file.write_text(PIPELINE.replace("exit 9", "echo changed; exit 0"))
        until("] changed")
        until("waiting for changes")
        self.file.write_text("broken: [")
        until("waiting for changes")
        self.file.write_text(PIPELINE.replace("cat input >> made; exit 9", "echo started; sleep 1000"))
        until("] started")
        self.file.write_text(PIPELINE.replace("cat input >> made; exit 9", "echo at last; exit 0"))
        until("starting again")
        until("] at last")
        run.terminate()
        run.stderr.read()
        self.assertEqual(run.wait(30), 130)
        run.stderr.close()
        timer.cancel()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What `kiln run` shows on a real terminal: the screen's content is worked out by a small interpreter of escapes."""

import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unicodedata
import unittest

from harness import KILN, environment, main, require_sandboxes

PIPELINE = """
apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {password: "sw0rdfish-1234"}
---
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: demo}
spec:
  tasks:
  - name: fetch
    taskSpec: {steps: [{name: get, image: host, script: "echo fetched"}]}
  - name: build
    runAfter: [fetch]
    taskSpec:
      steps:
      - name: compile
        image: host
        env: [{name: P, valueFrom: {secretKeyRef: {name: login, key: password}}}]
        script: |
          printf '\\033[2J\\033[31mcompiling\\033[0m %s\\n' "$P"
          echo "日本語の長い行日本語の長い行日本語の長い行日本語の長い行日本語の長い行日本語の長い行"
          while [ ! -e GATE ]; do sleep 0.05; done
"""


class Screen:
    """A terminal as far as kiln's output needs one: text, wide characters, cursor up, erasing, modes."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.lines, self.x, self.y = [[" "] * columns], 0, 0
        self.wrap, self.cursor = True, True
        self.unknown = []

    def feed(self, text):
        for escape, character in re.findall(r"(\x1b\[[?0-9;]*[A-Za-z])|(.)", text, re.DOTALL):
            if escape:
                self.escape(escape[2:-1], escape[-1])
            else:
                self.put(character)

    def escape(self, argument, final):
        if final == "A":
            self.y = max(len(self.lines) - self.rows, self.y - int(argument or 1), 0)
        elif final == "J" and argument in ("", "0"):
            self.lines[self.y][self.x:] = [" "] * (self.columns - self.x)
            del self.lines[self.y + 1:]
        elif final in "hl" and argument == "?7":
            self.wrap = final == "h"
        elif final in "hl" and argument == "?25":
            self.cursor = final == "h"
        elif final != "m":
            self.unknown.append(argument + final)

    def put(self, character):
        if character == "\r":
            self.x = 0
        elif character == "\n":
            self.y += 1
            if self.y == len(self.lines):
                self.lines.append([" "] * self.columns)
        elif character == "\x1b" or ord(character) < 32:
            self.unknown.append(repr(character))
        else:
            wide = 2 if unicodedata.east_asian_width(character) in "WF" else 1
            if self.x + wide > self.columns:
                if not self.wrap:
                    self.unknown.append("a line too long")
                    return
                self.put("\r")
                self.put("\n")
            self.lines[self.y][self.x:self.x + wide] = [character] + [""] * (wide - 1)
            self.x += wide

    def text(self):
        return "\n".join("".join(line).rstrip() for line in self.lines)


class OnTerminal:
    """kiln with stderr (and stdin) on a pseudo-terminal, stdout in a pipe."""

    def __init__(self, root, *words, size=(24, 80), **env):
        self.master, slave = pty.openpty()
        self.resize(*size, fd=slave)
        self.screen = Screen(size[1], size[0])
        self.raw = ""
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [KILN, "--root", str(root), *words], stdin=slave, stderr=slave, stdout=subprocess.PIPE, text=True,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env=environment(**{"XDG_RUNTIME_DIR": "", "TERM": "xterm-256color", "NO_COLOR": "1", "CI": "", **env}))
        os.close(slave)

    def resize(self, rows, columns, fd=None):
        fcntl.ioctl(self.master if fd is None else fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds):
        """What comes within that time; False at the end."""
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        while data and data[-1] >= 0x80 and len(data) < 65536 + 4:  # the rest of a character
            try:
                data.decode()
                break
            except UnicodeDecodeError:
                data += os.read(self.master, 1)
        text = data.decode()
        self.raw += text
        self.screen.feed(text)
        return bool(data)

    def until(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition(self.screen.text()):
            if time.monotonic() > end or not self.read(end - time.monotonic()):
                raise AssertionError("it never came to that:\n" + self.screen.text())

    def finish(self):
        end = time.monotonic() + 60
        while self.read(max(0, end - time.monotonic())):
            if time.monotonic() > end:
                self.process.kill()
        output = self.process.stdout.read()
        self.process.stdout.close()
        os.close(self.master)
        return self.process.wait(60), output


class TerminalTest(unittest.TestCase):
    started = None

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(dir="/var/tmp")  # steps have a /tmp of their own
        self.root = pathlib.Path(self.folder.name)
        self.gate = self.root / "work" / "gate"
        self.gate.parent.mkdir()
        self.file = self.root / "p.yaml"
        self.file.write_text(PIPELINE.replace("GATE", str(self.gate)))
        probe = self.root / "probe.yaml"
        probe.write_text("apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t}\n"
                         "spec: {steps: [{image: host, script: 'true'}]}\n")
        done = subprocess.run([KILN, "--root", str(self.root), "run", "--allow-host", str(probe)], text=True,
                              env=environment(XDG_RUNTIME_DIR=""), capture_output=True)
        require_sandboxes(done)

    def tearDown(self):
        if self.started and self.started.process.poll() is None:
            self.started.process.kill()
            self.started.process.wait()
        self.folder.cleanup()

    def start(self, *words, **options):
        self.started = OnTerminal(self.root, "run", "--allow-host", str(self.file), *words, **options)
        return self.started

    def test_what_runs_is_drawn_and_what_has_ended_stands_above(self):
        run = self.start()
        run.until(lambda text: "日本語" in text and "run demo-run-" in text)
        text = run.screen.text()
        self.assertRegex(text, r"(?s)✔ fetch.*▶ build : compile  \d+ s\n  │ compiling \*\*\*\n  │ 日本語.*…\nrun demo-run-\w+  1/2 tasks")
        self.assertFalse(run.screen.cursor)
        self.assertNotIn("sw0rdfish", run.raw)
        self.gate.touch()
        code, _ = run.finish()
        self.assertEqual(code, 0)
        text = run.screen.text()
        self.assertNotIn("│", text, "the list is gone")
        self.assertRegex(text, r"(?s)✔ fetch.*✔ build.*Succeeded.*critical path: fetch .* → build")
        self.assertEqual(text.count("✔ fetch"), 1)
        self.assertTrue(run.screen.cursor and run.screen.wrap)
        self.assertEqual(run.screen.unknown, [], "nothing of a step's output steers the terminal")

    def test_a_terminal_that_changes_its_size(self):
        run = self.start()
        run.until(lambda text: "日本語" in text)
        run.resize(8, 40)
        run.screen.columns = 40
        for line in run.screen.lines:
            del line[40:]
        run.until(lambda text: text.rstrip().splitlines()[-1].startswith("run demo"))
        seen = len(run.raw)
        run.until(lambda text: len(run.raw) > seen)  # drawn again, for the new width
        self.gate.touch()
        self.assertEqual(run.finish()[0], 0)

    def test_ctrl_c_gives_the_cursor_back(self):
        run = self.start()
        run.until(lambda text: "日本語" in text)
        os.write(run.master, b"\x03")
        code, _ = run.finish()
        self.assertEqual(code, 130)
        self.assertTrue(run.screen.cursor and run.screen.wrap)
        self.assertIn("Cancelled", run.screen.text())

    def test_the_third_ctrl_c_gives_the_cursor_back_too(self):
        self.file.write_text(self.file.read_text().replace("while [", "trap '' TERM\n          while ["))
        run = self.start()
        run.until(lambda text: "日本語" in text)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # three, so that none is lost as a double
            run.process.send_signal(number)
        run.finish()
        self.assertTrue(run.screen.cursor and run.screen.wrap)

    def test_no_list_where_nothing_can_be_drawn(self):
        self.gate.touch()
        for env in ({"TERM": "dumb"}, {"CI": "true"}):
            run = self.start(**env)
            self.assertEqual(run.finish()[0], 0)
            self.assertIn("[build : compile] 日本語", run.raw)
            self.assertNotIn("\x1b[?25l", run.raw)

    def test_events_are_json_lines_and_results_stay_on_stdout(self):
        self.gate.touch()
        done = subprocess.run([KILN, "--root", str(self.root), "run", "--allow-host", "--progress", "json", str(self.file)],
                              text=True, env=environment(XDG_RUNTIME_DIR=""), capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        events = [json.loads(line) for line in done.stderr.splitlines()]
        self.assertEqual(events[0]["event"], "run-started")
        self.assertEqual(events[-1]["event"], "run-finished")
        self.assertTrue(events[-1]["succeeded"])
        said = [event["text"] for event in events if event["event"] == "output" and event["step"] == "compile"]
        self.assertIn("***", said[0])
        self.assertEqual({event["event"] for event in events},
                         {"run-started", "task-started", "step-started", "output", "step-finished", "task-finished",
                          "run-finished"})


if __name__ == "__main__":
    main()

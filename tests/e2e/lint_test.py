#!/usr/bin/env python3
"""`kiln lint` as scripts and editors use it: what it reads, what it answers, and its exit codes."""

import json
import pathlib
import subprocess
import tempfile
import unittest

import harness
from harness import KILN

TASK = """apiVersion: tekton.dev/v1
kind: Task
metadata:
  name: {name}
spec:
  steps:
    - image: alpine
      {line}
"""
CLEAN = TASK.format(name="clean", line="script: echo hello")
WARNED = TASK.format(name="warned", line="Script: echo hello")
BROKEN = TASK.format(name="broken", line="scrpt: echo hello")


class Lint(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def lint(self, *arguments, check, stdin=""):
        done = subprocess.run([KILN, "--root", self.folder / "root", "lint", *arguments], cwd=self.folder, text=True,
                              input=stdin, capture_output=True, timeout=60, env=harness.environment(NO_COLOR="1"))
        self.assertEqual(done.returncode, check, done.stdout + done.stderr)
        return done

    def test_a_clean_file_says_nothing(self):
        self.write("clean.yaml", CLEAN)
        done = self.lint("clean.yaml", check=0)
        self.assertEqual((done.stdout, done.stderr), ("", ""))
        self.assertEqual(json.loads(self.lint("-o", "json", "clean.yaml", check=0).stdout), [])

    def test_an_error_shows_the_line_and_what_was_meant(self):
        self.write("broken.yaml", BROKEN)
        self.assertEqual(self.lint("broken.yaml", check=2).stdout,
                         "broken.yaml:8:7: error: unknown field `scrpt` in step\n"
                         "  8 |       scrpt: echo hello\n"
                         "    |       ^\n"
                         "  hint: did you mean `script`?\n")

    def test_json_has_the_same_in_fields(self):
        self.write("broken.yaml", BROKEN)
        self.assertEqual(json.loads(self.lint("-o", "json", "broken.yaml", check=2).stdout),
                         [{"severity": "error", "file": "broken.yaml", "line": 8, "column": 7,
                           "message": "unknown field `scrpt` in step", "hint": "did you mean `script`?"}])

    def test_a_problem_of_the_whole_file_has_line_0(self):
        self.write("empty.yaml", "")
        found = json.loads(self.lint("-o", "json", "empty.yaml", check=0).stdout)
        self.assertEqual([(one["severity"], one["line"], one["column"]) for one in found], [("warning", 0, 0)])

    def test_warnings_are_errors_when_strict(self):
        self.write("warned.yaml", WARNED)
        self.assertIn("warned.yaml:8:7: warning: field `Script` is spelt `script`",
                      self.lint("warned.yaml", check=0).stdout)
        self.assertIn("warned.yaml:8:7: error: field `Script` is spelt `script`",
                      self.lint("--strict", "warned.yaml", check=2).stdout)
        found = json.loads(self.lint("--strict", "-o", "json", "warned.yaml", check=2).stdout)
        self.assertEqual([one["severity"] for one in found], ["error"])

    def test_several_files_are_one_set_of_documents(self):
        self.write("task.yaml", CLEAN)
        self.write("pipeline.yaml", "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: p}\n"
                                    "spec: {tasks: [{name: a, taskRef: {name: clean}}]}\n")
        self.assertEqual(self.lint("pipeline.yaml", "task.yaml", check=0).stdout, "")
        self.assertIn('Task "clean" is not among the documents loaded', self.lint("pipeline.yaml", check=0).stdout)

    def test_all_of_a_folder_sorted_by_file(self):
        for name in ("b.yaml", "a.yml", "c.txt"):
            self.write(f"tekton/{name}", BROKEN.replace("broken", name[0]))
        found = json.loads(self.lint("-o", "json", "tekton", check=2).stdout)
        self.assertEqual([one["file"] for one in found], ["tekton/a.yml", "tekton/b.yaml"])

    def test_standard_input(self):
        self.assertEqual(self.lint("-", check=0, stdin=CLEAN).stdout, "")
        self.assertIn("<stdin>:8:7: error: unknown field `scrpt`", self.lint("-", check=2, stdin=BROKEN).stdout)

    def test_what_cannot_be_read(self):
        self.assertIn("there is no file nope.yaml", self.lint("nope.yaml", check=2).stderr)
        self.write("folder/words.txt", "words")
        self.assertIn("folder holds no .yaml, .yml or .json file", self.lint("folder", check=2).stderr)
        self.lint(check=2)
        self.lint("-o", "xml", "nope.yaml", check=2)

    def test_windows_line_ends_are_line_ends(self):
        (self.folder / "broken.yaml").write_bytes(BROKEN.replace("\n", "\r\n").encode())
        done = self.lint("broken.yaml", check=2)
        self.assertNotIn("\r", done.stdout)
        self.assertIn("broken.yaml:8:7: error: unknown field `scrpt`", done.stdout)


if __name__ == "__main__":
    harness.main()

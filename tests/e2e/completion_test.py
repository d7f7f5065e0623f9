#!/usr/bin/env python3
"""What the key that completes offers, in bash, zsh and fish."""

import os
import pathlib
import subprocess
import unittest

from harness import KILN, Terminal, World, main, require, require_sandboxes

# Calls the script's function as bash does when the key is pressed at the end of the line.
PRESS = """
source <(kiln completion bash)
COMP_LINE=$1 COMP_POINT=${#1}; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_kiln_or_file
[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\\n' "${COMPREPLY[@]}"
"""

# What the key does is noted down before zsh draws it; the widget tells when all is done.
ZSH = """
source <(kiln completion zsh)
compadd() { local -a found; builtin compadd -O found "$@"; print -rl -- "${found[@]}" >> $OFFERED; builtin compadd "$@" }
press() { zle expand-or-complete; print -r -- "PRES""SED" > /dev/tty }
zle -N press; bindkey '^I' press
print -r -- "READ""Y"
"""

IMAGES = ["hello:v1", "localhost:5000/a/b:v2"]


def pipeline(name, *tasks):
    steps = '{steps: [{image: host, script: "true"}]}'
    listed = "".join(f"  - {{name: {task}, taskSpec: {steps}}}\n" for task in tasks)
    return f"apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {{name: {name}}}\nspec:\n  tasks:\n{listed}"


class CompletionTest(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)
        self.folder = self.world.folder
        self.world.env["XDG_DATA_HOME"] = str(self.folder / "data")
        self.world.env["PATH"] = f"{pathlib.Path(KILN).parent}:{self.world.env['PATH']}"

    def offered(self, *words, line=None):
        done = subprocess.run(["bash", "-c", PRESS, "bash", line or " ".join(words), *words], capture_output=True, text=True,
                              env=self.world.env, cwd=self.folder, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def bash(self, line):
        return self.offered(*line.split(" "))

    def fish(self, line):
        done = subprocess.run(["fish", "--no-config", "-c", "kiln completion fish | source; complete -C $argv[1]", line],
                              capture_output=True, text=True, env=self.world.env, cwd=self.folder, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return [said.split("\t")[0] for said in done.stdout.splitlines()]

    def zsh(self, line):
        noted = self.folder / "offered"
        noted.write_text("")
        (self.folder / ".zshrc").write_text(ZSH)
        env = dict(self.world.env, ZDOTDIR=str(self.folder), OFFERED=str(noted), TERM="dumb")
        before = os.getcwd()
        os.chdir(self.folder)
        terminal = Terminal(self, ["/usr/bin/env", "zsh", "-d", "-i"], env)
        os.chdir(before)
        self.assertNotIn("not found", terminal.until("READY"))
        terminal.type(line + "\t")
        said = terminal.until("PRESSED")
        self.assertNotRegex(said, "_kiln.*:[0-9]+:")
        os.kill(terminal.pid, 9)
        terminal.ended()
        return noted.read_text().split()

    def store_images(self):
        layout = self.folder / "layout"
        (layout / "blobs/sha256").mkdir(parents=True)
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        store = self.folder / "data/kiln"
        store.mkdir(parents=True, exist_ok=True)
        manifests = ", ".join(
            '{"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 2, "digest": "sha256:%s",'
            ' "annotations": {"org.opencontainers.image.ref.name": "%s"}}' % ("0" * 64, name) for name in IMAGES)
        (layout / "index.json").write_text('{"schemaVersion": 2, "manifests": [%s]}' % manifests)
        layout.rename(store / "store")

    def store_runs(self):
        """Two runs with different tasks; their names."""
        names = []
        for file, text in (("one", pipeline("one", "fetch")), ("two", pipeline("two", "build", "test"))):
            (self.folder / f"{file}.yaml").write_text(text)
            done = self.world.kiln("run", "--allow-host", f"{file}.yaml", cwd=self.folder)
            require_sandboxes(done)
            self.assertEqual(done.returncode, 0, done.stderr)
            names.append(self.world.kiln("runs", "list", check=0).stdout.splitlines()[1].split()[0])
        return names

    def check_shell(self, press):
        self.store_images()
        one, two = self.store_runs()
        self.assertEqual(sorted(press("kiln ru")), ["run", "runs"])
        self.assertEqual(sorted(press("kiln runs de")), ["delete", "describe"])
        self.assertIn("--progress", press("kiln run --pro"))
        self.assertEqual(sorted(press("kiln run --progress ")), ["auto", "json", "plain", "quiet", "tty"])
        self.assertEqual(sorted(press("kiln runs describe ")), sorted(["last", one, two]))
        self.assertEqual(sorted(press("kiln logs -t ")), ["build", "test"])
        self.assertEqual(press(f"kiln logs {one} -t "), ["fetch"])
        self.assertEqual(press(f"kiln shell {one} "), ["fetch"])
        self.assertLessEqual({"last", "build", "test", one, two}, set(press("kiln shell ")))
        self.assertLessEqual({"last", one, two, "one.yaml"}, set(press("kiln graph ")))
        self.assertIn("one.yaml", press("kiln run "))
        self.assertIn("hello:v1", press("kiln image rm he"))

    def test_bash(self):
        self.check_shell(self.bash)

    def test_fish(self):
        require("fish")
        self.check_shell(self.fish)
        self.assertEqual(self.fish("kiln image rm localhost:5000/a"), ["localhost:5000/a/b:v2"])

    def test_zsh(self):
        require("zsh")
        self.check_shell(self.zsh)
        self.assertEqual(self.zsh("kiln run --progress=j"), ["--progress=json"])
        self.assertEqual(self.zsh("kiln image rm localhost:5000/a"), ["localhost:5000/a/b:v2"])
        self.assertEqual(self.zsh("kiln image rm localhost:5000/a/b:v"), ["localhost:5000/a/b:v2"])

    def test_an_options_words(self):
        self.assertEqual(self.offered("kiln", "run", "--progress", ""), ["auto", "tty", "plain", "json", "quiet"])
        self.assertEqual(self.offered("kiln", "run", "--progress", "=", "j", line="kiln run --progress=j"), ["json"])
        self.assertEqual(self.offered("kiln", "image", "list", "-o", ""), ["json"])
        self.assertIn("--progress", self.offered("kiln", "run", "--pro"))

    def test_images_of_the_store(self):
        self.store_images()
        for verb in ("inspect", "rm", "copy", "tag", "push"):
            self.assertEqual(self.offered("kiln", "image", verb, "he"), ["hello:v1"], verb)
        self.assertEqual(self.offered("kiln", "image", "rm", "hello", ":", "v", line="kiln image rm hello:v"), ["v1"])
        self.assertNotIn("hello:v1", self.offered("kiln", "image", "rm", "--"))


if __name__ == "__main__":
    main()

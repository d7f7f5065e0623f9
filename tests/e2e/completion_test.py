#!/usr/bin/env python3
"""What the key that completes offers, in bash."""

import pathlib
import subprocess
import unittest

from harness import KILN, World, main

# Calls the script's function as bash does when the key is pressed at the end of the line.
PRESS = """
source <(kiln completion bash)
COMP_LINE=$1 COMP_POINT=${#1}; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_kiln
[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\\n' "${COMPREPLY[@]}"
"""


class CompletionTest(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)
        self.world.env["XDG_DATA_HOME"] = str(self.world.folder / "data")
        self.world.env["PATH"] = f"{pathlib.Path(KILN).parent}:{self.world.env['PATH']}"

    def offered(self, *words, line=None):
        done = subprocess.run(["bash", "-c", PRESS, "bash", line or " ".join(words), *words], capture_output=True, text=True,
                              env=self.world.env, cwd=self.world.folder, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def test_an_options_words(self):
        self.assertEqual(self.offered("kiln", "run", "--progress", ""), ["auto", "tty", "plain", "json", "quiet"])
        self.assertEqual(self.offered("kiln", "run", "--progress", "=", "j", line="kiln run --progress=j"), ["json"])
        self.assertEqual(self.offered("kiln", "image", "list", "-o", ""), ["json"])
        self.assertIn("--progress", self.offered("kiln", "run", "--pro"))

    def test_images_of_the_store(self):
        layout = self.world.folder / "layout"
        (layout / "blobs/sha256").mkdir(parents=True)
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        store = self.world.folder / "data/kiln"
        store.mkdir(parents=True)
        (layout / "index.json").write_text(
            '{"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 2,'
            ' "digest": "sha256:%s", "annotations": {"org.opencontainers.image.ref.name": "hello:v1"}}]}' % ("0" * 64))
        layout.rename(store / "store")
        for verb in ("inspect", "rm", "copy", "tag", "push"):
            self.assertEqual(self.offered("kiln", "image", verb, "he"), ["hello:v1"], verb)
        self.assertEqual(self.offered("kiln", "image", "rm", "hello", ":", "v", line="kiln image rm hello:v"), ["v1"])
        self.assertNotIn("hello:v1", self.offered("kiln", "image", "rm", "--"))


if __name__ == "__main__":
    main()

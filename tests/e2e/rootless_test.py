#!/usr/bin/env python3
"""The main job as an ordinary user, without any privilege; and steps through another runtime."""

import os
import pathlib
import shutil
import subprocess
import unittest

import harness
from harness import KILN, SOURCE, results

USER = 54321  # an id that nobody has: no name, no home, no range in /etc/subuid


def own_store(world):
    """A data folder with a copy of the base images."""
    store = world.folder / "data" / "kiln" / "store"
    store.mkdir(parents=True)
    for name in ("oci-layout", "index.json", "blobs"):
        subprocess.run(["cp", "-a", "--reflink=auto", str(harness.shared_data() / "kiln/store" / name), str(store / name)],
                       check=True)
    return world.folder / "data"


class Rootless(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        harness.require("git")
        if os.geteuid() != 0:
            raise unittest.SkipTest("becoming an ordinary user needs root; the other tests have run as one")
        if not shutil.which("setpriv"):
            raise unittest.SkipTest("setpriv of util-linux is not installed")
        cls.leftovers = harness.Leftovers()
        cls.world = harness.World()
        world = cls.world
        data = own_store(world)
        # The program itself may lie where only root can look.
        cls.program = world.folder / "kiln"
        shutil.copy(KILN, cls.program)
        world.env.update(XDG_DATA_HOME=str(data), HOME=str(world.folder))
        cls.source = world.repository("hello-node")
        shutil.copytree(SOURCE / "samples/pipelines", world.folder / "pipelines")
        subprocess.run(["chown", "-R", f"{USER}:{USER}", str(world.folder)], check=True)

    @classmethod
    def tearDownClass(cls):
        harness.KILN = KILN
        cls.world.close()

    def user(self, *words, check=0):
        done = subprocess.run(["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs",
                               str(self.program), *map(str, words)], env=self.world.env, cwd=self.world.folder,
                              text=True, capture_output=True, timeout=300, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, check, done.stdout + done.stderr)
        return done

    def test_1_from_git_to_an_answering_revision(self):
        world = self.world
        harness.KILN = str(self.program)
        world.serve(prefix=["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs"])
        run = self.user("run", "pipelines/function.yaml", "-p", f"url=file://{self.source}", "-p",
                        f"image={world.image('hello')}", "-p", "service=hello")
        self.assertEqual(results(run.stdout)["revision"], "hello-00001")
        self.assertEqual(world.ask("hello"), (200, "Hello, World! (hello-00001)\n"))
        type(self).digest = results(run.stdout)["IMAGE_DIGEST"]

    def test_2_the_image_is_the_one_that_root_builds(self):
        built = subprocess.run([KILN, "build", str(self.source), "-t", "kiln/by-root"], text=True, capture_output=True,
                               check=True, env=dict(self.world.env, XDG_DATA_HOME=str(harness.shared_data()),
                                                    XDG_CACHE_HOME=str(self.world.folder / "root-cache")))
        self.assertEqual(built.stdout.strip().split("@")[1], self.digest)

    def test_3_nothing_is_left_behind(self):
        self.world.stop_server()
        self.leftovers.check(self)


MAPPED = """
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: ids}
spec:
  SIDECARS
  steps:
    - name: root
      image: kiln/run
      securityContext: {runAsUser: 0}
      script: touch /tmp/x && chown 33:44 /tmp/x && stat -c "owner %u:%g" /tmp/x
    - name: other
      image: kiln/run
      securityContext: {runAsUser: 1000, runAsGroup: 1001}
      script: echo "is $(id -u):$(id -g)"
"""


class MappedUser(unittest.TestCase):
    """An ordinary user who has a range in /etc/subuid, and newuidmap: steps see many ids."""

    # Gives the user a name and a range for whatever runs below, and for nobody else on this machine.
    ENTER = """for file in passwd subuid subgid; do
                 [ -e /etc/$file ] || { echo "no /etc/$file"; exit 77; }
                 mount --bind $0/$file /etc/$file || exit 77
               done
               exec setpriv --reuid=USER --regid=USER --clear-groups "$@" """.replace("USER", str(USER))

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("becoming an ordinary user needs root")
        if not shutil.which("newuidmap"):
            self.skipTest("newuidmap (Debian package uidmap) is not installed")
        self.world = harness.World()
        self.addCleanup(self.world.close)
        folder = self.world.folder
        data = own_store(self.world)
        shutil.copy(KILN, folder / "kiln")
        passwd = pathlib.Path("/etc/passwd").read_text() + f"kiln-mapped:x:{USER}:{USER}::{folder}:/bin/sh\n"
        (folder / "passwd").write_text(passwd)
        for name in ("subuid", "subgid"):
            (folder / name).write_text("kiln-mapped:400000:65536\n")
        self.world.env.update(XDG_DATA_HOME=str(data), HOME=str(folder))
        subprocess.run(["chown", "-R", f"{USER}:{USER}", str(folder)], check=True)

    def test_steps_have_all_ids_with_and_without_a_pods_network(self):
        for sidecars in ("", "sidecars: [{name: side, image: kiln/run, command: [sleep, \"1000\"]}]"):
            file = self.world.folder / "ids.yaml"
            file.write_text(MAPPED.replace("SIDECARS", sidecars))
            done = subprocess.run(["unshare", "--mount", "sh", "-c", self.ENTER, str(self.world.folder),
                                   str(self.world.folder / "kiln"), "run", "--network", "private", str(file)],
                                  env=self.world.env, cwd=self.world.folder, text=True, capture_output=True, timeout=120,
                                  stdin=subprocess.DEVNULL)
            if done.returncode == 77:
                self.skipTest(done.stdout + done.stderr)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn("owner 33:44", done.stderr)
            self.assertIn("is 1000:1001", done.stderr)


class OtherRuntime(unittest.TestCase):
    def test_steps_run_through_runc(self):
        harness.require("runc")
        if os.geteuid() != 0:
            self.skipTest("runc is tried as root only")
        leftovers = harness.Leftovers()
        world = harness.World()
        try:
            task = pathlib.Path(world.folder / "task.yaml")
            task.write_text("apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t}\nspec:\n"
                            "  results: [{name: who}]\n"
                            "  steps: [{name: s, image: kiln/run, script: 'id -un > $(results.who.path); exit 0'}]\n")
            run = world.kiln("--sandbox", "runc", "run", task, "-o", "json", check=0)
            self.assertIn("cnb", run.stdout)
            world.kiln("--sandbox", "bochs", "run", task, check=2)
        finally:
            world.close()
        leftovers.check(self)


if __name__ == "__main__":
    harness.main()

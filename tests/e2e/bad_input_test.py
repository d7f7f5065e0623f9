#!/usr/bin/env python3
"""What goes wrong in a user's hands gets one clear message, the right exit code, and leaves nothing half-done."""

import contextlib
import http.client
import os
import pathlib
import shutil
import socket
import subprocess
import unittest

import harness
from harness import KILN, SOURCE


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        harness.require("git")
        cls.leftovers = harness.Leftovers()
        cls.world = harness.World()
        cls.world.serve()
        cls.source = cls.world.repository("hello-node")

    @classmethod
    def tearDownClass(cls):
        cls.world.close()

    def assert_nothing_deployed(self):
        self.assertEqual(self.world.kiln("service", "list", check=0).stdout.count("\n"), 1)

    def test_a_url_that_is_no_repository(self):
        run = self.world.run_function(f"file://{self.world.folder}", check=1)
        self.assertIn(f"cannot fetch file://{self.world.folder}: there is no git repository at this URL", run.stderr)
        self.assertIn("hint: check the URL", run.stderr)
        self.assert_nothing_deployed()

    def test_a_host_that_does_not_answer(self):
        run = self.world.run_function(f"http://127.0.0.1:{closed_port()}/app.git", check=3)
        self.assertIn("cannot fetch http://127.0.0.1:", run.stderr)
        self.assertIn("hint: check that something listens on", run.stderr)

    def test_a_branch_that_is_not_there(self):
        run = self.world.run_function(f"file://{self.source}", revision="mian", check=1)
        self.assertIn("there is no branch, tag or commit `mian`", run.stderr)
        self.assertIn("did you mean `main`?", run.stderr)
        self.assert_nothing_deployed()

    def test_a_failed_checkout_leaves_no_files(self):
        target = self.world.folder / "target"
        self.world.kiln("git-clone", "--url", f"file://{self.source}", "--revision", "nope", target, check=1)
        self.assertFalse(target.exists())

    def test_a_folder_that_no_buildpack_takes(self):
        folder = self.world.folder / "prose"
        folder.mkdir()
        (folder / "README.md").write_text("words\n")
        build = self.world.kiln("build", folder, "-t", "kiln/prose", check=1)
        self.assertIn("no buildpack takes", build.stderr)
        self.assertIn("kiln/node@0.1.0: no package.json in the application's folder", build.stderr)
        self.assertIn("kiln/python@0.1.0: no main.py, app.py or Procfile", build.stderr)
        self.assertNotIn("kiln/prose", self.world.kiln("image", "list").stdout)

    def test_a_package_json_that_is_no_json(self):
        folder = self.world.folder / "malformed"
        folder.mkdir()
        (folder / "package.json").write_text("{")
        build = self.world.kiln("build", folder, "-t", "kiln/malformed", check=1)
        self.assertIn("package.json is not valid JSON", build.stderr)

    def test_a_dependency_that_does_not_exist_keeps_the_earlier_image(self):
        folder = self.world.folder / "dependency"
        shutil.copytree(SOURCE / "samples/functions/hello-python", folder)
        before = self.world.kiln("build", folder, "-t", "kiln/dependency", check=0).stdout
        (folder / "requirements.txt").write_text("kiln-no-such-package-anywhere==1.0\n")
        build = self.world.kiln("build", folder, "-t", "kiln/dependency", check=1)
        self.assertIn("kiln/python@0.1.0: bin/build failed with exit code", build.stderr)
        self.assertIn("kiln-no-such-package-anywhere", build.stderr)
        shutil.copy(SOURCE / "samples/functions/hello-python/requirements.txt", folder)
        self.assertEqual(self.world.kiln("build", folder, "-t", "kiln/dependency", check=0).stdout, before)

    def test_a_registry_that_is_down(self):
        port = closed_port()
        build = self.world.kiln("build", self.source, "-t", f"localhost:{port}/hello", "--push", check=3)
        self.assertIn(f"localhost:{port}", build.stderr)
        self.assertIn("did not answer", build.stderr)
        run = self.world.run_function(f"file://{self.source}", image=f"localhost:{port}/hello", check=3)
        self.assertIn("build : build exited with code 3", run.stderr)
        self.assert_nothing_deployed()

    def test_an_image_that_is_not_there(self):
        deploy = self.world.kiln("deploy", "--service", "ghost", "--image", self.world.image("ghost"), check=1)
        self.assertIn("revision ghost-00001 failed", deploy.stderr)
        status, body = self.world.ask("ghost")
        self.assertEqual(status, 503)
        self.assertIn("no ready revision", body)
        self.world.kiln("service", "delete", "ghost", check=0)

    def test_an_image_whose_program_ends(self):
        deploy = self.world.kiln("deploy", "--service", "brief", "--image", "kiln/run", check=1)
        self.assertIn("Container failed with: exit code 0", deploy.stderr)
        self.world.kiln("service", "delete", "brief", check=0)

    def test_a_port_in_use(self):
        serve = subprocess.run([KILN, "serve", "--listen", f"127.0.0.1:{self.world.port}"], text=True,
                               capture_output=True, timeout=60,
                               env=dict(self.world.env, XDG_STATE_HOME=str(self.world.folder / "other")))
        self.assertEqual(serve.returncode, 3)
        self.assertIn(f"127.0.0.1:{self.world.port}", serve.stderr)
        self.assertIn("--listen 127.0.0.1:0", serve.stderr)

    def test_a_second_server_on_the_same_folders(self):
        serve = self.world.kiln("serve", "--listen", "127.0.0.1:0", check=3)
        self.assertIn("runs on these folders already", serve.stderr)

    def test_a_page_in_a_browser_cannot_use_the_server(self):
        def ask(**headers):
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.world.port)) as connection:
                connection.request("POST", "/apis/serving.knative.dev/v1/namespaces/default/services", body="{}",
                                   headers=headers)
                return connection.getresponse().status

        port = self.world.port
        self.assertEqual(ask(Host=f"localhost:{port}", Origin="https://evil.example"), 403)
        self.assertEqual(ask(Host=f"rebound.example:{port}"), 403)
        self.assertEqual(ask(Host=f"localhost:{port}", Origin=f"http://localhost:{port}"), 422, "our own page may")
        self.assertEqual(ask(Host=f"127.0.0.1:{port}"), 422, "so may programs")

    def test_no_server(self):
        deploy = self.world.kiln("deploy", "--service", "x", "--image", "kiln/run", "--server",
                                 f"127.0.0.1:{closed_port()}", check=3)
        self.assertIn("no `kiln serve` answers at", deploy.stderr)
        self.assertIn("kiln serve", deploy.stderr)

    def test_missing_params_are_all_listed(self):
        before = self.world.kiln("runs", "list").stdout
        run = self.world.kiln("run", SOURCE / "samples/pipelines/function.yaml", check=2)
        for name in ("url", "image", "service"):
            self.assertIn(f"-p {name}=", run.stderr)
        self.assertEqual(self.world.kiln("runs", "list").stdout, before, "a run was recorded")

    def test_a_file_that_is_not_there(self):
        run = self.world.kiln("run", "no-such.yaml", check=2)
        self.assertIn("there is no file no-such.yaml", run.stderr)

    def test_an_unknown_verb_or_flag(self):
        self.world.kiln("rum", check=2)
        self.world.kiln("build", "--no-such-flag", check=2)

    def test_no_base_images(self):
        env = {"XDG_DATA_HOME": str(self.world.folder / "empty-data")}
        build = self.world.kiln("build", self.source, "-t", "kiln/x", env=env, check=1)
        self.assertIn("kiln stack create", build.stderr)

    def test_a_kernel_without_user_namespaces(self):
        if not shutil.which("setpriv") or not shutil.which("unshare"):
            self.skipTest("needs setpriv and unshare of util-linux")
        home = self.world.folder / "nobody"
        home.mkdir(mode=0o777)
        home.chmod(0o777)
        task = home / "task.yaml"
        task.write_text("apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t}\n"
                        "spec: {steps: [{name: s, image: kiln/run, script: 'true'}]}\n")
        # Inside this user namespace no other can be made, as on a kernel that forbids them.
        script = ("echo 0 > /proc/sys/user/max_user_namespaces && "
                  "exec setpriv --bounding-set=-all --inh-caps=-all " + f"{KILN} --root {home}/root run {task}")
        run = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                              "unshare", "--user", "--map-user=1234", "--keep-caps", "sh", "-c", script],
                             text=True, capture_output=True, timeout=60, env=dict(self.world.env, HOME=str(home)))
        self.assertEqual(run.returncode, 3, run.stderr)
        self.assertIn("user namespaces", run.stderr)
        self.assertIn("max_user_namespaces", run.stderr)

    def test_z_nothing_is_left_behind(self):
        self.world.stop_server()
        self.leftovers.check(self)
        build = pathlib.Path(self.world.env["XDG_CACHE_HOME"]) / "kiln" / "build"
        left = [str(path) for path in build.glob("*/*") if path.name in ("app", "phase", "platform", "unfinished")]
        self.assertEqual(left, [], "a build left its working files")
        self.assertEqual(os.listdir(harness.shared_data() / "kiln" / "store" / "uploads"), [])


if __name__ == "__main__":
    harness.main()

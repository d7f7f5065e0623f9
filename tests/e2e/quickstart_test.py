#!/usr/bin/env python3
"""From a source folder to an answering revision: what samples/quickstart does, asserted."""

import http.client
import json
import pathlib
import subprocess
import threading
import unittest

import harness
from harness import SOURCE, commit, results


class Callers:
    """Asks a service over and over until stopped; counts what was answered and keeps what was not."""

    def __init__(self, world, service, threads=3):
        self.world, self.service = world, service
        self.answers, self.failures = {}, []
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.work) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def work(self):
        while not self.stopping.is_set():
            try:
                status, body = self.world.ask(self.service)
            except OSError as error:
                status, body = 0, repr(error)
            with self.lock:
                if status == 200:
                    self.answers[body] = self.answers.get(body, 0) + 1
                else:
                    self.failures.append((status, body))

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


class Quickstart(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        harness.require("git", "skopeo", "umoci")
        cls.leftovers = harness.Leftovers()
        cls.world = harness.World()
        cls.world.serve()

    @classmethod
    def tearDownClass(cls):
        cls.world.close()

    def test_1_node_function_from_git_to_answer_and_on_to_the_next_revision(self):
        world = self.world
        source = world.repository("hello-node", "node")
        first = harness.git(source, "rev-parse", "HEAD")
        run = world.run_function(f"file://{source}", "hello")
        found = results(run.stdout)
        self.assertEqual(found["commit"], first)
        self.assertEqual(found["IMAGE_URL"], world.image("hello"))
        self.assertRegex(found["IMAGE_DIGEST"], r"^sha256:[0-9a-f]{64}$")
        self.assertEqual(found["revision"], "hello-00001")
        self.assertIn("fetch=Succeeded", run.stderr)
        self.assertIn("deploy=Succeeded", run.stderr)
        self.assertEqual(world.ask("hello"), (200, "Hello, World! (hello-00001)\n"))
        self.assertEqual(world.ask("hello", "/?name=ada+lovelace"), (200, "Hello, Ada Lovelace! (hello-00001)\n"))

        callers = Callers(world, "hello")
        program = source / "index.js"
        program.write_text(program.read_text().replace("'Hello'", "'Good morning'"))
        commit(source, "second")
        again = results(world.run_function(f"file://{source}", "hello").stdout)
        self.assertEqual(world.ask("hello"), (200, "Good morning, World! (hello-00002)\n"))
        callers.stop()
        self.assertEqual(callers.failures, [], "requests were lost while the revision changed")
        self.assertIn("Hello, World! (hello-00001)\n", callers.answers)
        self.assertEqual(again["revision"], "hello-00002")
        self.assertNotEqual(again["IMAGE_DIGEST"], found["IMAGE_DIGEST"])

        service = json.loads(world.kiln("service", "describe", "hello", "-o", "json", check=0).stdout)
        self.assertEqual(service["status"]["latestReadyRevisionName"], "hello-00002")
        self.assertEqual([(t["revisionName"], t["percent"]) for t in service["status"]["traffic"]], [("hello-00002", 100)])
        self.assertEqual({c["type"]: c["status"] for c in service["status"]["conditions"]},
                         {"Ready": "True", "ConfigurationsReady": "True", "RoutesReady": "True"})

    def test_2_the_image_is_what_other_tools_expect(self):
        world = self.world
        layout, bundle = world.folder / "layout", world.folder / "bundle"
        subprocess.run(["skopeo", "copy", "--quiet", "--src-tls-verify=false",
                        f"docker://{world.image('hello')}:latest", f"oci:{layout}:hello"], check=True, env=world.env)
        config = json.loads(subprocess.run(["skopeo", "inspect", "--config", f"oci:{layout}:hello"], check=True,
                                           capture_output=True, text=True).stdout)
        self.assertEqual(config["config"]["Entrypoint"], ["/cnb/process/web"])
        self.assertEqual(config["config"]["User"], "1000:1000")
        self.assertEqual(config["config"]["WorkingDir"], "/workspace")
        self.assertEqual(config["created"], "1980-01-01T00:00:01Z")
        labels = config["config"]["Labels"]
        lifecycle = json.loads(labels["io.buildpacks.lifecycle.metadata"])
        self.assertIn(lifecycle["runImage"]["topLayer"], config["rootfs"]["diff_ids"])
        self.assertEqual(lifecycle["buildpacks"][0]["key"], "kiln/node")
        self.assertEqual(labels["io.buildpacks.base.distro.name"], "debian")
        self.assertEqual(json.loads(labels["io.buildpacks.build.metadata"])["processes"][0]["type"], "web")

        subprocess.run(["umoci", "unpack", "--rootless", "--image", f"{layout}:hello", str(bundle)], check=True,
                       capture_output=True)
        root = bundle / "rootfs"
        self.assertIn("Good morning", (root / "workspace/index.js").read_text())
        self.assertTrue((root / "cnb/lifecycle/launcher").stat().st_mode & 0o111)
        self.assertEqual((root / "cnb/process/web").readlink(), pathlib.Path("/cnb/lifecycle/launcher"))
        self.assertTrue((root / "layers/kiln_node/modules/node_modules/change-case").is_dir())
        self.assertFalse((root / "workspace/.git").exists(), "the repository itself is in the image")

        # Nothing of this machine's network settings may be in the image: not in its configuration …
        text = json.dumps(config)
        for word in ("PROXY", "CA_BUNDLE", "SSL_CERT", "EXTRA_CA", "PIP_", "npm_config", "GOPROXY"):
            self.assertNotIn(word.lower(), text.lower())
        # … and not in its files.
        for name in (".npmrc", "pip.conf"):
            self.assertEqual(list(root.rglob(name)), [], f"{name} is in the image")

    def test_3_the_same_source_gives_the_same_image(self):
        world = self.world
        folder = world.folder / "node"
        names = [world.kiln("build", folder, "-t", f"kiln/same-{i}", check=0).stdout.strip().split("@")[1] for i in (1, 2)]
        self.assertEqual(names[0], names[1])

    def test_4_python_takes_the_same_pipeline(self):
        world = self.world
        source = world.repository("hello-python", "python")
        found = results(world.run_function(f"file://{source}", "greet").stdout)
        self.assertEqual(found["revision"], "greet-00001")
        self.assertEqual(world.ask("greet", "/?name=ada_lovelace"), (200, "Hello, Ada Lovelace! (greet-00001)\n"))

    def test_5_code_that_is_not_pushed(self):
        world = self.world
        folder = world.folder / "unpushed"
        subprocess.run(["cp", "-r", str(SOURCE / "samples/functions/hello-node"), str(folder)], check=True)
        before = sorted(path.name for path in folder.rglob("*"))
        program = folder / "index.js"
        program.write_text(program.read_text().replace("'Hello'", "'Ahoy'"))
        run = world.kiln("run", SOURCE / "samples/pipelines/local.yaml", "-w", "source=.", "-p",
                         f"image={world.image('local')}", check=0, cwd=folder)
        self.assertEqual(results(run.stdout)["revision"], "local-00001")
        self.assertEqual(world.ask("local"), (200, "Ahoy, World! (local-00001)\n"))
        self.assertEqual(sorted(path.name for path in folder.rglob("*")), before, "the user's folder was changed")

    def test_6_a_failing_unit_test_deploys_nothing(self):
        world = self.world
        source = world.folder / "node"
        program = source / "index.js"
        program.write_text(program.read_text().replace("capitalCase(name || 'world')", "'nobody'"))
        commit(source, "broken")
        run = world.run_function(f"file://{source}", "hello", check=1)
        self.assertIn("test : test exited with code 1", run.stderr)
        self.assertIn("not ok", run.stderr)
        self.assertIn("build=None", run.stderr)
        self.assertEqual(world.ask("hello"), (200, "Good morning, World! (hello-00002)\n"))

    def test_7_services_survive_a_restart_and_start_from_zero(self):
        world = self.world
        port = world.port
        world.stop_server()
        world.serve(f"127.0.0.1:{port}")
        self.assertEqual(world.ask("hello"), (200, "Good morning, World! (hello-00002)\n"))
        listing = world.kiln("service", "describe", "hello", check=0).stdout
        self.assertRegex(listing, r"hello-00002 +100 % +Ready +1 ")

    def test_8_many_requests_on_kept_connections(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.world.port)
        for number in range(200):
            connection.request("GET", f"/?name=n{number}", headers={"Host": "hello.default.localhost"})
            answer = connection.getresponse()
            self.assertEqual(answer.status, 200)
            self.assertIn(f"N{number}", answer.read().decode())
        connection.close()

    def test_9_nothing_is_left_behind(self):
        self.world.stop_server()
        self.leftovers.check(self)


if __name__ == "__main__":
    harness.main()

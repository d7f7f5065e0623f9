#!/usr/bin/env python3
"""kiln login and logout against Debian's docker-registry with passwords, in files that skopeo reads."""

import crypt
import json
import os
import pty
import shutil
import socket
import subprocess
import unittest
import urllib.error
import urllib.request

from harness import KILN, World, main


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class LoginTest(unittest.TestCase):
    def setUp(self):
        if not shutil.which("docker-registry"):
            self.skipTest("docker-registry is not installed")
        self.world = World()
        self.addCleanup(self.world.close)
        passwords = self.world.folder / "htpasswd"
        passwords.write_text("ci:" + crypt.crypt("p4ss word", crypt.mksalt(crypt.METHOD_BLOWFISH)) + "\n")
        self.host = f"127.0.0.1:{free_port()}"
        config = self.world.folder / "registry.yml"
        config.write_text(
            "version: 0.1\nlog: {level: error}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.world.folder}/registry}}}}\n"
            f"http: {{addr: '{self.host}'}}\n"
            f"auth: {{htpasswd: {{realm: test, path: {passwords}}}}}\n")
        self.registry = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (self.registry.kill(), self.registry.wait()))
        self.wait_until_it_answers()
        self.auth = self.world.folder / "auth.json"
        self.world.env["REGISTRY_AUTH_FILE"] = str(self.auth)

    def wait_until_it_answers(self):
        while True:
            self.assertIsNone(self.registry.poll(), "docker-registry ended")
            try:
                urllib.request.urlopen(f"http://{self.host}/v2/")
            except urllib.error.HTTPError:
                return
            except OSError:
                os.sched_yield()

    def login(self, password, user="ci", **options):
        done = subprocess.run([KILN, "login", self.host, "-u", user, "--password-stdin"], input=password, text=True,
                              env=self.world.env, capture_output=True, timeout=60)
        return done

    def test_right_credentials_are_kept_for_everybody_and_can_be_forgotten(self):
        done = self.login("p4ss word\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.auth.stat().st_mode & 0o077, 0)
        self.world.kiln("image", "pull", "kiln/run")
        self.world.kiln("image", "push", "kiln/run", f"docker://{self.host}/run:1", check=0)
        if shutil.which("skopeo"):
            subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://{self.host}/run:1"], check=True,
                           env=self.world.env, stdout=subprocess.DEVNULL)
        self.world.kiln("logout", self.host, check=0)
        self.assertNotIn(self.host, json.loads(self.auth.read_text()).get("auths", {}))
        self.assertEqual(self.world.kiln("logout", self.host).returncode, 1)

    def test_wrong_credentials_are_not_kept(self):
        done = self.login("wrong")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("refuses these credentials", done.stderr)
        self.assertNotIn("wrong", done.stderr)
        self.assertFalse(self.auth.exists())

    def test_a_terminal_is_asked_and_shows_no_password(self):
        child, terminal = pty.fork()
        if child == 0:
            os.execve(KILN, [KILN, "login", self.host, "-u", "ci"], self.world.env)
        shown = b""
        while b"password: " not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, b"p4ss word\n")
        try:
            while piece := os.read(terminal, 1024):
                shown += piece
        except OSError:  # the other end is closed
            pass
        os.close(terminal)
        _, status = os.waitpid(child, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0, shown)
        self.assertNotIn(b"p4ss", shown)
        self.assertIn(self.host, self.auth.read_text())

    def test_what_is_no_host_and_no_password_are_said_so(self):
        self.assertEqual(self.world.kiln("login", "not a host", "-u", "ci", "--password-stdin").returncode, 2)
        self.assertEqual(self.login("").returncode, 2)


if __name__ == "__main__":
    main()

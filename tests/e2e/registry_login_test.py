#!/usr/bin/env python3
"""kiln's own commands against registries with TLS and passwords: Debian's docker-registry, and `kiln serve` with rights.

What is wrong (password, certificate, rights) is one error that says what to do, and nothing half done.
"""

import json
import re
import shutil
import subprocess
import unittest

import harness
from registry_peers import RULES, DockerRegistry, make_certificate, make_users

class Commands:
    """The tests for both registries; `self.host` is one that alice may use, `self.authority` its certificate's file."""

    def prepare(self):
        harness.require("openssl")
        self.world = harness.World()
        self.addCleanup(self.world.close)
        self.folder = self.world.folder
        self.world.env.update(XDG_DATA_HOME=str(self.folder / "data"), HOME=str(self.folder / "home"),
                              REGISTRY_AUTH_FILE=str(self.folder / "auth.json"))
        config = self.folder / "config/kiln"
        config.mkdir(parents=True)
        self.users = config / "users"
        make_users(self.users)
        self.tls = self.authority, _ = make_certificate(self.folder / "certs")

    def trust(self):
        self.world.env["SSL_CERT_FILE"] = str(self.authority)

    def login(self, user, password=None):
        return subprocess.run([harness.KILN, "login", self.host, "-u", user, "--password-stdin"], env=self.world.env,
                              input=password or f"{user}-secret", text=True, capture_output=True, timeout=60)

    def log_in(self, user):
        done = self.login(user)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def kiln(self, *words, check=0):
        return self.world.kiln("image", *words, check=check)

    def image(self):
        """An image of three blobs in kiln's own store, under the name `hello`."""
        layout = self.folder / "layout"
        harness.require("umoci")
        (self.folder / "file").write_text("hello")
        for words in (("init", "--layout", layout), ("new", "--image", f"{layout}:v1"),
                      ("insert", "--image", f"{layout}:v1", self.folder / "file", "/file")):
            subprocess.run(["umoci", *words], check=True, capture_output=True)
        self.kiln("copy", f"oci:{layout}:v1", "hello")
        return json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]

    def failure(self, *words, says, hint):
        self.one_error(self.world.kiln(*words), says, hint)

    def one_error(self, done, says, hint):
        """One error, of one line and its hint; no password in it. Lines about blobs that moved before may stand above."""
        self.assertEqual(done.returncode, 3, done.stderr)
        lines = [line for line in done.stderr.strip().splitlines() if not re.match(r"[0-9a-f]{12} (config|layer) ", line)]
        self.assertEqual(len(lines), 2, done.stderr)
        self.assertRegex(lines[0], f"^kiln: (cannot .*: )?registry {self.host} {says}")
        self.assertRegex(lines[1], f"^  hint: .*{hint}")
        self.assertNotIn("secret", done.stderr)
        self.assertEqual(done.stdout, "")

    def test_what_was_pushed_is_pulled_copied_and_inspected(self):
        self.trust()
        digest = self.image()
        self.log_in("alice")
        self.kiln("push", "hello", f"docker://{self.host}/team/app:v1")
        self.kiln("copy", f"docker://{self.host}/team/app:v1", f"docker://{self.host}/team/copied:v2")
        said = self.kiln("inspect", f"docker://{self.host}/team/copied:v2").stdout
        self.assertIn(digest, said)
        self.kiln("rm", "hello")
        self.kiln("gc", "--grace", "0s")
        self.assertIn(digest, self.kiln("pull", f"{self.host}/team/copied:v2").stdout)
        self.kiln("copy", f"docker://{self.host}/team/app:v1", f"oci:{self.folder}/back:v1")
        subprocess.run(["umoci", "unpack", "--rootless", "--image", f"{self.folder}/back:v1", self.folder / "bundle"],
                       check=True, capture_output=True)
        self.assertEqual((self.folder / "bundle/rootfs/file").read_text(), "hello")

    def test_a_certificate_is_found_where_docker_and_podman_look(self):
        self.image()
        place = self.folder / "config/containers/certs.d" / self.host
        place.mkdir(parents=True)
        shutil.copy(self.authority, place / "ca.crt")
        self.log_in("alice")
        self.kiln("push", "hello", f"docker://{self.host}/team/app:v1")

    def test_a_certificate_of_somebody_else_is_refused(self):
        self.image()
        stranger, _ = make_certificate(self.folder / "stranger")
        place = f"certs.d/{self.host}/ca.crt"
        for file in (None, stranger):
            if file:
                self.world.env["SSL_CERT_FILE"] = str(file)
            for words in (("push", "hello", f"docker://{self.host}/team/app:v1"), ("pull", f"{self.host}/team/app:v1"),
                          ("inspect", f"docker://{self.host}/team/app:v1"),
                          ("copy", "hello", f"docker://{self.host}/team/app:v1")):
                self.failure("image", *words, says="is not trusted: .*certificate", hint=place)
            self.one_error(self.login("alice"), says="is not trusted: .*certificate", hint=place)
        self.assertFalse((self.folder / "auth.json").exists())

    def test_a_wrong_password_is_refused_and_not_kept(self):
        self.trust()
        self.image()
        done = self.login("alice", "not-the-secret")
        self.one_error(done, "refuses these credentials", "check user and password")
        self.assertFalse((self.folder / "auth.json").exists())
        self.log_in("alice")
        subprocess.run(["htpasswd", "-Bb", self.users, "alice", "another"], check=True, capture_output=True)
        self.failure("image", "push", "hello", f"docker://{self.host}/team/app:v1", says="does not let push to team/app",
                     hint=f"kiln login {self.host}")

    def test_without_a_login_the_next_step_is_to_log_in(self):
        self.trust()
        self.image()
        for words in (("push", "hello", f"docker://{self.host}/team/app:v1"), ("pull", f"{self.host}/team/app:v1"),
                      ("inspect", f"docker://{self.host}/team/app:v1")):
            doing = "push to" if words[0] == "push" else "pull from"
            self.failure("image", *words, says=f"does not let {doing} team/app", hint=f"kiln login {self.host}")


class AgainstDockerRegistry(Commands, unittest.TestCase):
    def setUp(self):
        self.prepare()
        self.peer = DockerRegistry(self.folder / "peer", self.tls, self.users)
        self.addCleanup(self.peer.close)
        self.host = self.peer.host


class AgainstKilnServe(Commands, unittest.TestCase):
    def setUp(self):
        self.prepare()
        (self.users.parent / "config.toml").write_text(RULES)
        # Another store than the one of the commands, so that the blobs really move.
        self.server = harness.World()
        self.addCleanup(self.server.close)
        self.server.env.update(self.world.env, XDG_DATA_HOME=str(self.server.folder / "data"))
        self.server.serve(arguments=("--tls-cert", self.tls[0], "--tls-key", self.tls[1]))
        self.host = f"localhost:{self.server.port}"

    def test_who_may_only_pull_is_told_so(self):
        self.trust()
        digest = self.image()
        self.log_in("alice")
        self.kiln("push", "hello", f"docker://{self.host}/team/app:v1")
        self.failure("image", "push", "hello", f"docker://{self.host}/other/app:v1", says="does not let push to other/app", hint="name")
        self.log_in("bob")
        self.assertIn(digest, self.kiln("pull", f"{self.host}/team/app:v1").stdout)
        self.failure("image", "push", "hello", f"docker://{self.host}/team/app:v2", says="does not let push to team/app", hint="name")
        self.failure("image", "pull", f"{self.host}/other/app:v1", says="does not let pull from other/app", hint="name")
        self.failure("image", "copy", f"docker://{self.host}/team/app:v1", f"docker://{self.host}/team/copy:v1",
                     says="does not let push to team/copy", hint="name")


if __name__ == "__main__":
    harness.main()

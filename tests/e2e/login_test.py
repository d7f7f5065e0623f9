#!/usr/bin/env python3
"""kiln login and logout against Debian's docker-registry with passwords, in files that skopeo reads; and runs whose
images need a Secret."""

import base64
import crypt
import json
import shutil
import subprocess
import unittest

from harness import KILN, Terminal, World, main
from registry_peers import RULES, DockerRegistry, make_users

RUN = """
apiVersion: v1
kind: Secret
metadata: {name: registry}
type: kubernetes.io/dockerconfigjson
stringData:
  .dockerconfigjson: '%s'
---
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: private}
spec:
  podTemplate: {imagePullSecrets: [{name: registry}]}
  taskSpec:
    steps: [{name: s, image: %s, script: "echo it ran"}]
"""


class LoginTest(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)
        passwords = self.world.folder / "htpasswd"
        passwords.write_text("ci:" + crypt.crypt("p4ss word", crypt.mksalt(crypt.METHOD_BLOWFISH)) + "\n")
        registry = DockerRegistry(self.world.folder / "registry", users=passwords)
        self.addCleanup(registry.close)
        self.host = registry.host
        self.auth = self.world.folder / "auth.json"
        self.world.env["REGISTRY_AUTH_FILE"] = str(self.auth)

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
        terminal = Terminal(self, [KILN, "login", self.host, "-u", "ci"], self.world.env)
        shown = terminal.until("password: ")
        terminal.type("p4ss word\n")
        shown += terminal.rest()
        self.assertEqual(terminal.ended(), 0, shown)
        self.assertNotIn("p4ss", shown)
        self.assertIn(self.host, self.auth.read_text())

    def test_what_is_no_host_and_no_password_are_said_so(self):
        self.assertEqual(self.world.kiln("login", "not a host", "-u", "ci", "--password-stdin").returncode, 2)
        self.assertEqual(self.login("").returncode, 2)


class PullSecrets(unittest.TestCase):
    """A TaskRun whose image lies in a `kiln serve` with users, which gives bearer tokens."""

    def setUp(self):
        self.server, self.world = World(), World()
        for world in (self.server, self.world):
            self.addCleanup(world.close)
        config = self.server.folder / "config/kiln"
        config.mkdir(parents=True)
        (config / "config.toml").write_text(RULES)
        make_users(config / "users")
        self.server.env["XDG_DATA_HOME"] = str(self.server.folder / "data")
        self.host = f"localhost:{self.server.serve()}"
        self.image = f"{self.host}/team/run:v1"
        auth = self.world.folder / "alice.json"
        auth.write_text(self.configuration("alice", "alice-secret"))
        self.world.kiln("image", "push", "kiln/run", f"docker://{self.image}", check=0, env={"REGISTRY_AUTH_FILE": str(auth)})
        # Another store, so that the image has to be pulled.
        self.world.env.update(XDG_DATA_HOME=str(self.world.folder / "data"), HOME=str(self.world.folder / "home"))

    def configuration(self, user, password):
        return json.dumps({"auths": {self.host: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}}})

    def run_with(self, user, password, check):
        file = self.world.folder / "run.yaml"
        file.write_text(RUN % (self.configuration(user, password), self.image))
        return self.world.kiln("run", file, check=check).stderr

    def test_the_one_who_may_pull_gets_it(self):
        self.assertIn("it ran", self.run_with("bob", "bob-secret", 0))

    def test_a_wrong_one_is_one_error_without_the_password(self):
        said = self.run_with("bob", "not-the-secret", 3)
        self.assertIn(f"registry {self.host} does not let pull from team/run", said)
        self.assertNotIn("not-the-secret", said)

    def test_none_is_not_enough(self):
        file = self.world.folder / "run.yaml"
        file.write_text((RUN % ("{}", self.image)).replace("podTemplate: {imagePullSecrets: [{name: registry}]}", ""))
        self.assertIn("does not let pull from team/run", self.world.kiln("run", file, check=3).stderr)


if __name__ == "__main__":
    main()

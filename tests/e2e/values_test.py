#!/usr/bin/env python3
"""ConfigMaps, Secrets and credentials in real sandboxes: what a step sees of them, and what is left of them."""

import os
import pathlib
import subprocess
import tempfile
import unittest

from harness import KILN, environment, main, require_sandboxes

OBJECTS = """
apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {user: bob, password: "p$(HOME)x"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: words}
data: {greeting: hello, other: world}
---
"""

ACCOUNT = """
apiVersion: v1
kind: Secret
type: kubernetes.io/basic-auth
metadata: {name: forge, annotations: {tekton.dev/git-0: "https://forge.example"}}
stringData: {username: bob, password: "s3cr3t-w0rd"}
---
apiVersion: v1
kind: Secret
type: kubernetes.io/ssh-auth
metadata: {name: key, annotations: {tekton.dev/git-0: "ssh.example"}}
stringData: {ssh-privatekey: "PRIVATE"}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: bot}
secrets: [{name: forge}, {name: key}]
---
"""


def task_run(spec, run=""):
    return ("apiVersion: tekton.dev/v1\nkind: TaskRun\nmetadata: {generateName: t-}\nspec:\n" + run +
            "  taskSpec:\n" + spec)


def private_folders(root):
    """Folders in memory that runs below `root` have made; other tests have theirs there, too."""
    top = pathlib.Path(f"/dev/shm/kiln-{os.geteuid()}")
    return [mark.parent for mark in top.glob("*/for") if root in mark.readlink().parents]


class Values(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        probe = cls.run_text(cls, task_run("    steps: [{image: host, script: 'true'}]\n"))
        require_sandboxes(probe)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_text(self, text, *flags):
        file = self.root / "run.yaml"
        file.write_text(text)
        return subprocess.run([KILN, "--root", str(self.root / "root"), "run", str(file), "--allow-host", *flags],
                              env=environment(XDG_RUNTIME_DIR="", NO_COLOR="1"), text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=120)

    def test_the_summary_says_how_a_step_ended(self):
        for step, said in (
                ("image: no/such-image-of-kiln, imagePullPolicy: Never, command: ['true']", "failed: the image"),
                ("image: host, command: [no-such-program]", ": s exited with code 127: not found in PATH"),
                ("image: host, command: [sleep, '1000'], timeout: 50ms", ": s exited with code 143: exceeded its timeout"),
                ("image: host, script: exit 3", ": s exited with code 3")):
            summary = self.run_text(task_run("    steps: [{name: s, " + step + "}]\n")).stderr.split("\n\n")[-1]
            self.assertIn(said, summary)
            self.assertEqual("exited with code" in said, "exited with code" in summary, summary)
            self.assertNotIn("its last lines", summary, "there are none")

    def test_a_workspace_that_is_not_there_is_found_before_anything_runs(self):
        (self.root / "afile").touch()
        text = task_run("    workspaces: [{name: w}]\n    steps: [{image: host, script: 'echo it ran'}]\n")
        for given, said in ((f"{self.root}/typo/deep", "there is no folder"), (f"{self.root}/afile", "is no folder"),
                            ("zip=a", "there is no folder")):
            done = self.run_text(text, "-w", "w=" + given)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(said, done.stderr)
            self.assertNotIn("it ran", done.stdout + done.stderr)
        self.assertFalse((self.root / "typo").exists())

    def output(self, text, *flags, code=0):
        done = self.run_text(text, *flags)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_variables_come_from_objects(self):
        out = self.output(OBJECTS + task_run("""
    steps:
    - image: host
      envFrom: [{prefix: W_, configMapRef: {name: words}}, {secretRef: {name: nowhere, optional: true}}]
      env:
      - {name: PASSWORD, valueFrom: {secretKeyRef: {name: login, key: password}}}
      - {name: LINE, value: "$(W_greeting) $(PASSWORD)"}
      - {name: NONE, valueFrom: {configMapKeyRef: {name: words, key: nothing, optional: true}}}
      args: ["$(PASSWORD)"]
      script: |
        echo "<$LINE> <$1> <${NONE-unset}>" | tr x y
"""))
        self.assertIn("<hello p$(HOME)y> <p$(HOME)y> <unset>", out)

    def test_volumes_are_made_of_objects(self):
        out = self.output(OBJECTS + task_run("""
    params: [{name: which, default: login}]
    volumes:
    - {name: s, secret: {secretName: $(params.which), defaultMode: 0400}}
    - {name: c, configMap: {name: words, items: [{key: greeting, path: deep/file, mode: 0755}]}}
    - {name: none, configMap: {name: nowhere, optional: true}}
    - name: all
      projected: {sources: [{secret: {name: login}}, {configMap: {name: words}}]}
    steps:
    - image: host
      securityContext: {runAsUser: 1234, runAsGroup: 1234}
      volumeMounts:
      - {name: s, mountPath: /tmp/s}
      - {name: c, mountPath: /tmp/c}
      - {name: none, mountPath: /tmp/none}
      - {name: all, mountPath: /tmp/all}
      - {name: s, mountPath: /tmp/one, subPath: user}
      script: |
        echo "<$(cat /tmp/s/user)> <$(cat /tmp/c/deep/file)> <$(cat /tmp/one)> <$(ls /tmp/all | tr '\\n' ' ')>"
        stat -c '<%a>' /tmp/c/deep/file
        test -z "$(ls /tmp/none)"
        if echo x > /tmp/c/deep/file; then exit 9; fi
"""))
        self.assertIn("<bob> <hello> <bob> <greeting other password user >", out)
        self.assertIn("<755>", out)

    def test_workspaces_are_made_of_objects(self):
        spec = """
    workspaces: [{name: w}]
    steps:
    - image: host
      script: |
        echo "<$(cat $(workspaces.w.path)/*)>" | tr x y
        if touch $(workspaces.w.path)/new; then exit 9; fi
"""
        projected = """  workspaces:
  - name: w
    projected: {sources: [{secret: {name: login, items: [{key: user, path: u}]}}]}
"""
        self.assertIn("<bob>", self.output(OBJECTS + task_run(spec, projected)))
        self.assertIn("<helloworld>", self.output(OBJECTS + task_run(spec), "-w", "w=config=words"))
        self.assertIn("<p$(HOME)ybob>", self.output(OBJECTS + task_run(spec), "-w", "w=secret=login"))
        missing = self.output(OBJECTS + task_run(spec), "-w", "w=secret=logn", code=2)
        self.assertIn('Secret "logn" is not among the documents loaded', missing)
        self.assertIn("did you mean `login`?", missing)

    def test_what_is_missing_is_found_before_anything_starts(self):
        step = "    steps:\n    - {image: host, script: 'echo started', env: [{name: X, valueFrom: {%s}}]}\n"
        for ref, said in (("secretKeyRef: {name: nowhere, key: k}", 'Secret "nowhere" is not among'),
                          ("secretKeyRef: {name: login, key: pasword}", "did you mean `password`?"),
                          ("configMapKeyRef: {name: words, key: x}", 'ConfigMap "words" has no key "x"'),
                          ("fieldRef: {fieldPath: spec.hostname}", "is no field that a variable can have")):
            out = self.output(OBJECTS + task_run(step % ref), code=2)
            self.assertIn(said, out)
            self.assertIn("run.yaml:", out)
            self.assertIn("nothing was run", out)

    def test_no_file_of_a_volume_leaves_it(self):
        out = self.output(OBJECTS + task_run("""
    volumes: [{name: s, secret: {secretName: login, items: [{key: user, path: ../x}]}}]
    steps: [{image: host, script: 'echo started', volumeMounts: [{name: s, mountPath: /tmp/s}]}]
"""), code=2)
        self.assertIn('invalid path "../x"', out)
        out = self.output(OBJECTS + task_run("""
    params: [{name: up, default: ".."}]
    volumes: [{name: s, secret: {secretName: login, items: [{key: user, path: $(params.up)/x}]}}]
    steps: [{image: host, script: 'echo started', volumeMounts: [{name: s, mountPath: /tmp/s}]}]
"""), code=2)
        self.assertIn('invalid path "../x"', out)

    def test_host_paths_need_their_flag(self):
        shared = self.root / "shared"
        shared.mkdir(exist_ok=True)
        (shared / "file").write_text("from the host\n")
        outside = self.root / "outside"
        outside.mkdir(exist_ok=True)
        if not (shared / "link").is_symlink():
            (shared / "link").symlink_to(outside)

        def run_of(path):
            return task_run(f"""
    volumes: [{{name: h, hostPath: {{path: {path}}}}}]
    steps: [{{image: host, script: 'cat /tmp/h/file', volumeMounts: [{{name: h, mountPath: /tmp/h}}]}}]
""")
        self.assertIn("--allow-host-path", self.output(run_of(shared), code=2))
        self.assertIn("from the host", self.output(run_of(shared), "--allow-host-path", str(shared)))
        self.assertIn("was not allowed", self.output(run_of(outside), "--allow-host-path", str(shared), code=1))
        self.assertIn("was not allowed",
                      self.output(run_of(shared / "link"), "--allow-host-path", str(shared), code=1))

    def test_privileges_need_their_flag(self):
        def run_of(context, script):
            return task_run(f"    steps: [{{image: host, securityContext: {context}, script: \"{script}\"}}]\n")

        mount = "mount -t tmpfs none /mnt && echo mounted"
        self.assertIn("--allow-privileged", self.output(run_of("{privileged: true}", mount), code=2))
        self.assertIn("mounted", self.output(run_of("{privileged: true}", mount), "--allow-privileged"))
        admin = "{capabilities: {add: [SYS_ADMIN]}}"
        self.assertIn("--allow-privileged", self.output(run_of(admin, "true"), code=1))
        none = self.output(run_of("{runAsUser: 0, capabilities: {drop: [ALL], add: [CHOWN]}, allowPrivilegeEscalation: false}",
                                  "grep CapEff /proc/self/status"))
        self.assertIn("CapEff:\t0000000000000001", none)
        self.assertIn("runAsNonRoot", self.output(run_of("{runAsNonRoot: true, runAsUser: 0}", "true"), code=1))
        self.assertIn("uid=7", self.output(run_of("{runAsNonRoot: true, runAsUser: 7}", "id")))

    def test_credentials_are_where_programs_look_for_them(self):
        out = self.output(ACCOUNT + task_run("""
    steps:
    - image: host
      securityContext: {runAsUser: 1234}
      script: |
        cd $HOME
        stat -c '<%n %a %u>' .git-credentials .ssh/id_key $(credentials.path)/.ssh/id_key
        git config --global --add safe.directory '*'
        printf 'protocol=https\\nhost=forge.example\\n\\n' | git credential fill | grep -c s3cr3t
        grep -c 'StrictHostKeyChecking accept-new' .ssh/config
        test ! -e .docker
        env | grep -c s3cr3t || echo "<none in env>"
""", "  serviceAccountName: bot\n"))
        for line in ("<.git-credentials 600 1234>", "<.ssh/id_key 600 1234>", "</tekton/creds/.ssh/id_key 600 1234>",
                     "<none in env>"):
            self.assertIn(line, out)
        self.assertNotIn("s3cr3t-w0rd", out)

    def test_a_file_that_is_there_stays(self):
        out = self.output(ACCOUNT + task_run("""
    steps:
    - {image: host, env: [{name: HOME, value: /workspace/home}], script: 'true'}
    - {image: host, script: 'rm /workspace/home/.gitconfig; echo mine > /workspace/home/.gitconfig'}
    - {image: host, env: [{name: HOME, value: /workspace/home}], script: 'cat $HOME/.gitconfig'}
""", "  serviceAccountName: bot\n"))
        self.assertIn(": unnamed-2] mine", out)

    def test_nothing_is_left_of_secrets(self):
        self.output(ACCOUNT + OBJECTS + task_run("""
    volumes: [{name: s, secret: {secretName: login}}]
    steps: [{image: host, script: 'test -e $HOME/.gitconfig; exit 3', volumeMounts: [{name: s, mountPath: /tmp/s}]}]
""", "  serviceAccountName: bot\n"), code=1)
        self.assertEqual(private_folders(self.root), [])
        runs = self.root / "root" / "state" / "runs"
        self.assertEqual([path for path in runs.rglob("*") if path.name in ("private", ".git-credentials", "user")], [])


if __name__ == "__main__":
    main()

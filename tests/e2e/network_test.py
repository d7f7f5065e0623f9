#!/usr/bin/env python3
"""What steps reach under --network host, private and none, inside a network made for the test."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import harness
from harness import KILN

USER = 54322  # an id that nobody has
FAR, NEAR = "10.92.0.1", "127.0.0.1"  # another network of the machine; its loopback

# Run in a network namespace of its own: two links, a server on each address that greets, then the command.
MACHINE = f"""
import os, socket, stat, subprocess, sys, threading
for words in ("link set lo up", "link add out0 type veth peer name far0", "addr add 10.91.0.2/24 dev out0",
              "addr add {FAR}/32 dev far0", "link set out0 up", "link set far0 up", "route add default via 10.91.0.1"):
    subprocess.run(["ip", *words.split()], check=True)

def greet(server):
    while True:
        server.accept()[0].sendall(b"hello")

for address, port in (("{FAR}", 7001), ("{NEAR}", 7002)):
    server = socket.create_server((address, port))
    threading.Thread(target=greet, args=(server,), daemon=True).start()
# Where only root may make tunnels, as on some virtual machines, the test's user may all the same.
subprocess.run(["mount", "-t", "tmpfs", "none", "/dev/net"], check=True)
os.mknod("/dev/net/tun", stat.S_IFCHR, os.makedev(10, 200))
os.chmod("/dev/net/tun", 0o666)
raise SystemExit(subprocess.run(sys.argv[1:]).returncode)
"""

LOOK = """
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {generateName: look-}
spec:
  taskSpec:
    results: [{name: seen}]
    steps:
    - name: look
      image: kiln/build
      script: |
        #!/usr/bin/env python3
        import socket
        seen = []
        for address, port in (("10.92.0.1", 7001), ("127.0.0.1", 7002)):
            try:
                seen.append(socket.create_connection((address, port), 5).recv(5).decode())
            except OSError as error:
                seen.append("no")
        open("$(results.seen.path)", "w").write(" ".join(seen))
    - name: same
      image: kiln/build
      script: |
        tail -n +3 /proc/net/dev | cut -d: -f1 | xargs echo links
"""

WAIT = """
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {generateName: wait-}
spec:
  taskSpec:
    steps:
    - {name: wait, image: kiln/build, script: "echo waiting; sleep 41003"}
"""


def pastas():
    """Processes of pasta that serve this test's links."""
    found = set()
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if b"pasta\\0" in (entry / "cmdline").read_bytes().replace(b"\0", b"\\0"):
                found.add(int(entry.name))
        except OSError:
            pass
    return found


class Networks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("a network for the test needs root")
        for program, package in (("ip", "iproute2"), ("pasta", "passt"), ("setpriv", "util-linux")):
            if not shutil.which(program):
                raise unittest.SkipTest(f"{program} is not installed (apt-get install {package})")
        cls.world = harness.World()
        world = cls.world
        for name, text in (("look.yaml", LOOK), ("wait.yaml", WAIT), ("machine.py", MACHINE)):
            (world.folder / name).write_text(text)
        cls.program = world.folder / "kiln"  # an ordinary user may not look where the build is
        shutil.copy(KILN, cls.program)

    @classmethod
    def tearDownClass(cls):
        cls.world.close()

    def command(self, *words, user=None):
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        return ["unshare", "--net", "--mount", sys.executable, str(self.world.folder / "machine.py"), *become, str(self.program),
                *map(str, words)]

    def seen(self, network, user=None, path=None):
        env = dict(self.world.env, HOME=str(self.world.folder), **({"PATH": path} if path else {}))
        if user:
            memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # images are unpacked anew for this user
            own, store = pathlib.Path(tempfile.mkdtemp(prefix="kiln-e2e-", dir=memory)), harness.shared_data() / "kiln" / "store"
            self.addCleanup(shutil.rmtree, own, ignore_errors=True)
            (own / "kiln" / "store").mkdir(parents=True)
            for name in ("oci-layout", "index.json", "blobs"):
                subprocess.run(["cp", "-a", "--reflink=auto", str(store / name), str(own / "kiln/store" / name)], check=True)
            env.update(XDG_STATE_HOME=str(own), XDG_DATA_HOME=str(own))
            subprocess.run(["chown", "-R", f"{user}:{user}", str(self.world.folder), str(own)], check=True)
        done = subprocess.run(self.command("run", "look.yaml", "--network", network, user=user), cwd=self.world.folder,
                              env=env, text=True, capture_output=True, timeout=300, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return harness.results(done.stdout)["seen"], done.stderr

    def test_1_the_hosts_network_is_all_there(self):
        self.assertEqual(self.seen("host")[0], "hello hello")

    def test_2_a_private_one_leads_out_but_not_to_the_machines_loopback(self):
        before = pastas()
        seen, said = self.seen("private")
        self.assertEqual(seen, "hello no")
        self.assertRegex(said, r"links .*out0")  # the second step is in the same network
        self.assertEqual(pastas() - before, set())

    def test_3_without_pasta_it_leads_nowhere_and_says_so(self):
        folder = self.world.folder / "bin"
        folder.mkdir()
        for program in ("ip", "mount", "setpriv", "unshare"):
            (folder / program).symlink_to(shutil.which(program))
        seen, said = self.seen("private", path=str(folder))
        self.assertEqual(seen, "no no")
        self.assertIn("pasta is not installed", said)

    def test_4_none_is_none(self):
        self.assertEqual(self.seen("none")[0], "no no")

    def test_5_nothing_is_left_when_kiln_is_killed(self):
        before = pastas()
        run = subprocess.Popen(self.command("run", "wait.yaml", "--network", "private", "--progress", "plain"),
                               cwd=self.world.folder, env=self.world.env, stderr=subprocess.PIPE, text=True,
                               stdin=subprocess.DEVNULL)
        self.addCleanup(run.stderr.close)
        for line in run.stderr:
            if "waiting" in line:
                break
        self.assertTrue(pastas() - before)
        program = str(self.program)
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit() and os.path.exists(entry / "exe") and os.readlink(entry / "exe") == program:
                os.kill(int(entry.name), signal.SIGKILL)
        run.wait(timeout=60)
        harness.until(lambda: not pastas() - before, "pasta ends with kiln", 10)

    def test_6_an_ordinary_user_has_the_same(self):
        self.assertEqual(self.seen("private", user=USER)[0], "hello no")


if __name__ == "__main__":
    harness.main()

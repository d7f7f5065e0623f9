"""What the end-to-end tests share: folders of their own, a server, runs, and a look at what is left behind.

Base images are made once per build folder (or copied from the user's store when they are there) and shared;
runs, services and caches are fresh for every test class.
"""

import contextlib
import os
import pathlib
import pty
import re
import secrets
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

SOURCE = pathlib.Path(__file__).resolve().parents[2]
KILN = os.environ.get("KILN", str(SOURCE / "build" / "kiln"))
SKIPPED = 77  # what ctest takes for "skipped"


def environment(**more):
    """This process's environment without anything that steers kiln, and `more`."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("KILN")}
    env.update({k: str(v) for k, v in more.items()})
    return env


def shared_data():
    """A data folder (XDG_DATA_HOME) with the base images in its store."""
    data = pathlib.Path(KILN).resolve().parent / "e2e-data"
    data.mkdir(exist_ok=True)
    own = pathlib.Path(os.environ.get("XDG_DATA_HOME", os.path.expanduser("~/.local/share"))) / "kiln" / "store"
    store = data / "kiln" / "store"
    if not store.exists() and own.joinpath("index.json").exists():
        store.mkdir(parents=True)
        for name in ("oci-layout", "index.json", "blobs"):
            subprocess.run(["cp", "-a", "--reflink=auto", str(own / name), str(store / name)], check=True)
    with tempfile.TemporaryDirectory() as cache:
        subprocess.run([KILN, "stack", "create"], check=True, stdout=subprocess.DEVNULL,
                       env=environment(XDG_DATA_HOME=data, XDG_CACHE_HOME=cache, XDG_STATE_HOME=cache))
    return data


class World:
    """Folders, and the commands that run on them."""

    def __init__(self):
        # Some peers name images after the folder they are in: a name that may be part of a reference.
        self.folder = pathlib.Path(tempfile.gettempdir(), f"kiln-e2e-{secrets.token_hex(8)}")
        self.folder.mkdir()
        self.folder.chmod(0o755)
        self.env = environment(XDG_DATA_HOME=shared_data(), XDG_STATE_HOME=self.folder / "state",
                               XDG_CACHE_HOME=self.folder / "cache", XDG_CONFIG_HOME=self.folder / "config",
                               XDG_RUNTIME_DIR="", NO_COLOR="1", no_proxy="*")
        self.server = None
        self.port = None

    def kiln(self, *arguments, check=None, timeout=300, **options):
        """Runs kiln to its end; `check` is the exit code that is expected."""
        env = dict(self.env, **options.pop("env", {}))
        done = subprocess.run([KILN, *map(str, arguments)], env=env, text=True, capture_output=True,
                              timeout=timeout, stdin=subprocess.DEVNULL, **options)
        if check is not None and done.returncode != check:
            raise AssertionError(f"kiln {' '.join(map(str, arguments))}: exit code {done.returncode}, "
                                 f"{check} was expected\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}")
        return done

    def serve(self, listen="127.0.0.1:0", prefix=(), arguments=()):
        log = open(self.folder / "serve.log", "a+", encoding="utf-8")
        self.server = subprocess.Popen([*prefix, KILN, "serve", "--listen", listen, *map(str, arguments)], env=self.env, stderr=subprocess.PIPE,
                                       stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True)
        for line in self.server.stderr:
            log.write(line)
            found = re.match(r"kiln serve: https?://\S+:(\d+)/", line)
            if found:
                self.port = int(found.group(1))
                break
        else:
            raise AssertionError("kiln serve ended: " + (self.folder / "serve.log").read_text())

        def drain(stream):
            with stream, log:
                for rest in stream:
                    log.write(rest)
                    log.flush()

        threading.Thread(target=drain, args=(self.server.stderr,), daemon=True).start()
        return self.port

    def stop_server(self, number=signal.SIGTERM):
        if self.server:
            self.server.send_signal(number)
            self.server.wait(timeout=60)
            self.server = None

    def image(self, name):
        return f"localhost:{self.port}/{name}"

    def ask(self, service, path="/", timeout=60, data=None, headers=None):
        """The status and body of a request to a service, by its Host name."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data,
                                         headers={"Host": f"{service}.default.localhost:{self.port}", **(headers or {})})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def repository(self, sample, name="source"):
        """A git repository with a sample function, one commit."""
        folder = self.folder / name
        shutil.copytree(SOURCE / "samples" / "functions" / sample, folder)
        git(folder, "init", "-q", "-b", "main")
        commit(folder, "first")
        return folder

    def run_function(self, url, service="hello", check=0, **params):
        params = {"url": url, "image": self.image(service), "service": service, **params}
        flags = [word for key, value in params.items() for word in ("-p", f"{key}={value}")]
        return self.kiln("run", SOURCE / "samples/pipelines/function.yaml", *flags, check=check)

    def close(self):
        self.stop_server()
        shutil.rmtree(self.folder, ignore_errors=True)


def until(condition, what, timeout=60):
    """Waits for `condition` to be true, and returns what it says. `what` should happen: words, or who has them."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain: {what() if callable(what) else what}")
        time.sleep(0.05)
    return found


def git(folder, *arguments):
    return subprocess.run(["git", "-c", "user.name=Test", "-c", "user.email=test@localhost", "-C", str(folder), *arguments],
                          check=True, text=True, capture_output=True).stdout.strip()


def commit(folder, message):
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def results(stdout):
    """The result lines of `kiln run`: name → value."""
    return dict(line.split("\t", 1) for line in stdout.splitlines() if "\t" in line)


def kiln_processes():
    """Processes of kiln on this machine, and the namespaces that processes stand in."""
    processes, namespaces = {}, set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            program = os.readlink(f"/proc/{entry}/exe")
            if os.path.basename(program) == "kiln" or "kiln-sandbox" in program:
                processes[int(entry)] = program
                for kind in ("mnt", "pid", "net", "user"):
                    namespaces.add(os.readlink(f"/proc/{entry}/ns/{kind}"))
    return processes, namespaces


def kiln_mounts():
    with open("/proc/self/mounts") as mounts:
        return [line for line in mounts if "kiln" in line]


class Leftovers:
    """What of kiln was on the machine before, to compare with what is there after."""

    def __init__(self):
        self.processes = set(kiln_processes()[0])
        self.mounts = set(kiln_mounts())
        self.cgroups = self.groups()

    @staticmethod
    def groups():
        return {str(path) for top in ("/sys/fs/cgroup",) for path in pathlib.Path(top).glob("*/kiln/*") if path.is_dir()}

    def check(self, test):
        # The kernel takes a killed namespace down on its own time; what is really left stays.
        def new():
            return {pid: program for pid, program in kiln_processes()[0].items() if pid not in self.processes}

        until(lambda: not new(), lambda: f"no process is left behind, but these are: {new()}", 10)
        test.assertEqual(set(kiln_mounts()) - self.mounts, set(), "mounts were left behind")
        test.assertEqual(self.groups() - self.cgroups, set(), "cgroups were left behind")


class Terminal:
    """A program on a pseudo-terminal of its own."""

    def __init__(self, test, argv, env):
        self.said = ""  # and not yet waited for
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(argv[0], argv, env)
        test.addCleanup(os.close, self.fd)

    def type(self, text):
        os.write(self.fd, text.encode())

    def until(self, pattern):
        """Waits for it, and returns what was said before and with it."""
        while not (found := re.search(pattern, self.said)):
            if not select.select([self.fd], [], [], 30)[0]:
                os.kill(self.pid, 9)
                raise AssertionError(f"it never said {pattern}:\n{self.said}")
            try:
                self.said += os.read(self.fd, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"it ended and never said {pattern}:\n{self.said}") from None
        before, self.said = self.said[:found.end()], self.said[found.end():]
        return before

    def rest(self):
        """What it says until the terminal is closed."""
        with contextlib.suppress(OSError):
            while piece := os.read(self.fd, 4096):
                self.said += piece.decode(errors="replace")
        return self.said

    def ended(self):
        """Waits for its end: the exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def require(*programs):
    """Installs Debian packages that a test talks to; says aloud when it cannot."""
    missing = [program for program in programs if not shutil.which(program)]
    if not missing:
        return
    if os.geteuid() == 0:
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
                       env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"), stdout=subprocess.DEVNULL)
    still = [program for program in missing if not shutil.which(program)]
    if still:
        raise unittest.SkipTest(f"not installed: {', '.join(still)}")


def require_sandboxes(done):
    """Skips the test when this run of kiln could make no sandbox here."""
    if done.returncode == 3 and "sandbox" in done.stderr:
        raise unittest.SkipTest(f"no sandboxes here: {done.stderr.strip()}")


def main():
    program = unittest.main(exit=False, verbosity=2)
    outcome = program.result
    if not outcome.wasSuccessful():
        raise SystemExit(1)
    if outcome.testsRun == len(outcome.skipped):
        for test, reason in outcome.skipped:
            print(f"SKIPPED {test}: {reason}")
        raise SystemExit(SKIPPED)

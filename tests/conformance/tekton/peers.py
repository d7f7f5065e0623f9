"""What Tasks of the catalog talk to, on this machine: a web server that keeps what it was sent, git, mail."""

import contextlib
import http.server
import pathlib
import socketserver
import threading

from example_images import harness


class Web(http.server.BaseHTTPRequestHandler):
    """Serves files of a folder, answers the rest with a little JSON, and keeps every request that is not for a file."""

    def do_GET(self):
        file = (self.server.folder / self.path.partition("?")[0].lstrip("/")).resolve()
        if file.is_file() and file.is_relative_to(self.server.folder):
            self.answer(file.read_bytes())
        elif ".git/" in self.path:
            self.send_error(404)
        elif self.path.startswith("/crumbIssuer/"):
            self.answer(b"Jenkins-Crumb:crumb")
        else:
            self.keep(b"")

    def do_POST(self):
        self.keep(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def keep(self, body):
        self.server.kept.append(f"{self.command} {self.path} {body.decode()}".rstrip())
        self.answer(b'{"id": 1}')

    def answer(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as it takes to receive a letter."""

    def handle(self):
        self.say("220 ready")
        for line in self.rfile:
            verb = line.split(b":")[0].split()[0].upper() if line.strip() else b""
            if verb == b"DATA":
                self.say("354 go on")
                letter = list(iter(self.rfile.readline, b".\r\n"))
                self.server.kept[-1] += " " + b" ".join(one.strip() for one in letter).decode()
            elif verb == b"RCPT":
                self.server.kept.append(line.decode().strip())
            self.say("221 bye" if verb == b"QUIT" else "250 fine")
            if verb == b"QUIT":
                return

    def say(self, words):
        self.wfile.write(words.encode() + b"\r\n")


class Mailbox(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextlib.contextmanager
def peers(folder):
    """Serves in this process while the block runs; gives what was kept, and @http@ and @smtp@ for documents."""
    folder = pathlib.Path(folder).resolve()
    kept = []
    repository(folder)
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    mail = Mailbox(("127.0.0.1", 0), Mail)
    web.folder = folder
    try:
        for server in (web, mail):
            server.kept = kept
            threading.Thread(target=server.serve_forever, daemon=True).start()
        yield kept, {"@http@": f"http://127.0.0.1:{web.server_port}", "@smtp@": str(mail.server_address[1])}
    finally:
        for server in (web, mail):
            server.shutdown()
            server.server_close()


def repository(folder):
    """app.git: one commit, to be fetched over plain HTTP."""
    work, bare = folder / "work", folder / "app.git"
    work.mkdir(parents=True)
    harness.git(work, "init", "-q", "-b", "main")
    (work / "README").write_text("Hello, world!\n")
    harness.commit(work, "first")
    harness.git(folder, "clone", "-q", "--bare", str(work), str(bare))
    harness.git(bare, "update-server-info")

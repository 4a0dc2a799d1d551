"""Real remotes on loopback: git http-backend behind a small web server, and sshd. Started and ended by the tests."""

from __future__ import annotations

import base64
import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BACKENDS = ("/usr/lib/git-core/git-http-backend", "/usr/libexec/git-core/git-http-backend")
SSHD = "/usr/sbin/sshd"


class Backend(BaseHTTPRequestHandler):
    """CGI for git http-backend, with a password if `PASSWORD` is set."""

    def _serve(self) -> None:
        wanted = os.environ.get("PASSWORD")
        given = self.headers.get("Authorization", "")
        if wanted and given != "Basic " + base64.b64encode(f"bot:{wanted}".encode()).decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().strip() or b"0", 16):
                body += self.rfile.read(size)
                self.rfile.readline()
        environment = {
            "GIT_PROJECT_ROOT": os.environ["ROOT"],
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "bot",
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        done = subprocess.run([os.environ["BACKEND"]], env=environment, input=body, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        status = 200
        fields = []
        for line in head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(": ")
            if name.lower() == "status":
                status = int(value.split()[0])
            elif name:
                fields.append((name, value))
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def backend() -> str | None:
    return next((place for place in BACKENDS if Path(place).exists()), None)


@contextmanager
def over_http(root: Path, password: str = "") -> Iterator[str]:
    """Serve the bare repositories below `root`; gives the URL that they hang under."""
    place = backend()
    assert place is not None
    environment = {**os.environ, "ROOT": str(root), "BACKEND": place, "PASSWORD": password}
    server = subprocess.Popen([sys.executable, __file__], env=environment, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.kill()
        server.wait()


@contextmanager
def over_ssh(folder: Path) -> Iterator[tuple[str, Path]]:
    """An sshd for this account with keys of its own; gives `ssh://user@host:port` and a client configuration."""
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "sshd.conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"PidFile {folder}/pid\nUsePAM no\nPasswordAuthentication no\nStrictModes no\nPermitRootLogin yes\n"
    )
    public = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known").write_text(f"[127.0.0.1]:{port} {public}\n")
    client = folder / "client"
    client.write_text(
        f"Host 127.0.0.1\n IdentityFile {folder}/user\n IdentitiesOnly yes\n UserKnownHostsFile {folder}/known\n"
        " StrictHostKeyChecking yes\n GlobalKnownHostsFile /dev/null\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True) if os.getuid() == 0 else None
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd.conf")], stderr=subprocess.DEVNULL)
    try:
        _listening(port, server)
        yield f"ssh://{getpass.getuser()}@127.0.0.1:{port}", client
    finally:
        server.terminate()
        server.wait()


def _listening(port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise AssertionError("the server does not listen")


if __name__ == "__main__":
    web = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    sys.stdout.write(f"{web.server_address[1]}\n")
    sys.stdout.flush()
    web.serve_forever()

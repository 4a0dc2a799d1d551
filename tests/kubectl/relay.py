"""A TCP relay in front of a test cluster, that can fall silent: it goes on accepting and never says a word."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit


class Relay:
    """`silent`: bytes are taken and go nowhere."""

    def __init__(self, server: socket.socket, to: tuple[str, int]) -> None:
        self.server, self.to = server, to
        self.silent = threading.Event()
        self.heard = threading.Event()  # something was said while it was silent
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                one, _ = self.server.accept()
                other = socket.create_connection(self.to)
                for source, sink in ((one, other), (other, one)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError), source, sink:
            while data := source.recv(65536):
                if self.silent.is_set():
                    self.heard.set()
                else:
                    sink.sendall(data)


@contextmanager
def relayed(kubeconfig: Path, folder: Path) -> Iterator[tuple[Path, Relay]]:
    """A kubeconfig of the same cluster by way of a relay, and the relay."""
    config = json.loads(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    real = urlsplit(cluster["server"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        cluster["server"] = f"https://127.0.0.1:{server.getsockname()[1]}"
        path = folder / "relayed.kubeconfig"
        path.write_text(json.dumps(config))
        path.chmod(0o600)
        yield path, Relay(server, (str(real.hostname), int(real.port or 443)))
        server.shutdown(socket.SHUT_RDWR)

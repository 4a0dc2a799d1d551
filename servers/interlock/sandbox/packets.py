"""Messages with descriptors between a server and the processes it forked: one packet each, bounded."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import Any

from . import kernel

MESSAGE_MAX = 160_000  # bytes: what a packet socket carries whole with default kernel limits
# macOS has no seqpacket; its datagrams tell no end, so there the receivers look for their parent once a second.
PACKETS = socket.SOCK_SEQPACKET if kernel.LINUX else socket.SOCK_DGRAM
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_CUT = socket.MSG_TRUNC | socket.MSG_CTRUNC


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected packet sockets that carry the longest message. Raises OSError."""
    ends = socket.socketpair(socket.AF_UNIX, PACKETS)
    for end in ends:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MESSAGE_MAX)
    return ends


def receive(connection: socket.socket, descriptors_max: int) -> tuple[bytes, list[int]]:
    """One message and its descriptors, which no program started later inherits; (b"", []) at the end.

    A message that came cut is dropped with its descriptors and reads as b"?", which is no message of ours.
    Raises BlockingIOError and TimeoutError as the socket is set; any other error reads as the end.
    """
    try:
        data, descriptors, flags, _ = socket.recv_fds(connection, MESSAGE_MAX, descriptors_max, _CLOSE_ON_EXEC)
    except (BlockingIOError, InterruptedError, TimeoutError):
        raise
    except OSError:
        return b"", []
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # where the system has no such flag
    if flags & _CUT:
        for descriptor in descriptors:
            os.close(descriptor)
        return b"?", []
    return data, descriptors


def tell(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send a message; nothing happens when nobody waits for it any more."""
    with contextlib.suppress(OSError):
        connection.send(json.dumps(message).encode())

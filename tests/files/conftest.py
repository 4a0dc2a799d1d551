"""The files server behind the real pipeline in this process: policy, state, records, broker and disk are real."""

from files_server import search, server, work

__all__ = ["search", "server", "work"]

"""Interlock: guarded MCP servers for ops agents."""

__version__ = "0.1.0"

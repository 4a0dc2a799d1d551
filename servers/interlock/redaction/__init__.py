"""Redaction: no secret reaches the model. One detector for every way out; light to import, loaded at first use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .detector import Detector
from .spans import PutBack, Span

if TYPE_CHECKING:
    from .settings import RedactionSettings

__all__ = ["Detector", "PutBack", "RedactionSettings", "Span", "open_detector"]


def open_detector(key: bytes, settings: RedactionSettings | None = None, cache: Path | None = None) -> Detector:
    """A detector for this installation: `key` (32 bytes) makes its placeholders, `cache` is a private folder."""
    return Detector(key, settings, cache)


def __getattr__(name: str) -> Any:
    """RedactionSettings needs pydantic, which the command line can do without."""
    if name == "RedactionSettings":
        from .settings import RedactionSettings

        return RedactionSettings
    raise AttributeError(name)

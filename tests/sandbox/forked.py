"""Runs a function in a forked child, so that a test can confine, drop rights and fork without harm to pytest."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import Any

NOBODY = 65533  # an ordinary user without files or processes of its own


def forked(function: Callable[[], Any], *, user: bool = False) -> Any:
    """What `function` returns in a child of one thread; its exception's text fails the test.

    `user`: as an ordinary user; everything that the function imports must have been imported before.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            if user:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            told: tuple[bool, Any] = (True, function())
        except BaseException:
            told = (False, traceback.format_exc())
        with os.fdopen(writer, "wb") as out:
            pickle.dump(told, out)
        sys.stdout.flush()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        data = answer.read()
    os.waitpid(pid, 0)
    assert data, "the child ended without an answer"
    good, value = pickle.loads(data)
    assert good, value
    return value


def attempt(function: Callable[[], Any]) -> str:
    """ "ok", or the errno's name with which it was refused."""
    import errno

    try:
        function()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    return "ok"

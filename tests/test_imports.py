"""The layers, as imports: the guard knows no server, servers never each other, and one module the SDK."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import interlock

SOURCE = Path(interlock.__file__).parent
SERVERS = ("files", "git", "kubectl", "logs")
PROTOCOL = {"wire.py", "demo/agent.py"}  # a server's end and a client's end
HEAVY = ("mcp", "anthropic", "docker", "hyperscan", "pygit2", "cryptography", "rich")


def imports() -> Iterator[tuple[str, str, bool]]:
    """(file, module imported, at the top level) for the whole package; relative imports made absolute."""
    for path in SOURCE.rglob("*.py"):
        name = path.relative_to(SOURCE).as_posix()
        package = ["interlock", *path.relative_to(SOURCE).parent.parts]
        tree = ast.parse(path.read_text())
        top = {id(node) for node in tree.body}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((name, alias.name, id(node) in top) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                yield name, ".".join([*base, *([node.module] if node.module else [])]), id(node) in top


def test_the_guard_imports_no_server_and_no_command():
    for file, module, _ in imports():
        if file.startswith("guard/"):
            assert not module.startswith(tuple(f"interlock.{name}" for name in (*SERVERS, "admin", "wire"))), file


def test_servers_never_import_each_other():
    for file, module, _ in imports():
        for name in SERVERS:
            if file.startswith(f"{name}/"):
                others = tuple(f"interlock.{other}" for other in SERVERS if other != name)
                assert not module.startswith((*others, "interlock.admin", "interlock.wire", "interlock.serve")), file


def test_one_module_imports_the_protocol():
    assert {file for file, module, _ in imports() if module.split(".")[0] == "mcp"} == PROTOCOL


def test_heavy_libraries_are_imported_where_they_are_needed_and_not_before():
    for file, module, top in imports():
        engine = file.startswith("git/") and module == "pygit2" and file not in ("git/actions.py", "git/tools.py")
        if module.split(".")[0] in HEAVY and file not in PROTOCOL and not engine:
            assert not top, f"{file} imports {module} at its top"


def test_nothing_imports_the_source_root():
    assert not [file for file, module, _ in imports() if module.split(".")[0] == "servers"]


@pytest.mark.parametrize(
    "command", ["status", "pending", "approve", "halt", "undo", "audit", "policy", "doctor", "init"]
)
def test_a_command_loads_neither_the_protocol_nor_what_is_heavy(command: str):
    code = (
        "import sys, interlock.admin.main as m\n"
        f"try: m.main(['{command}', '--help'])\n"
        "except SystemExit: pass\n"
        "print([n for n in ('mcp', 'anthropic', 'docker', 'hyperscan', 'pygit2') if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip().splitlines()[-1] == "[]"

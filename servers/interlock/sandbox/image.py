"""The file tree that text tools run in, put together from what this machine has: the tools, the libraries they
load, a bare Python for `inside.py`, and nothing else - no shell, no configuration, no user data.

Built by `interlock sandbox build`; needs no registry. For the same as a Dockerfile see `Dockerfile` beside this.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from interlock.guard.errors import Broken

# What an analysis is made of, where the machine has it. The policy's `logs.analyze` says which of them may run.
TOOLS = (
    "grep sort uniq cut awk mawk gawk jq head tail wc tr sed nl rev tac paste comm join fold column cat base64 "
    "basenc od xxd hexdump strings seq shuf numfmt tsort cksum md5sum sha1sum sha256sum cmp diff find xargs expand "
    "unexpand fmt split csplit printf echo date true false test expr bc dc factor rg zcat gzip xz zstd"
)
PYTHON = "/usr/bin/python3"
INSIDE = "/usr/lib/interlock/inside.py"
# -I -S -E: no site, no environment, no user packages; -B: writes no bytecode into the read-only tree
COMMAND = (PYTHON, "-I", "-S", "-E", "-B", INSIDE)
_MANIFEST = "manifest.json"
_ROOT = "root"
_PLACES = "dev proc sys tmp usr/bin usr/lib usr/lib64 usr/lib32 etc"
_DEVICES = "null zero full random urandom"
_MODULES = "__init__ aliases utf_8 latin_1 ascii"
_LDD = "/usr/bin/ldd"


@dataclass(frozen=True, slots=True)
class Image:
    """A built tree. `digest` names its content; `tools` are the programs that a step may name."""

    root: Path
    digest: str
    tools: frozenset[str]


def folder(home: Path) -> Path:
    """Where `build` puts the tree. A root's bubblewrap runs as nobody, who cannot look into a home of mode 0700."""
    return Path("/var/lib/interlock/sandbox") if os.geteuid() == 0 else home / "sandbox"


def load(place: Path) -> Image:
    """The image that was built there. Raises Broken when there is none, or it is damaged."""
    try:
        current = (place / "current").resolve(strict=True)
        told = json.loads((current / _MANIFEST).read_text("utf-8"))
        root = current / _ROOT
        if not (root / PYTHON[1:]).exists():
            raise ValueError
        return Image(root, str(told["digest"]), frozenset(told["tools"]))
    except (OSError, ValueError, KeyError):
        raise Broken("the sandbox has not been built on this machine", hint="run `interlock sandbox build`") from None


def build(place: Path, also: Iterable[str] = ()) -> Image:
    """Build the tree at `place` (made if absent) and make it current; all but the one before are removed.

    `also`: names of further tools, which must exist. Raises Broken.
    """
    place.mkdir(parents=True, exist_ok=True, mode=0o755)
    scratch = Path(tempfile.mkdtemp(prefix="new-", dir=place))
    try:
        root = scratch / _ROOT
        tools = _fill(root, also)
        digest = _digest(root)
        manifest = {"digest": digest, "tools": sorted(tools), "python": sys.version.split()[0]}
        (scratch / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
        scratch.chmod(0o755)
        final = place / digest
        if final.exists():
            shutil.rmtree(scratch)
        else:
            scratch.rename(final)
        link = place / f".current-{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(digest)
        link.rename(place / "current")
    except OSError as error:
        raise Broken(
            f"the sandbox could not be built in {place}: {error.strerror}", hint="check space and permissions there"
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    others = [path for path in place.iterdir() if path.is_dir() and path.name not in (digest, "current")]
    for other in sorted(others, key=lambda path: path.stat().st_mtime)[:-1]:  # servers that run may have the last one
        shutil.rmtree(other, ignore_errors=True)
    return load(place)


def archive(image: Image) -> bytes:
    """The tree as an uncompressed tar, as `docker import` takes it; the same bytes for the same tree."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(image.root.rglob("*")):
            info = tar.gettarinfo(path, arcname=str(path.relative_to(image.root)))
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = int(path.lstat().st_mtime) if info.size else 0  # Python matches its compiled modules by it
            if info.isfile():
                with path.open("rb") as content:
                    tar.addfile(info, content)
            else:
                tar.addfile(info)
    return out.getvalue()


def write_context(place: Path) -> None:
    """Write the Dockerfile and the one file that it copies, for `docker build`. Raises Broken."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        for name in ("Dockerfile", "inside.py"):
            shutil.copyfile(Path(__file__).with_name(name), place / name)
    except OSError as error:
        raise Broken(f"cannot write to {place}: {error.strerror}", hint="name another folder") from None


def _fill(root: Path, also: Iterable[str]) -> set[str]:
    for name in _PLACES.split():
        (root / name).mkdir(parents=True, mode=0o755)
    for name in ("lib", "lib64", "lib32"):  # on most systems they lead into /usr, and here they must too
        if Path("/", name).is_symlink():
            (root / name).symlink_to(Path("/", name).readlink())
    for name in _DEVICES.split():
        (root / "dev" / name).touch(mode=0o644)  # what the real devices are mounted on
    done: set[str] = set()
    wanted = list(also)
    for name in (*TOOLS.split(), *wanted):
        found = _find(name)
        if found is not None and _is_program(found):
            _copy(found, root / "usr/bin" / name)
            _copy_libraries([found], root)
            done.add(name)
        elif name in wanted:
            raise Broken(
                f"this machine has no program {name!r} that the sandbox could take (scripts are none)",
                hint="install it, or take it out of logs.analyze",
            )
    _copy_python(root)
    _copy(Path(__file__).with_name("inside.py"), root / INSIDE[1:])
    for locale in ("/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8"):
        if Path(locale).is_dir():
            shutil.copytree(locale, root / locale[1:], dirs_exist_ok=True)
    for path in root.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    root.chmod(0o755)
    return done


def _copy_python(root: Path) -> None:
    """The interpreter that we run on, with no more of its library than it needs to start."""
    executable = Path(sys.executable).resolve()
    library = Path(os.__file__).resolve().parent
    home = root / f"usr/lib/python{sys.version_info[0]}.{sys.version_info[1]}"
    (home / "lib-dynload").mkdir(parents=True)
    (home / "os.py").touch()  # the landmark by which Python finds its library; os itself is frozen in
    for name in _MODULES.split():
        _copy(library / "encodings" / f"{name}.py", home / "encodings" / f"{name}.py")
        compiled = f"__pycache__/{name}.{sys.implementation.cache_tag}.pyc"
        if (library / "encodings" / compiled).exists():
            _copy(library / "encodings" / compiled, home / "encodings" / compiled)
    _copy(executable, root / PYTHON[1:])
    needed = [executable]
    if "resource" not in sys.builtin_module_names:
        import resource

        extension = Path(str(resource.__file__))
        _copy(extension, home / "lib-dynload" / extension.name)
        needed.append(extension)
    _copy_libraries(needed, root)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)  # with its time: Python's compiled modules are matched by it


def _copy_libraries(programs: Sequence[Path], root: Path) -> None:
    for program in programs:
        for library in _libraries(program):
            target = root / library[1:]
            if not target.exists():
                _copy(Path(library).resolve(), target)


def _libraries(program: Path) -> list[str]:
    """What the dynamic loader would load for it, and the loader; none for a static program."""
    if not Path(_LDD).exists():
        raise Broken("`ldd` is missing, which tells the libraries of a program", hint="install libc-bin (Debian)")
    told = subprocess.run([_LDD, str(program)], capture_output=True, text=True, check=False, timeout=30).stdout
    words = (word for line in told.splitlines() for word in line.split()[-4:])
    return sorted({word for word in words if word.startswith("/") and not word.endswith(":")})


def _find(name: str) -> Path | None:
    if "/" in name or name in ("", ".", ".."):
        return None
    found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
    if found is None and name == "rg":  # our own wheel's
        found = shutil.which("rg", path=str(Path(sys.executable).parent))
    return Path(found).resolve() if found else None


def _is_program(path: Path) -> bool:
    with path.open("rb") as head:
        return head.read(4) == b"\x7fELF"


def _digest(root: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        total.update(f"{path.relative_to(root)}\0{path.lstat().st_mode:o}\0".encode())
        if path.is_file():
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]

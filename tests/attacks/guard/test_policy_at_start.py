"""A policy file that is odd never starts a server that allows more than it says: an error, and no start.

Stopped by the loader (`guard.policy`): bounded and plain YAML, unknown words fatal, nothing found where an agent writes
(CVE-2026-16584: a policy that failed to load left enforcement off; CVE-2025-66479: an empty list meant everything).
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from admin.apart import Apart

from interlock.guard.policy.loading import load
from interlock.guard.policy.problems import PolicyError

GOOD = "version: 1\nextends: development\nagent: tester\nfiles:\n  roots:\n    - {path: WORK, access: write}\n"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)

REFUSED: dict[str, str | bytes] = {
    "nothing": "",
    "spaces": "   \n\n  \n",
    "a mark alone": b"\xef\xbb\xbf",
    "comments": "# version: 1\n",
    "null": "null\n",
    "a lone tilde": "~\n",
    "true": "true\n",
    "a number": "1\n",
    "a list": "[]\n",
    "an empty mapping": "{}\n",
    "an open brace": "{",
    "a binary scalar": "!!binary dmVyc2lvbjogMQ==",
    "a tab for indent": GOOD.replace("  roots", "\troots"),
    "a NUL": GOOD.replace("tester", "tes\0ter"),
    "a NUL at the end": GOOD + "\0",
    "UTF-16": GOOD.encode("utf-16"),
    "latin-1": (GOOD + "# für\n").encode("latin-1"),
    "half a character": GOOD.encode() + b"# \xc3",
    "an escape character": GOOD + "# \x1b[2J\n",
    "DEL and C1": GOOD + "x: '\x9b'\n",
    "a directive": "%YAML 1.1\n---\n" + GOOD,
    "two documents": GOOD + "---\nversion: 1\nextends: readonly\n",
    "an end and more": GOOD + "...\nrules: {x: {allow: changes}}\n",
    "an object": GOOD + "x: !!python/object/apply:os.system ['touch PWNED']\n",
    "a python name": GOOD + "x: !!python/name:os.system\n",
    "a tag of its own": GOOD + "rules: !include /etc/passwd\n",
    "a set": GOOD + "x: !!set {a, b}\n",
    "an anchor": "version: 1\nextends: development\nfiles: {roots: &r [{path: WORK}]}\nlogs: *r\n",
    "an anchor alone": GOOD.replace("agent: tester", "agent: &a tester"),
    "a merge key": GOOD + "limits:\n  <<: {calls: {max: 1, per: 1m}}\n",
    "a merge of files": "x: &x {roots: [{path: /}]}\n" + GOOD.replace("files:", "files:\n  <<: *x"),
    "an alias to itself": "version: 1\nextends: development\nx: &x [*x]\n",
    "an alias bomb": BOMB,
    "a bomb of text": "a: &a " + "x" * 100_000 + "\nb: [" + ",".join(["*a"] * 1000) + "]\n",
    "deep lists": "version: " + "[" * 5000 + "]" * 5000,
    "deep mappings": "a:\n" + "".join(" " * n + "a:\n" for n in range(1, 400)),
    "many keys": GOOD + "".join(f"k{n}: 1\n" for n in range(200_000)),
    "too many bytes": GOOD + "#" + "x" * (2 << 20) + "\n",
    "a key twice": GOOD + "agent: other\n",
    "a key twice, quoted": GOOD + '"agent": other\n',
    "a key twice, escaped": GOOD + '"\\x61gent": other\n',
    "a rule twice": GOOD + "rules:\n  a: {deny: changes}\n  a: {allow: changes}\n",
    "a key of another case": GOOD.replace("files:", "Files:"),
    "a key with a space": GOOD.replace("agent:", '"agent ":'),
    "a key of Cyrillic": GOOD.replace("agent:", "\u0430gent:"),
    "a key of wide letters": GOOD.replace("agent:", "\uff41gent:"),
    "a key with nothing seen in it": GOOD.replace("agent:", '"agent\u200b":'),
    "a key that is a list": GOOD + "? [a, b]\n: 1\n",
    "a number for a key": GOOD + "7: 1\n",
    "no version": GOOD.replace("version: 1\n", ""),
    "another version": GOOD.replace("version: 1", "version: 99"),
    "a version of text": GOOD.replace("version: 1", 'version: "1"'),
    "a version with a point": GOOD.replace("version: 1", "version: 1.0"),
    "no profile": GOOD.replace("extends: development\n", ""),
    "a profile that is none": GOOD.replace("development", "allow-all"),
    "a profile of another case": GOOD.replace("development", "Development"),
    "a profile by a path": GOOD.replace("development", "../development"),
    "a policy that is a device": GOOD.replace("development", "/dev/zero"),
    "a policy that is a folder": GOOD.replace("development", "/etc"),
    "roots are everything": GOOD.replace("WORK, access: write", "/, access: write"),
    "roots are the home": GOOD.replace("WORK", "'~'"),
    "roots are no list": GOOD.replace("\n    - {path: WORK, access: write}", " /srv"),
    "roots are null": GOOD.replace("\n    - {path: WORK, access: write}", " null"),
    "roots are nothing": GOOD.replace("\n    - {path: WORK, access: write}", " []"),
    "roots are text": GOOD.replace("{path: WORK, access: write}", "WORK"),
    "a root with a star": GOOD.replace("WORK", "WORK/*"),
    "a root with a variable": GOOD.replace("WORK", "${WORK}"),
    "a root in the default of a variable": GOOD.replace("WORK", "'${X:-/}'"),
    "a relative root": GOOD.replace("WORK", "."),
    "a root upwards": GOOD.replace("WORK", "WORK/../.."),
    "a root with a NUL": GOOD.replace("WORK", '"WORK\\0x"'),
    "an empty root": GOOD.replace("WORK", "''"),
    "a root that is the kernel's": GOOD.replace("WORK", "/proc"),
    "an access that is none": GOOD.replace("access: write", "access: Write"),
    "an access of yes": GOOD.replace("access: write", "access: yes"),
    "a tool for an action": GOOD + "rules: {a: {allow: read_file}}\n",
    "an action with a typo": GOOD + "rules: {a: {deny: files.raed}}\n",
    "a star for an action": GOOD + "rules: {a: {allow: '*'}}\n",
    "an empty where": GOOD + "rules: {a: {allow: files.write, where: {}}}\n",
    "an empty list of paths": GOOD + "rules: {a: {deny: files.write, where: {path: []}}}\n",
    "a rule against the built-in ones": GOOD + "rules: {a: {allow: changes, overrides: [builtin.protected]}}\n",
    "a rule with an id of the built-in ones": GOOD + "rules: {builtin.own: {allow: changes}}\n",
    "an exception for Interlock's own": GOOD + "  unprotected: ['**']\n  own: false\n",
    "limits of minus one": GOOD + "limits: {calls: {max: -1, per: 1m}}\n",
    "limits of infinity": GOOD + "limits: {calls: {max: .inf, per: 1m}}\n",
    "limits that are no number": GOOD + "limits: {calls: {max: .nan, per: 1m}}\n",
    "limits off": GOOD + "limits: off\n",
    "limits of true": GOOD + "limits: {calls: {max: true, per: 1m}}\n",
    "a number of a million digits": GOOD + "limits: {calls: {max: " + "9" * 100_000 + ", per: 1m}}\n",
    "octal": GOOD + "limits: {calls: {max: 0o777777777777, per: 0x1m}}\n",
    "an hour of sixties": GOOD + "approvals: {expires: 1:30}\n",
    "an expiry of years": GOOD + "approvals: {expires: 99999999999999d}\n",
    "approvals by agents": GOOD + "approvals: {people: agent}\n",
    "confinement off": GOOD + "confine: off\n",
    "a state that is relative": GOOD + "state: state\n",
    "a state in nothing": GOOD + "state: ''\n",
    "a profile by an address": GOOD.replace("development", "https://example.com/policy.yaml"),
    "a profile that is itself": GOOD.replace("development", "~/config/interlock/policy.yaml"),
    "an agent of two lines": GOOD.replace("tester", '"a\\nb"'),
    "an agent that is a path": GOOD.replace("tester", "../admin"),
    "a root that follows links": GOOD.replace("access: write", "access: write, follow: true"),
    "a rule of two effects": GOOD + "rules: {a: {allow: files.write, deny: files.write}}\n",
    "a rule that is a word": GOOD + "rules: {a: allow}\n",
    "all for an action": GOOD + "rules: {a: {allow: all}}\n",
    "an override of nothing": GOOD + "rules: {a: {allow: files.write, overrides: [development.nope]}}\n",
    "half a limit": GOOD + "limits: {calls: {max: 10}}\n",
    "a limit of no time": GOOD + "limits: {calls: {max: 10, per: 0s}}\n",
    "a limit with marks": GOOD + "limits: {calls: {max: 1_000, per: 1m}}\n",
    "a clean-up of everything": GOOD + "  clean_up: {a: {path: /, match: ['*'], older_than: 1s}}\n",
    "a clean-up upwards": GOOD + "  clean_up: {a: {path: /srv/a, match: ['../*'], older_than: 1s}}\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Apart:
    folder = tmp_path_factory.mktemp("start")
    folder.chmod(0o700)
    return Apart(Path(os.path.realpath(folder)))


@pytest.fixture(autouse=True)
def here(apart: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in apart.environment.items():
        monkeypatch.setenv(key, value)


def put(apart: Apart, text: str | bytes) -> Path:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    data = data.replace(b"WORK", os.fsencode(apart.work)).replace(b"PWNED", os.fsencode(apart.folder / "PWNED"))
    apart.policy.write_bytes(data)
    apart.policy.chmod(0o600)
    return apart.policy


@pytest.mark.parametrize("name", REFUSED)
def test_an_odd_policy_is_refused_at_once(apart: Apart, name: str) -> None:
    path = put(apart, REFUSED[name])
    begun = time.monotonic()
    with pytest.raises(PolicyError) as caught:
        load(path)
    assert time.monotonic() - begun < 3
    assert not (apart.folder / "PWNED").exists()
    said = str(caught.value)
    assert len(said) < 20_000 and not any(ord(c) < 32 and c not in "\n\t" for c in said)


HINTS = {
    "a limit with marks": "write it in digits alone",
    "octal": "write it in digits alone",
    "confinement off": "YAML 1.2 knows only true and false",
    "an agent that is a path": "it is of the form ^[a-zA-Z0-9]",
}


@pytest.mark.parametrize("name", HINTS)
def test_a_hint_is_about_the_value(apart: Apart, name: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load(put(apart, REFUSED[name]))
    assert HINTS[name] in caught.value.hint


ACCEPTED: dict[str, tuple[str | bytes, Callable[[Apart], str]]] = {
    "as it is": (GOOD, lambda a: str(a.work)),
    "with a mark": (b"\xef\xbb\xbf" + GOOD.encode(), lambda a: str(a.work)),
    "with windows line ends": (GOOD.replace("\n", "\r\n"), lambda a: str(a.work)),
    "without the last line end": (GOOD.rstrip("\n"), lambda a: str(a.work)),
    "after comments and a ---": ("# Größe 日本 😀\n---\n" + GOOD, lambda a: str(a.work)),
    "in quotes": (GOOD.replace("WORK", '"WORK"'), lambda a: str(a.work)),
    "as JSON": (
        '{"version": 1, "extends": "development", "agent": "tester", "files": {"roots": [{"path": "WORK", '
        '"access": "write"}]}}',
        lambda a: str(a.work),
    ),
    "a root with spaces and letters": (GOOD.replace("WORK", "'WORK/a b ü'"), lambda a: f"{a.work}/a b ü"),
    "a root that is not there yet": (GOOD.replace("WORK", "WORK/later"), lambda a: f"{a.work}/later"),
    "a root with a slash at the end": (GOOD.replace("WORK", "WORK/"), lambda a: str(a.work)),
    "rules and limits": (
        GOOD + "rules:\n  docs: {ask: files.write, where: {path: '**/docs/**'}, reason: \"it's for people\"}\n"
        "limits: {calls: {max: 10, per: 1m}}\n",
        lambda a: str(a.work),
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_fine_policy_means_what_it_says(apart: Apart, name: str) -> None:
    text, root = ACCEPTED[name]
    policy = load(put(apart, text))
    files = policy.sections["files"]
    assert [(str(one.path), one.access) for one in files.roots] == [(root(apart), "write")]  # type: ignore[attr-defined]


# ---------------------------------------------------------------- what the file itself is


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _gone(path: Path) -> None:
    path.unlink()


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "nowhere")


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _to_the_root(path: Path) -> None:
    """A link to where the agent writes."""
    work = path.parents[2] / "work"
    path.rename(work / "policy.yaml")
    path.symlink_to(work / "policy.yaml")


def _zero(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _group(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, -1, 65534)
    path.chmod(0o620)


FORMS: dict[str, Callable[[Path], None]] = {
    "a pipe": _fifo,
    "a folder": _folder,
    "nothing": _gone,
    "a link to nowhere": _dangling,
    "a link to itself": _loop,
    "a link to where the agent writes": _to_the_root,
    "an endless device": _zero,
    "for everybody to write": lambda path: path.chmod(0o666),
    "for a group to write": _group,
}


@pytest.mark.parametrize("name", FORMS)
def test_no_server_starts_on_a_file_that_is_odd(apart: Apart, name: str) -> None:
    path = put(apart, GOOD)
    FORMS[name](path)
    try:
        begun = time.monotonic()
        done = subprocess.run(
            apart.command("serve", "files"), env=apart.environment, input="", capture_output=True, text=True, timeout=20
        )
        assert done.returncode != 0 and time.monotonic() - begun < 5
        assert "Traceback" not in done.stderr and done.stdout == ""
    finally:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        (apart.work / "policy.yaml").unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["guard.yaml", "policy.yaml", ".interlock/policy.yaml", "interlock.yaml"])
def test_a_policy_in_the_working_directory_is_not_found(apart: Apart, name: str) -> None:
    """CVE-2026-33068: the repository chose the permission mode."""
    put(apart, GOOD.replace("development", "readonly"))
    planted = apart.work / name
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(GOOD.replace("WORK", "/"))
    environment = {k: v for k, v in apart.environment.items() if k != "INTERLOCK_POLICY"}
    done = subprocess.run(
        apart.command("policy", "show", "--json"), env=environment, cwd=apart.work, capture_output=True, text=True
    )
    assert done.returncode == 0 and '"readonly"' in done.stdout and str(apart.policy) in done.stdout, done
    planted.unlink()


@pytest.mark.parametrize(
    "name", ["../x", "a\nrisk      low", "a\n", "\x1b[2Jroot", "root (approved)", " ", "-x", "a" * 65, "\u0430gent"]
)
def test_no_server_starts_for_an_agent_whose_name_could_be_read_as_something_else(apart: Apart, name: str) -> None:
    put(apart, GOOD)
    command = apart.command("serve", "files", f"--agent={name}")
    done = subprocess.run(command, env=apart.environment, input="", capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stdout == "", done.stderr
    assert "--agent is no name of an agent" in done.stderr

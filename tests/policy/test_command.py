"""`interlock policy ...` as a person uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from installation import Installation
from policies import Place

from interlock.admin.main import main
from interlock.guard.policy.schema import schema_text


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


class Commands:
    """The command line in this process: starting one for each word would take the tests a minute."""

    def __init__(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        self.place, self.capsys = place, capsys
        self.folder, self.work, self.policy = place.folder, place.work, place.path
        self.write_policy()

    def write_policy(self, profile: str = "development", more: str = "") -> None:
        self.place.write(self.place.usual_text(more, profile))

    def cli(self, *words: str) -> Done:
        self.capsys.readouterr()
        code = main(words)
        return Done(code, *self.capsys.readouterr())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(Place(tmp_path.resolve(), monkeypatch), capsys)


def test_check_says_that_all_is_well(here: Commands) -> None:
    done = here.cli("policy", "check")
    assert done.returncode == 0, done.stderr
    assert "good. Profile development, 0 rules of your own; for files." in done.stdout


def test_check_names_file_line_column_and_a_hint(here: Commands) -> None:
    here.write_policy(more="rules:\n  x: {deny: files.wirte}\nlimts: {calls: {max: 1, per: 1m}}\n")
    done = here.cli("policy", "check")
    assert done.returncode == 1
    assert f"{here.policy}:6:13: error: there is no action `files.wirte`" in done.stdout
    assert "did you mean `files.write`?" in done.stdout
    assert f"{here.policy}:7:1: error: a policy has no `limts`" in done.stdout
    assert "2 errors: no server starts with this policy" in done.stdout


def test_check_warns_and_passes(here: Commands) -> None:
    here.write_policy(profile="readonly", more="rules:\n  x: {allow: files.write}\n")
    done = here.cli("policy", "check")
    assert done.returncode == 0
    assert "warning: `x` never takes effect: `readonly.change` (deny) is stricter" in done.stdout
    assert "overrides: [readonly.change]" in done.stdout


def test_check_as_json_and_of_another_file(here: Commands) -> None:
    other = here.folder / "other.yaml"
    other.write_text("version: 1\nextends: nowhere\n")
    done = here.cli("policy", "check", "--json", str(other))
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert said["ok"] is False
    assert said["errors"][0]["line"] == 2
    assert json.loads(here.cli("policy", "check", "--json").stdout)["ok"] is True


def test_show_is_readable_and_as_json_complete(here: Commands) -> None:
    here.write_policy(more='rules:\n  x: {ask: files.write, where: {path: "**/*.tf"}, reason: plans are reviewed}\n')
    done = here.cli("policy", "show", "files")
    assert done.returncode == 0, done.stderr
    for words in (
        "roots",
        str(here.work),
        "files.write",
        "path is **/*.tf",
        "plans are reviewed",
        "builtin.own",
    ):
        assert words in done.stdout
    assert "kubectl.restart" not in done.stdout
    data = json.loads(here.cli("policy", "show", "--json").stdout)
    assert {"x", "builtin.outside", "development.push"} <= {rule["id"] for rule in data["rules"]}
    assert data["settings"]["limits"]["calls"] == {"max": 240, "per": 60, "open_for": 0}


def test_explain_a_call(here: Commands) -> None:
    here.write_policy(more='rules:\n  x: {deny: files.write, where: {path: "**/a.py"}, reason: because}\n')
    done = here.cli("policy", "explain", "files", "read_file", f"path={here.work}/a.py")
    assert done.returncode == 0, done.stderr
    assert "allow" in done.stdout and "development.read" in done.stdout
    outside = here.cli("policy", "explain", "files", "read_file", "path=/etc/passwd").stdout
    assert "builtin.outside" in outside
    assert "roots:" in outside


def test_explain_an_action_names_the_closest_allow_and_what_would_permit_it(here: Commands) -> None:
    here.write_policy(profile="production", more="rules:\n  x: {notify: files.write, where: {path: '**/*.md'}}\n")
    done = here.cli("policy", "explain", "files.write", f"path={here.work}/a.py")
    assert done.returncode == 0, done.stderr
    assert "deny, risk medium: files on a production machine are data" in done.stdout
    assert "production.files" in done.stdout and "production.yaml:" in done.stdout
    assert "closest: notify x" in done.stdout and "not **/*.md" in done.stdout
    assert "instead: change them where they are deployed from" in done.stdout
    yaml = done.stdout.split("a person adds to")[1].split("\n", 2)[2]
    lines = [line[4:] for line in yaml.splitlines() if line.startswith("    ")]
    here.write_policy(profile="production", more="\n".join(lines) + "\n")
    permitted = here.cli("policy", "explain", "files.write", f"path={here.work}/a.py")
    assert permitted.stdout.startswith("ask, risk medium"), permitted.stdout + permitted.stderr
    beside = here.cli("policy", "explain", "files.write", f"path={here.work}/b.py")
    assert beside.stdout.startswith("deny")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("files.wirte",), "did you mean `files.write`?"),
        (("files",), "which tool"),
        (("files", "read_fil", "path=a"), "did you mean `read_file`?"),
        (("files", "read_file", "pth=a"), "did you mean `path`?"),
        (("files.write", "pth=a"), "did you mean `path`?"),
        (("files.write", "a.py"), "no key=value"),
        (("kubectl.scale", "replicas=many"), "is a number"),
    ],
)
def test_explain_helps_with_typing(here: Commands, words: tuple[str, ...], says: str) -> None:
    done = here.cli("policy", "explain", *words)
    assert done.returncode == 1
    assert says in done.stderr


def test_test_runs_the_shipped_decisions_and_the_users_own(here: Commands) -> None:
    done = here.cli("policy", "test")
    assert done.returncode == 0, done.stdout
    assert "production.yaml" in done.stdout
    own = here.policy.parent / "tests"
    own.mkdir()
    path = here.work / "a.py"
    (own / "mine.yaml").write_text(
        f"cases:\n  - {{case: writing works, action: files.write, with: {{path: {path}}}, expect: allow}}\n"
        f"  - {{case: deleting much too, action: files.delete, with: {{path: {path}, files: 999}}, expect: allow}}\n"
    )
    failed = here.cli("policy", "test")
    assert failed.returncode == 1
    assert "mine.yaml                    1 of 2 as expected" in failed.stdout
    assert f"{own / 'mine.yaml'}:3: deleting much too" in failed.stdout
    assert "expect is ask, not allow" in failed.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cases: []\n", "at least one case"),
        ("case: x\n", "no `case`"),
        ("cases:\n  - {case: x, action: files.wirte, expect: allow}\n", "did you mean `files.write`?"),
        ("cases:\n  - {case: x, action: files.write, expect: maybe}\n", "`expect` is one of"),
        ("cases:\n  - {case: x, action: files.write, with: {pth: a}, expect: allow}\n", "did you mean `path`?"),
        ("cases:\n  - {action: files.write, expect: allow}\n", "a sentence"),
        ("cases: [{case: x, action: files.write, expect: allow, rul: x}]\n", "did you mean `rule`?"),
    ],
)
def test_an_odd_file_of_cases(here: Commands, text: str, says: str) -> None:
    path = here.folder / "cases.yaml"
    path.write_text(text)
    done = here.cli("policy", "test", str(path))
    assert done.returncode == 1
    assert says in done.stdout


def test_schema(here: Commands) -> None:
    assert here.cli("policy", "schema").stdout == schema_text()


def test_no_policy_yet(here: Commands) -> None:
    here.policy.unlink()
    done = here.cli("policy", "check")
    assert done.returncode == 1
    assert "interlock init" in done.stdout
    assert here.cli("policy", "test").returncode == 0


def test_the_policy_needs_none_of_the_heavy_libraries(installation: Installation) -> None:
    code = (
        "import sys; from pathlib import Path; from interlock.guard.policy.loading import load;"
        "load(Path(sys.argv[1]));"
        "heavy = {'mcp', 'anthropic', 'docker', 'hyperscan', 'cryptography', 'pygit2', 'tomlkit', 'rich'};"
        "heavy |= {'ruamel', 're2', 'tomllib', 'difflib'};"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(installation.policy)],
        env=installation.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"

"""What lies in policy/: the schema is current, every shipped policy fits it, and the golden decisions hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from policies import Place

from interlock.documents import parse_yaml_positions
from interlock.guard.policy.cases import run_file, shipped_cases
from interlock.guard.policy.loading import PROFILES, PolicyError, load, policies_folder, schema_path
from interlock.guard.policy.schema import schema, schema_text
from interlock.registry import SECTIONS, VERBS

FOLDER = policies_folder()
CASES = sorted([*shipped_cases(), *(Path(__file__).parent.parent / "cases").glob("*.yaml")])
validator = jsonschema.Draft202012Validator(schema())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path.resolve(), monkeypatch)


def test_the_schema_is_current() -> None:
    assert schema_path().read_text("utf-8") == schema_text(), "run: interlock policy schema > policy/schema.json"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_policy_fits_the_schema_and_names_it(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith("# yaml-language-server: $schema=./schema.json\n")
    assert [error.message for error in validator.iter_errors(parse_yaml_positions(text).data())] == []


def test_every_key_in_the_schema_is_described() -> None:
    missing = list(_undescribed(schema(), ""))
    assert missing == []


def _undescribed(node: Any, path: str) -> list[str]:
    found: list[str] = []
    if isinstance(node, dict):
        for name, value in node.get("properties", {}).items():
            below = f"{path}.{name}"
            if not value.get("description") and name not in ("min", "max", "only", "beyond"):
                found.append(below)
            found += _undescribed(value, below)
        for key in ("additionalProperties", "items"):
            found += _undescribed(node.get(key), f"{path}.*")
        for choice in node.get("anyOf", []):
            found += _undescribed(choice, path)
    return found


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nextends: readonly\nroots: [a]",
        "version: 2\nextends: readonly",
        "version: 1\nextends: readonly\nfiles: {roots: []}",
        "version: 1\nextends: readonly\nfiles: {roots: [{path: work}]}",
        "version: 1\nextends: readonly\nfiles: {roots: [{path: /srv, access: rw}]}",
        "version: 1\nextends: readonly\nrules: {x: {alow: files.write}}",
        "version: 1\nextends: readonly\nrules: {x: {allow: files.wirte}}",
        "version: 1\nextends: readonly\nrules: {x: {allow: files.write, deny: files.write}}",
        "version: 1\nextends: readonly\nrules: {x: {where: {path: /srv}}}",
        "version: 1\nextends: readonly\nrules: {x: {allow: files.write, where: {pth: /srv}}}",
        "version: 1\nextends: readonly\nrules: {x: {allow: files.write, where: {exists: 1}}}",
        "version: 1\nextends: readonly\nrules: {x: {allow: files.write, where: {changed: [a]}}}",
        "version: 1\nextends: readonly\nrules: {x: {allow: files.write, overrides: [builtin.own]}}",
        "version: 1\nextends: readonly\nrules: {x: {allow: files.write, risk: huge}}",
        "version: 1\nextends: readonly\nlimits: {calls: {max: 0, per: 1m}}",
        "version: 1\nextends: readonly\nlimits: {calls: {max: 1, per: 60}}",
        "version: 1\nextends: readonly\nsnapshots: {max_size: big}",
        "version: 1\nextends: readonly\nkubectl: {contexts: {a: {profile: prod, namespaces: [x]}}}",
        "version: 1\nextends: readonly\nconfine: maybe",
    ],
)
def test_an_editor_sees_what_the_loader_refuses(place: Place, text: str) -> None:
    assert list(validator.iter_errors(parse_yaml_positions(text).data()))
    with pytest.raises(PolicyError):
        place.load(text)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden_decisions(path: Path) -> None:
    failures = [f"{one.file}:{one.line}: {one.case}: {one.failure}" for one in run_file(path) if one.failure]
    assert failures == []


def test_every_profile_decides_every_change_somehow_in_the_golden_decisions() -> None:
    """A profile's rule that no golden decision names is one that nobody looked at."""
    named = {
        str(case.get("rule", ""))
        for path in CASES
        for case in parse_yaml_positions(path.read_text("utf-8")).data()["cases"]
    }
    unnamed = []
    for profile in PROFILES:
        rules = parse_yaml_positions((FOLDER / f"{profile}.yaml").read_text("utf-8")).data()["rules"]
        unnamed += [
            f"{profile}.{id}" for id, rule in rules.items() if "deny" in rule and f"{profile}.{id}" not in named
        ]
    assert unnamed == []


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_says_something_about_every_action(place: Place, profile: str) -> None:
    policy = place.usual(profile=profile)
    spoken = {verb for rule in policy.rules if rule.id.startswith(profile) for verb in rule.verbs}
    assert spoken == set(VERBS)


def test_stricter_profiles_are_stricter(place: Place) -> None:
    """An action as such (no attributes known) is never milder in production than in staging than in development."""
    from interlock.guard.decide import Decider
    from interlock.guard.model import Action

    order = ["development", "staging", "production"]
    deciders = [Decider(place.usual(profile=profile).rules, VERBS) for profile in order]
    for verb in VERBS:
        ordinary = Action(verb, "x", {"inside": True, "replicas": 3, "files": 1, "kind": "deployments"})
        effects = [decider.decide([ordinary]).effect for decider in deciders]
        assert effects == sorted(effects), (verb, effects)


def test_the_tests_of_the_folder_are_readable_by_the_schema_of_actions() -> None:
    for path in CASES:
        tree = parse_yaml_positions(path.read_text("utf-8")).data()
        assert path.read_text("utf-8").startswith("#"), f"{path.name} does not say what it is about"
        assert all(case["case"] for case in tree["cases"])


def test_the_design_pages_own_example(place: Place) -> None:
    """The example of the README and of example.yaml, word for word where it matters."""
    policy = place.load((FOLDER / "example.yaml").read_text("utf-8"))
    ids = {rule.id: rule for rule in policy.rules}
    assert ids["restart-web"].overrides == {"production.restart"}
    assert set(SECTIONS) == set(policy.sections)
    assert json.dumps(sorted(policy.contexts_profiles)) == '["prod-eu", "staging"]'


def test_the_checkout_and_the_wheel_find_the_same_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a wheel the folder lies inside the package; a leftover folder without the schema is not taken for it."""
    from interlock.guard.policy import files

    package = tmp_path / "interlock"
    (package / "guard").mkdir(parents=True)
    (package / "policy").mkdir()
    monkeypatch.setattr(files, "__file__", str(package / "guard" / "policy" / "files.py"))
    assert files.policies_folder() == tmp_path.parent / "policy"
    (package / "policy" / "schema.json").write_text("{}")
    assert files.policies_folder() == package / "policy"


def test_profiles_load_without_a_user_policy(place: Place) -> None:
    for profile in PROFILES:
        assert load(place.write(f"version: 1\nextends: {profile}\n")).sections == {}

"""Loading a policy: every oddity is an error with its place and a hint; the rest means what it says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from policies import Place

from interlock.guard.model import Changed, Effect, Flag, Globs, Layer, Range, Risk
from interlock.guard.policy.loading import PROFILES, PolicyError, find_policy, load
from interlock.registry import SECTIONS, VERBS


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path.resolve(), monkeypatch)


def rule(place: Place, text: str, id: str = "x"):
    return next(rule for rule in place.usual(f"rules:\n  {id}: {text}\n").rules if rule.id == id)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("", "empty", "smallest policy"),
        ("# nothing\n", "empty", "smallest policy"),
        ("{", "did not find", ""),
        ("just text", "a mapping of keys", ""),
        ("- a\n- list", "a mapping of keys", ""),
        ("version: 1\n", "`extends` is missing", "readonly"),
        ("extends: readonly\n", "`version` is missing", "version: 1"),
        ("version: 2\nextends: readonly\n", "version of the format is unknown", "version: 1"),
        ("version: true\nextends: readonly\n", "version of the format is unknown", ""),
        ("version: 1\nextends: prod\n", "no profile `prod`", "production"),
        ("version: 1\nextends: ./team.yaml\n", "no profile", ""),
        ("version: 1\nextends: [readonly]\n", "is the name of a profile", ""),
        ("version: 1\nextends: readonly\nroots: [/]\n", "has no `roots`", ""),
        ("version: 1\nextends: readonly\nfile: {roots: []}\n", "`roots` is an empty list", "not `everything`"),
        ("version: 1\nextends: readonly\nfiles:\n", "`files` has no value", "take the key out"),
        ("version: 1\nextends: readonly\nfiles: {}\n", "`files` is empty", "take the key out"),
        ("version: 1\nextends: readonly\nfiles: {roots: null}\n", "`roots` has no value", ""),
        ("version: 1\nextends: readonly\nfiles: {roots: [~]}\n", "has no value", ""),
        ("version: 1\nextends: readonly\nfiles: [a]\n", "`files` is a mapping", ""),
        ("version: 1\nextends: readonly\nfiles: {protected: ['**/x']}\n", "`roots` is missing", ""),
        (
            "version: 1\nextends: readonly\nfiles: {rots: [{path: /srv}]}\n",
            "there is no `rots`",
            "did you mean `roots`?",
        ),
        ("version: 1\nextends: readonly\nfiles: {roots: [{path: /srv, acess: read}]}\n", "no `acess`", "`access`"),
        ("version: 1\nextends: readonly\nfiles: {roots: [{path: /srv, access: rw}]}\n", "must be one of", ""),
        ("version: 1\nextends: readonly\nfiles: {roots: [{path: work}]}\n", "must be absolute", ""),
        ("version: 1\nextends: readonly\nfiles: {roots: [{path: '${HOME}/x'}]}\n", "`${` is not expanded", ""),
        ("version: 1\nextends: readonly\nfiles: {roots: [{path: /srv/../etc}]}\n", "`..`", ""),
        ("version: 1\nextends: readonly\nfiles: {roots: [{path: ~other/x}]}\n", "your own home", ""),
        ("version: 1\nextends: readonly\nfiles: {roots: [{path: 7}]}\n", "must be text", ""),
        ("version: 1\nextends: readonly\nlimits: {calls: {max: 0, per: 1m}}\n", "greater than or equal to 1", ""),
        ("version: 1\nextends: readonly\nlimits: {calls: {max: 5, per: 60}}\n", "a time is a number and one of", ""),
        ("version: 1\nextends: readonly\nlimits: {calls: {max: 5, per: 0s}}\n", "greater than 0", ""),
        ("version: 1\nextends: readonly\nlimits: {calls: {max: many, per: 1m}}\n", "whole number", ""),
        ("version: 1\nextends: readonly\nlimits: {cals: {max: 5, per: 1m}}\n", "there is no `cals`", "`calls`"),
        ("version: 1\nextends: readonly\nsnapshots: {max_size: big}\n", "a size is a number of bytes", ""),
        ("version: 1\nextends: readonly\napprovals: {people: nobody}\n", "must be one of", ""),
        ("version: 1\nextends: readonly\nconfine: yes\n", "must be one of", ""),
        (
            "version: 1\nextends: readonly\ncontacts: ['https://hooks.example.com/T0/secret']\n",
            "form that is not accepted",
            "",
        ),
        ("version: 1\nextends: readonly\nagent: 'a b'\n", "form that is not accepted", ""),
        (
            "version: 1\nextends: readonly\nkubectl: {contexts: {a: {profile: prod, namespaces: [x]}}}\n",
            "no profile `prod`",
            "production",
        ),
        ("version: 1\nextends: readonly\nkubectl: {contexts: {a: {namespaces: []}}}\n", "empty list", ""),
        ("version: 1\nextends: readonly\nkubectl: {contexts: {a: {}}}\n", "`a` is empty", ""),
        ("version: 1\nextends: readonly\ngit: {repositories: ['~/work/[a']}\n", "not closed", ""),
        (
            "version: 1\nextends: readonly\nlogs: {sources: {a: {path: /var/log/a, journald: {unit: x}}}}\n",
            "exactly one of",
            "",
        ),
    ],
)
def test_a_policy_that_is_refused(place: Place, text: str, says: str, hint: str) -> None:
    problems = place.problems(text)
    found = [p for p in problems if says in p.message and hint in p.hint]
    assert found, [str(p) for p in problems]
    assert found[0].file == str(place.path)


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("{alow: files.write}", "no `alow`", "`allow`"),
        ("{}", "is empty", ""),
        ("[files.write]", "a rule is {effect: actions", ""),
        ("files.write", "a rule is {effect: actions", ""),
        ("{where: {path: /srv}}", "the rule has no effect", "exactly one of"),
        ("{allow: files.write, deny: files.write}", "two effects", "exactly one of"),
        ("{allow: files.wirte}", "no action `files.wirte`", "`files.write`"),
        ("{allow: file.write}", "no action `file.write`", "`files.write`"),
        ("{allow: files.undo}", "no action", "the actions it would perform"),
        ("{allow: write}", "no action `write`", ""),
        ("{allow: read}", "no action `read`", "`reads`"),
        ("{allow: '*'}", "no action", ""),
        ("{allow: 7}", "an action is a name", ""),
        ("{allow: [files.write, {a: b}]}", "an action is a name", ""),
        ("{allow: files.write, where: {pth: /srv/a}}", "none of the rule's actions has `pth`", "`path`"),
        ("{allow: files.write, where: {replicas: 3}}", "none of the rule's actions has `replicas`", ""),
        ("{allow: files.write, where: [path]}", "`where` is a mapping", ""),
        ("{allow: files.write, path: /srv/a}", "no `path`", "where: {path"),
        ("{allow: files.write, where: {path: src/**}}", "a path is absolute", ""),
        ("{allow: files.write, where: {path: '${ROOT}/a'}}", "`${` is not expanded", ""),
        ("{allow: files.write, where: {path: '/srv/[a'}}", "not closed", ""),
        ("{allow: files.write, where: {path: 3}}", "must be text", ""),
        ("{allow: files.write, where: {exists: yes}}", "true or false", "YAML 1.2"),
        ("{allow: files.write, where: {size: big}}", "a size is", ""),
        ("{allow: files.write, where: {size: {maximum: 3}}}", "has no `maximum`", "{min"),
        ("{allow: files.write, where: {size: {min: 3, max: 2}}}", "min is larger than max", ""),
        ("{allow: kubectl.scale, where: {replicas: 1.5}}", "whole number", ""),
        ("{allow: files.write, where: {changed: [a]}}", "{only: [key paths]}", ""),
        ("{allow: files.write, where: {changed: {only: [a], beyond: [b]}}}", "{only: [key paths]}", ""),
        ("{allow: files.write, where: {changed: {only: ['a..b']}}}", "between two keys", ""),
        (
            "{allow: [files.move, kubectl.scale], where: {to: '/a', replicas: 1}}",
            "has all of these attributes",
            "several rules",
        ),
        ("{allow: files.write, overrides: builtin.own}", "cannot be overridden", ""),
        (
            "{allow: files.write, overrides: [development.fils]}",
            "no shipped rule `development.fils`",
            "`development.files`",
        ),
        ("{allow: files.write, overrides: [prod.delete]}", "no shipped rule", ""),
        ("{allow: files.write, overrides: other}", "names shipped rules", ""),
        ("{allow: files.write, risk: extreme}", "low, medium, high or critical", ""),
        ("{allow: files.write, reason: [a]}", "a sentence", ""),
        ("{allow: files.write, reason: '" + "x" * 501 + "'}", "a sentence", ""),
    ],
)
def test_a_rule_that_is_refused(place: Place, text: str, says: str, hint: str) -> None:
    problems = place.problems(place.usual_text(f"rules:\n  x: {text}\n"))
    found = [p for p in problems if says in p.message and hint in p.hint]
    assert found, [str(p) for p in problems]
    assert 6 <= found[0].line <= 7


@pytest.mark.parametrize("id", ["a.b", "a b", "x" * 65, "-a", "ä"])
def test_ids_are_simple_words(place: Place, id: str) -> None:
    assert "a rule's id" in place.problem(place.usual_text(f"rules:\n  {id!r}: {{allow: reads}}\n")).message


def test_all_errors_come_at_once_with_their_places(place: Place) -> None:
    text = """\
        version: 1
        extends: development
        agnt: x
        files:
          roots:
            - {path: ~/work, acces: write}
        rules:
          a: {allow: files.wirte}
          b: {deny: files.write, where: {paht: "/x"}}
        """
    assert [(p.line, p.column) for p in place.problems(text)] == [(3, 1), (6, 22), (8, 14), (9, 34)]


def test_the_error_says_where_and_what_to_do(place: Place) -> None:
    with pytest.raises(PolicyError) as caught:
        place.load("version: 1\nextends: develop\n")
    assert f"{place.path}:2:10" in caught.value.message
    assert "did you mean `development`?" in caught.value.hint


def test_bytes_that_are_no_text(place: Place) -> None:
    for raw in (
        b"version: 1\nextends: \xff\n",
        b"version: 1\0\n",
        b"\xff\xfev\0e\0r\0",
        b"version: 1\n" + b"#" * (1 << 20),
    ):
        place.path.write_bytes(raw)
        place.path.chmod(0o600)
        with pytest.raises(PolicyError):
            load(place.path)


def test_what_is_no_file(place: Place, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="there is no policy here"):
        load(place.path)
    place.path.mkdir()
    with pytest.raises(PolicyError):
        load(place.path)
    pipe = place.config / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(PolicyError, match="not a regular file"):
        load(pipe)


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize("profile", PROFILES)
def test_each_profile_loads_and_every_strict_rule_says_why(place: Place, profile: str) -> None:
    policy = place.usual(profile=profile)
    assert policy.profile == profile
    assert policy.warnings == ()
    for one in policy.rules:
        if one.effect >= Effect.ASK:
            assert one.reason, one.id
        if one.effect is Effect.DENY:
            assert one.hint, one.id


def test_actions_expand(place: Place) -> None:
    assert rule(place, "{deny: files.*}").verbs == {verb for verb in VERBS if verb.startswith("files.")}
    assert rule(place, "{deny: reads}").verbs == {verb.name for verb in VERBS.values() if not verb.change}
    assert rule(place, "{deny: changes}").verbs == {verb.name for verb in VERBS.values() if verb.change}
    assert rule(place, "{deny: [files.write, git.push]}").verbs == {"files.write", "git.push"}


def test_a_rule_holds_for_the_actions_that_have_its_attributes(place: Place) -> None:
    made = place.usual("rules:\n  x: {deny: [files.write, files.read], where: {exists: true}}\n")
    assert next(r for r in made.rules if r.id == "x").verbs == {"files.write"}
    assert any("files.read has no exists" in warning.message for warning in made.warnings)
    group = place.usual("rules:\n  x: {deny: changes, where: {replicas: 0}}\n")
    assert next(r for r in group.rules if r.id == "x").verbs == {"kubectl.scale"}


def test_conditions(place: Place) -> None:
    def where(text: str, verb: str = "files.write"):
        return rule(place, f"{{deny: {verb}, where: {{{text}}}}}").where

    home = place.folder
    assert where('path: "~/work/**"') == {"path": Globs((f"{home}/work/**",))}
    assert where('path: ["**/a", "/srv/b"]') == {"path": Globs(("**/a", "/srv/b"))}
    assert where("namespace: web-*", "kubectl.scale") == {"namespace": Globs(("web-*",))}
    assert where("replicas: 3", "kubectl.scale") == {"replicas": Range(3, 3)}
    assert where("replicas: {min: 1}", "kubectl.scale") == {"replicas": Range(1, None)}
    assert where("size: {max: 5M}") == {"size": Range(None, 5 << 20)}
    assert where("exists: false") == {"exists": Flag(False)}
    assert where("changed: {only: [spec.replicas]}") == {"changed": Changed(("spec.replicas",), False)}
    assert where("changed: {beyond: spec}") == {"changed": Changed(("spec",), True)}


def test_paths_in_rules_are_real_paths(place: Place) -> None:
    (place.folder / "real").mkdir()
    (place.folder / "link").symlink_to("real")
    made = rule(place, '{deny: files.write, where: {path: "~/link/**"}}')
    assert made.where == {"path": Globs((f"{place.folder}/real/**",))}


def test_a_home_with_special_characters_is_taken_literally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path.resolve() / "a[b]*", monkeypatch)
    made = rule(place, '{deny: files.write, where: {path: "~/work/*.py"}}').where["path"]
    assert isinstance(made, Globs)
    from interlock.globs import compile_globs

    assert compile_globs(made.patterns).matches(f"{place.folder}/work/a.py")
    assert not compile_globs(made.patterns).matches(f"{tmp_path.resolve()}/ab/work/a.py")


def test_the_rest_of_a_rule(place: Place) -> None:
    made = rule(
        place,
        "{ask: files.write, risk: high, reason: 'because  of\n    this', hint: do that, overrides: development.files}",
    )
    assert (made.effect, made.risk, made.reason, made.hint) == (Effect.ASK, Risk.HIGH, "because of this", "do that")
    assert made.overrides == {"development.files"}
    assert made.layer is Layer.USER
    assert (made.file, made.line) == (str(place.path), 6)


def test_the_rule_layers(place: Place) -> None:
    layers = {rule.id: rule.layer for rule in place.usual("rules:\n  mine: {deny: reads}\n").rules}
    assert layers["mine"] is Layer.USER
    assert layers["development.push"] is Layer.SHIPPED
    assert layers["builtin.outside"] is Layer.BUILTIN


def test_limits_differ_key_by_key(place: Place) -> None:
    policy = place.usual("limits: {calls: {max: 7, per: 90s}}\napprovals: {wait: 0s}\nsnapshots: {max_size: 1G}\n")
    assert (policy.limits.calls.max, policy.limits.calls.per) == (7, 90)
    assert policy.limits.failures.open_for == 300
    assert (policy.approvals.wait, policy.approvals.expires, policy.approvals.client_consent) == (0, 900, "medium")
    assert (policy.snapshots.max_size, policy.snapshots.keep) == (1 << 30, 30 * 86400)


def test_sections_that_are_absent_bind_to_nothing(place: Place) -> None:
    policy = place.usual()
    assert set(policy.sections) == {"files"}
    assert policy.section(SECTIONS["git"]) is None
    section = policy.section(SECTIONS["files"])
    assert section is not None
    assert [str(root.path) for root in section.roots] == [str(place.work)]  # type: ignore[attr-defined]


def test_the_full_example_of_the_repository_loads(place: Place) -> None:
    from interlock.guard.policy.loading import policies_folder

    text = (policies_folder() / "example.yaml").read_text()
    policy = place.load(text)
    assert set(policy.sections) == {"files", "git", "kubectl", "logs"}
    assert policy.contexts_profiles == {"staging": "staging", "prod-eu": "production"}
    assert policy.contacts == ("env:SLACK_URL", "file:~/.config/interlock/pager")
    assert policy.warnings == ()


def test_names_of_contexts_and_rules_may_look_like_numbers(place: Place) -> None:
    policy = place.usual('kubectl: {contexts: {"123": {namespaces: [a]}}}\nrules: {1: {deny: reads}}\n')
    assert any(rule.id == "1" for rule in policy.rules)


# ---------------------------------------------------------------- extends


def test_a_teams_policy_counts_as_shipped(place: Place) -> None:
    place.write(
        "version: 1\nextends: staging\nrules: {no-push: {deny: git.push}}\nlimits: {calls: {max: 9, per: 1m}}\n",
        place.config / "team.yaml",
    )
    policy = place.load(
        "version: 1\nextends: ~/.config/interlock/team.yaml\ngit: {repositories: [~/work/x]}\n"
        "rules: {mine: {allow: git.push, overrides: [team.no-push, staging.push]}}\n"
    )
    assert policy.profile == "staging"
    assert {r.id: r.layer for r in policy.rules}["team.no-push"] is Layer.SHIPPED
    assert policy.limits.calls.max == 9
    assert policy.files == (place.path, place.config / "team.yaml")
    assert policy.warnings == ()


def test_protections_add_up_and_places_are_not_inherited(place: Place) -> None:
    place.write(
        "version: 1\nextends: staging\nfiles: {roots: [{path: /srv}], protected: ['**/theirs/**']}\n"
        "git: {repositories: [/srv/x]}\n",
        place.config / "team.yaml",
    )
    policy = place.load(
        "version: 1\nextends: ~/.config/interlock/team.yaml\n"
        "files: {roots: [{path: ~/work}], protected: ['**/mine/**']}\n"
    )
    section = policy.sections["files"]
    assert section.protected == ("**/mine/**", "**/theirs/**")  # type: ignore[attr-defined]
    assert [str(root.path) for root in section.roots] == [str(place.work)]  # type: ignore[attr-defined]
    assert "git" not in policy.sections
    assert any("`files.roots` names places" in warning.message for warning in policy.warnings)


def test_a_cycle_is_refused(place: Place) -> None:
    place.write("version: 1\nextends: ~/.config/interlock/b.yaml\n", place.config / "a.yaml")
    place.write("version: 1\nextends: ~/.config/interlock/a.yaml\n", place.config / "b.yaml")
    assert "extends itself" in place.problem("version: 1\nextends: ~/.config/interlock/a.yaml\n").message
    place.write("version: 1\nextends: ~/.config/interlock/policy.yaml\n", place.config / "c.yaml")
    assert "extends itself" in place.problem("version: 1\nextends: ~/.config/interlock/c.yaml\n").message


def test_an_extended_policy_that_is_not_there_or_odd(place: Place) -> None:
    one = place.problem("version: 1\nextends: ~/.config/interlock/team.yaml\n")
    assert "there is no policy here" in one.message
    team = place.write("version: 1\nextends: staging\nrules: {x: {alow: reads}}\n", place.config / "team.yaml")
    assert {p.file for p in place.problems("version: 1\nextends: ~/.config/interlock/team.yaml\n")} == {str(team)}
    place.write("version: 1\nextends: staging\n", place.config / "staging.yaml")
    assert "is taken" in place.problem("version: 1\nextends: ~/.config/interlock/staging.yaml\n").message


def test_a_context_has_the_rules_and_limits_of_its_profile(place: Place) -> None:
    policy = place.usual("kubectl: {contexts: {a: {namespaces: [x]}, b: {profile: production, namespaces: [x]}}}\n")
    assert policy.contexts_profiles == {"b": "production"}
    assert policy.limits_for("b").changes.max == 10
    assert policy.limits_for("a") is policy.limits_for(None) is policy.limits
    of_b = [rule for rule in policy.rules if rule.id.startswith("production.")]
    assert of_b and all(rule.contexts == {"b"} for rule in of_b)
    assert all(verb.startswith("kubectl.") for rule in of_b for verb in rule.verbs)
    assert all(rule.except_contexts == {"b"} for rule in policy.rules if rule.id.startswith("development."))


def test_a_profile_that_is_switched_on_replaces_shipped_rules_and_limits_only(place: Place) -> None:
    place.usual("rules: {mine: {deny: git.push}}\nkubectl: {contexts: {b: {profile: production, namespaces: [x]}}}\n")
    policy = load(place.path, profile="incident")
    assert policy.profile == "incident"
    assert policy.limits.changes.max == 40
    assert {r.id.partition(".")[0] for r in policy.rules} == {"builtin", "incident", "mine"}
    assert policy.contexts_profiles == {}


# ---------------------------------------------------------------- finding it


def test_where_the_policy_is_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_policy() == place.path
    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/xdg")
    assert find_policy() == Path("/etc/xdg/interlock/policy.yaml")
    monkeypatch.setenv("INTERLOCK_POLICY", "/etc/interlock.yaml")
    assert find_policy() == Path("/etc/interlock.yaml")
    assert find_policy("/a/b.yaml") == Path("/a/b.yaml")
    assert find_policy("~/b.yaml") == place.folder / "b.yaml"


def test_never_from_the_working_directory(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.work)
    (place.work / "policy.yaml").write_text("version: 1\nextends: development\n")
    assert find_policy() == place.path
    for odd in ("policy.yaml", "./policy.yaml", "${HOME}/policy.yaml"):
        with pytest.raises(PolicyError):
            find_policy(odd)
        monkeypatch.setenv("INTERLOCK_POLICY", odd)
        with pytest.raises(PolicyError):
            find_policy()

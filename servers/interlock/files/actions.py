"""What the policy sees of files: the table of actions and the policy's `files` section. Pure; light to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ModelWrapValidatorHandler, PrivateAttr, model_validator

from interlock import globs
from interlock.guard.model import Action, Attribute, Kind, Risk, UndoClass, Verb
from interlock.guard.policy.types import NameGlob, Place, PolicyModel, Seconds, Size, absolute

_COMMON: Final = {
    "path": Kind.PATH,  # the real path of what is opened, or of what would be made
    "inside": Kind.FLAG,  # within a root that grants the access this verb needs
    "protected": Kind.FLAG,  # its name is on the list of protected names, or a tree holds such a name
    "own": Kind.FLAG,  # Interlock's own, or a tree that holds it
}
_EXTENT: Final = {"files": Kind.NUMBER, "size": Kind.NUMBER}  # entries in a tree; bytes

VERBS: Final = (
    Verb("files.read", False, Risk.LOW, UndoClass.FULL, {**_COMMON, "size": Kind.NUMBER}),
    Verb("files.list", False, Risk.LOW, UndoClass.FULL, _COMMON),
    Verb(
        "files.write",
        True,
        Risk.MEDIUM,
        UndoClass.FULL,
        {**_COMMON, **_EXTENT, "exists": Kind.FLAG, "changed": Kind.KEYS},
    ),
    Verb("files.move", True, Risk.MEDIUM, UndoClass.FULL, {**_COMMON, **_EXTENT, "to": Kind.PATH, "tree": Kind.FLAG}),
    Verb("files.delete", True, Risk.MEDIUM, UndoClass.FULL, {**_COMMON, **_EXTENT, "tree": Kind.FLAG}),
    Verb("files.clean_up", True, Risk.MEDIUM, UndoClass.FULL, {**_COMMON, **_EXTENT, "name": Kind.TEXT}),
)


def _entry_glob(value: Any) -> str:
    """A glob over the names directly in a folder; a trailing `/` takes folders only. Raises ValueError."""
    if not isinstance(value, str) or not value.strip("/"):
        raise ValueError("this must be a glob over names, such as `build-*/`")
    globs.check(value, directories=True)
    if "/" in value.rstrip("/") or "**" in value or value.strip("/") in (".", ".."):
        raise ValueError("this must match names directly in the folder: no `/` but at the end, no `**`")
    return value


EntryGlob = Annotated[str, BeforeValidator(_entry_glob)]


class RootSettings(PolicyModel):
    """A folder that the agent may reach, with everything below it."""

    path: Place = Field(description="The folder, absolute or with ~/.")
    access: Literal["read", "write"] = Field(default="read", description="read, or write (which includes read).")
    _written: str = PrivateAttr(default="")

    @model_validator(mode="wrap")
    @classmethod
    def _keep_written(cls, value: Any, read: ModelWrapValidatorHandler[RootSettings]) -> RootSettings:
        made = read(value)
        given = value.get("path") if isinstance(value, Mapping) else None
        made._written = absolute(given) if isinstance(given, str) else ""
        return made

    @property
    def written(self) -> str:
        """The path as the policy spells it, which may lead through links: people and agents go on calling it so."""
        return self._written or str(self.path)


class CleanUpMax(PolicyModel):
    """The most that one run may take; beyond it nothing is taken."""

    files: Annotated[int, Field(gt=0)] = Field(default=500, description="Files and folders, those inside included.")
    size: Size = Field(default=20 * 1024**3, description="Bytes, e.g. 20G.")


class CleanUp(PolicyModel):
    """A clean-up that the agent may run by its name: what matches directly below `path` and is old goes."""

    path: Place = Field(description="The folder to clean. A bound of its own: nothing else may be done in it.")
    match: Annotated[tuple[EntryGlob, ...], Field(min_length=1)] = Field(
        description="Globs of names directly in it; a trailing / means folders only."
    )
    older_than: Seconds = Field(description="Age by modification time, e.g. 30d.")
    keep_newest: Annotated[int, Field(ge=0)] = Field(default=0, description="How many of the newest matches stay.")
    keep: Seconds = Field(default=3600, description="How long it can be restored before it is purged for good.")
    max: CleanUpMax = Field(default=CleanUpMax())


class Section(PolicyModel):
    """Which folders the files server reaches, what is protected in them, and which clean-ups it may run."""

    roots: Annotated[tuple[RootSettings, ...], Field(min_length=1)] = Field(
        description="Folders that may be reached, and nothing outside; where they nest, the innermost one decides."
    )
    protected: tuple[NameGlob, ...] = Field(
        default=(), description="Globs of protected paths, added to the built-in list; **/customers/** for anywhere."
    )
    unprotected: tuple[NameGlob, ...] = Field(
        default=(),
        description="Exceptions to the built-in list, e.g. **/.env.example. Secrets by content stay hidden.",
    )
    hard_links: Literal["inside", "any"] = Field(
        default="inside",
        description="Files with several names: read where all names are found inside the root, or any.",
    )
    clean_up: dict[str, CleanUp] = Field(default={}, description="Named clean-ups that the agent may run.")


def action(verb: str, path: str, *, effect: str = "", **attributes: Attribute | None) -> Action:
    """One files action; attributes that are None cannot be known yet and are left out."""
    known = {"path": path, **{key: value for key, value in attributes.items() if value is not None}}
    return Action(f"files.{verb}", path, known, effect)

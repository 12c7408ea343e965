"""Whether a store is finished: a mark in its root's attributes, written first, changed last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from xprep.errors import UnfinishedStoreError
from xprep.io.commit.owner import Owner
from xprep.io.ome.groups import Group

MARK: Final = "xprep"
Status = Literal["finished", "writing", "foreign"]


def mark_writing(owner: Owner, **about: Any) -> dict[str, Any]:
    """Return the attributes of a store that is being written; ``about`` is what the mark says besides."""
    return {MARK: {"status": "writing", "owner": owner.to_json(), **about}}


def mark_finished(extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the attributes of a finished store."""
    return {MARK: {"status": "finished", **(extra or {})}}


def read_status(group: Group) -> Status:
    """Return whether xprep finished a store, is or was writing it, or has nothing to do with it."""
    mark = group.attributes.get(MARK)
    status = mark.get("status") if isinstance(mark, Mapping) else None
    if status is None:
        return "foreign"
    return "finished" if status == "finished" else "writing"


def read_mark(group: Group) -> Mapping[str, Any]:
    """Return all that the mark of a store says; nothing of a foreign store."""
    mark = group.attributes.get(MARK)
    return mark if isinstance(mark, Mapping) else {}


def check_finished(group: Group) -> None:
    """Refuse a store that is not finished.

    Raises
    ------
    UnfinishedStoreError
        It says who writes it, and what to do.
    """
    if read_status(group) != "writing":
        return
    raise UnfinishedStoreError(
        f"{group.place} is not finished: {describe_owner(group)}. What is missing would read as zeros. Finish it by "
        "running the same command with resume=True, write it anew with overwrite=True, or delete it."
    )


def read_owner(group: Group) -> Owner | None:
    """Return who writes a store."""
    mark = group.attributes.get(MARK)
    return Owner.from_json(mark.get("owner")) if isinstance(mark, Mapping) else None


def describe_owner(group: Group) -> str:
    """Return a clause about who writes a store, and whether that process still runs."""
    if (owner := read_owner(group)) is None:
        return "nobody knows who wrote it"
    state = {True: "is being written by", False: "was left by", None: "was begun by"}[owner.is_alive]
    if owner.is_here:  # after Ctrl-C in a notebook, nobody is writing any more
        state = "was begun by this very process,"
    beside = read_mark(group).get("from")
    return f"it {state} {owner}" + (f", to be replaced by {beside!r}, which lies whole beside it" if beside else "")


def inherit_status(group: Group, above: Group) -> Group:
    """Return ``group`` with the mark of the store that it is a part of."""
    if MARK not in above.attributes:
        return group
    return replace(group, attributes={**group.attributes, MARK: above.attributes[MARK]})

"""A store that is this run's: is it still, may it replace what is there, and how it is put in place when it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from xprep.errors import StoreExistsError
from xprep.io.claims import hold, is_mine, state_of
from xprep.io.moving import Move
from xprep.io.replacing import announced
from xprep.io.room import delete_store, put_in_place
from xprep.io.stores import Place
from xprep.types import Listener


@dataclass(frozen=True)
class Claim:
    """A store that a run writes.

    Parameters
    ----------
    place : Place
        Where it is being written; beside ``target`` when it will replace what is there.
    target : Place
        Where it will be.
    run : str
        Name of the run: another that took the store over has another.
    replaced : str, optional
        State of the store at ``target``, if this one will replace it: nobody else may have done so before.
    """

    place: Place
    target: Place
    run: str
    replaced: str | None = None

    @property
    def is_beside(self) -> bool:
        """Whether it will replace what is at ``target``."""
        return (self.place.path, self.place.shown) != (self.target.path, self.target.shown)


def claimed(place: Place, target: Place, run: str) -> Claim:
    """Return the claim of ``run`` on ``place``, which shall be at ``target``: with the state of what it will replace."""
    claim = Claim(place, target, run)
    return Claim(place, target, run, state_of(target)) if claim.is_beside else claim


def check_owned(claim: Claim) -> None:
    """Refuse to go on with a store that another run took over, or that shall replace what another run replaced.

    Raises
    ------
    StoreExistsError
        Another run writes there, or the store is gone; or there is another store now where this one was to be.
    """
    if not is_mine(claim.place, claim.run):
        raise StoreExistsError(
            f"{claim.place} was taken over, or deleted, by another run while this one wrote it; this one stops."
        )
    _check_replaced(claim)


def _check_replaced(claim: Claim) -> None:
    if claim.is_beside and state_of(claim.target) not in (claim.replaced, None):
        raise StoreExistsError(
            f"{claim.target} was written by another run while this one made a store to replace it; this one stops. The "
            "same command with overwrite=True and resume=True replaces what is there now."
        )


@contextmanager
def putting_in_place(claim: Claim, listener: Listener | None = None) -> Iterator[None]:
    """Give a context in which the store is called finished; afterwards it is where it was to be.

    In a bucket no other run can replace what is there meanwhile. A ``listener`` hears of the objects that are copied there.

    Raises
    ------
    StoreExistsError
        As of `check_owned`.
    """
    check_owned(claim)
    in_bucket = claim.is_beside and claim.target.folder is None
    with announced(claim.place, claim.target, claim.run) if in_bucket else nullcontext() as move:
        _check_replaced(claim)
        yield
        if claim.is_beside:
            _move(claim, move, listener)


def _move(claim: Claim, move: Move | None, listener: Listener | None) -> None:
    if move is not None:
        move.carry_out(listener)
        return
    with hold(claim.target):
        _check_replaced(claim)
        aside = put_in_place(claim.place, claim.target, claim.run)
    if aside is not None:
        delete_store(aside)

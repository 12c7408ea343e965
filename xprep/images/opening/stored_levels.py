"""The stored array of one resolution, before it is anybody's image: what looks at stores needs no more, and no dask."""

from __future__ import annotations

from xprep.errors import StoreFormatError
from xprep.io.arrays.reads import Missing, ZarrReadable, open_array
from xprep.io.commit.mark import read_status
from xprep.io.ome.groups import Group
from xprep.io.ome_model import Level, Multiscale


def open_stored(group: Group, image: Multiscale, chosen: Level) -> ZarrReadable:
    """Open the array of one resolution.

    Raises
    ------
    StoreFormatError
        It is not there, or none that can be opened.
    """
    # xprep writes every chunk, also one of zeros: in a store that it finished, a chunk that is not there was lost.
    missing: Missing = "error" if read_status(group) == "finished" else "fill"
    try:
        return open_array(group.place.child(chosen.path), missing)
    except FileNotFoundError:
        raise StoreFormatError(
            f"{group.place} has {len(image.levels)} levels by its metadata, but that at {chosen.path!r} is not there. Copy the "
            "store again; or open another level, e.g. level=-1."
        ) from None

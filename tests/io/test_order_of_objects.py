"""The order in which a store is written: cut after any object, it is refused or complete."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
import xarray as xr
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

import xprep
from xprep.errors import StoreFormatError, UnfinishedStoreError


class Recording(MemoryStore):
    """Keeps what is written and deleted, in order."""

    def __init__(self, objects: Any = None) -> None:
        super().__init__(objects)
        self.events: list[tuple[str, bytes | None]] = []

    async def set(self, key: str, value: Buffer, byte_range: Any = None) -> None:
        await super().set(key, value, byte_range)
        self.events.append((key, value.to_bytes()))

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        if not await self.exists(key):
            await self.set(key, value)

    async def delete(self, key: str) -> None:
        await super().delete(key)
        self.events.append((key, None))


def prefixes(events: list[tuple[str, bytes | None]], begun: dict[str, bytes]) -> Any:
    """Give the store as it was after every write: the objects, and what was written last."""
    objects = dict(begun)
    for key, data in events:
        if data is None:
            objects.pop(key, None)
        else:
            objects[key] = data
        yield key, dict(objects)


def opened(objects: dict[str, bytes]) -> list[Any] | None:
    """Return the pixels of all that can be opened, level by level; None of a store that is refused."""
    store = MemoryStore({key: default_buffer_prototype().buffer.from_bytes(data) for key, data in objects.items()})
    try:
        tree = xprep.open_tree(store)
    except (UnfinishedStoreError, FileNotFoundError, StoreFormatError):
        for way in ({}, {"label": "cells"}, {"level": 1}):
            with pytest.raises((UnfinishedStoreError, FileNotFoundError, StoreFormatError)):
                xprep.open_image(store, **way)  # type: ignore[arg-type]
        return None
    return [node["image"].values for node in tree.subtree if "image" in node.data_vars]


def write(store: Any, image: xr.DataArray, **how: Any) -> None:
    labels = {"cells": (image.isel(c=0, drop=True) > 2).astype("uint8")}
    with xprep.set_options(timestamps=False):
        image.prep.to_ome_zarr(store, scale_factors=(2,), chunks={"y": 16, "x": 16}, labels=labels, **how)


@pytest.mark.parametrize(
    ("version", "layout"), [("0.5", "dual"), ("0.5", "flat"), ("0.4", "dual"), ("0.4", "flat"), ("0.6", "dual")]
)
def test_every_beginning_of_a_store_is_refused_or_complete(version: str, layout: str) -> None:
    image = xprep.datasets.blobs(channels=1, shape=(32, 32)).astype("u1") | 1
    store = Recording()
    write(store, image, version=version, layout=layout)
    whole = opened({key: data for key, data in _objects(store).items()})
    assert whole is not None
    states = [(key, opened(objects)) for key, objects in prefixes(store.events, {})]
    accepted = [n for n, (_, found) in enumerate(states) if found is not None]
    assert accepted == list(range(accepted[0], len(states))), "once complete, it stays so"
    for n in accepted:
        assert len(states[n][1] or []) == len(whole)
        for one, other in zip(states[n][1] or [], whole, strict=True):
            np.testing.assert_array_equal(one, other)
    # What makes it so is the last thing that is written: only the journal's parts are deleted after it.
    assert [data for _, data in store.events[accepted[0] + 1 :] if data is not None] == []
    assert len(states) > 15


@pytest.mark.filterwarnings("ignore:.*is deleted now, before what replaces it is made")
def test_every_beginning_of_an_overwrite_is_refused_or_complete() -> None:
    """In a bucket, where nothing can be renamed: never a mixture of the old and the new."""
    old, new = (xprep.datasets.blobs(channels=1, shape=(32, 32), seed=seed).astype("u1") | 1 for seed in (0, 1))
    store = Recording()
    write(store, old)
    begun, store.events = _objects(store), []
    write(store, new, overwrite=True)
    ways = [opened(begun), opened(_objects(store))]
    for key, objects in prefixes(store.events, begun):
        if (found := opened(objects)) is not None:
            assert [found[0].tobytes(), found[-1].tobytes()] in [[way[0].tobytes(), way[-1].tobytes()] for way in ways], key


def _objects(store: MemoryStore) -> dict[str, bytes]:
    async def collect() -> dict[str, bytes]:
        names = [name async for name in store.list()]
        found = await asyncio.gather(*(store.get(name, default_buffer_prototype()) for name in names))
        return {name: data.to_bytes() for name, data in zip(names, found, strict=True) if data is not None}

    return sync(collect())

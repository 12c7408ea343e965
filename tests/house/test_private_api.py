"""What is used of other libraries beside their documented parts: in one module each, there now, and taken away once."""

from __future__ import annotations

import ast
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

import xprep
from tests import paths
from tests.helpers.servers import Server
from xprep import private_api
from xprep.engine.computing import cluster_failures, cluster_watch, waiting
from xprep.engine.machine import private_dask, private_distributed
from xprep.engine.sources.foreign_graphs import adopt, places_below
from xprep.engine.sources.readable import source_of
from xprep.engine.sources.slices import follow
from xprep.images.writing.separation import check_apart
from xprep.io import private_fsspec, private_tifffile, private_weakref, private_xarray, private_zarr
from xprep.io.store import paging
from xprep.io.store.paging import list_keys
from xprep.io.store.places import open_store
from xprep.kernels import compiling, private_numba
from xprep.private_api import Absent, PrivateUse, part_of
from xprep.spatialdata import library as private_spatialdata

PIXELS = np.random.default_rng(0).integers(0, 4000, (2, 60, 70), dtype="u2")
IMAGE = xr.DataArray(PIXELS, dims=("c", "y", "x"))
MODULES = (
    private_dask, private_distributed, private_fsspec, private_numba, private_spatialdata, private_tifffile, private_weakref,
    private_xarray, private_zarr,
)  # fmt: skip

Patch = pytest.MonkeyPatch


class Surroundings:
    """What a row may ask for."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self.folder, self._request = folder, request

    @property
    def url(self) -> str:
        """Of a Zarr group with the variable ``image``."""
        group = zarr.open_group(self.folder / "a.zarr", mode="w")
        group.create_array("image", data=PIXELS, chunks=(1, 16, 20), dimension_names=("c", "y", "x"))
        return str(self.folder / "a.zarr")

    @property
    def opened(self) -> xr.DataArray:
        """The image, as dask opened it."""
        return xr.DataArray(da.from_zarr(f"{self.url}/image"), dims=("c", "y", "x"))

    @property
    def client(self) -> Any:
        """A client of a cluster in this process."""
        return self._request.getfixturevalue("client")

    @property
    def bucket(self) -> tuple[str, dict[str, Any]]:
        """An empty bucket, and what opens it."""
        s3: Server = self._request.getfixturevalue("s3")
        return s3.new_bucket(), s3.storage_options()


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="the extra 'distributed' is not installed")
    how = {"processes": False, "n_workers": 1, "threads_per_worker": 2, "dashboard_address": ":0"}
    with distributed.LocalCluster(**how) as cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client


Check = Callable[[Surroundings, bool], None]
ROWS: dict[str, tuple[Callable[[Patch], None], Check]] = {}


def row(module: Any, name: str, take_away: Callable[[Patch], None] = lambda patch: None) -> Callable[[Check], Check]:
    """Note how a use is taken away, and what is then done; ``check(surroundings, there)`` is asked with it and without."""

    def note(check: Check) -> Check:
        ROWS[f"{module.__name__.rpartition('.')[2]}.{name}"] = take_away, check
        return check

    return note


def without(module: Any, *names: str, value: Any = Absent) -> Callable[[Patch], None]:
    def take_away(patch: Patch) -> None:
        for name in names:
            patch.setattr(module, name, value)

    return take_away


def blurred(image: xr.DataArray) -> None:
    """The pixels are the same, whatever is taken away."""
    xr.testing.assert_equal(image.prep.gaussian_filter(1).compute(), IMAGE.prep.gaussian_filter(1))


# dask


@row(private_dask, "sliced", without(private_dask, "_Blockwise"))
def _sliced(have: Surroundings, there: bool) -> None:
    image = have.opened
    assert (source_of(adopt(image.data)) is not None) is there
    blurred(image)
    with pytest.raises(ValueError, match="the input would be lost"):
        check_apart([image], [have.folder / "a.zarr"], None)


@row(private_dask, "held", without(private_dask, "MaterializedLayer"))
def _held(have: Surroundings, there: bool) -> None:
    image = have.opened + 1
    assert bool(places_below(image.data)) is there
    xr.testing.assert_equal(image.compute(), IMAGE + 1)


@row(private_dask, "indexing", without(private_dask, "_Task", "_Alias"))
def _indexing(have: Surroundings, there: bool) -> None:
    part = xprep.open_image(f"{have.url}/image")[1:, :32]
    assert (source_of(follow(part.data)) is not None) is there
    np.testing.assert_array_equal(part.prep.gaussian_filter(1), IMAGE[1:, :32].prep.gaussian_filter(1))


@row(private_dask, "renamed", without(private_dask, "_convert_legacy_graph", value=None))
def _renamed(have: Surroundings, there: bool) -> None:
    image = xr.DataArray(da.from_array(PIXELS, chunks=(2, 30, 35)) + 1, dims=IMAGE.dims)
    if there:
        made = image.prep.normalize(sigma=None, intermediates="recompute").compute()
        xr.testing.assert_allclose(made, (IMAGE + 1).prep.normalize(sigma=None))
        return
    with pytest.raises(RuntimeError, match=r"lacks dask\._task_spec\.convert_legacy_graph.*intermediates='persist' or 'spill'"):
        image.prep.normalize(sigma=None, intermediates="recompute")
    image.prep.normalize(sigma=None, intermediates="persist").compute()


def _without_pools(patch: Patch) -> None:
    for name in ("default_pool", "pools", "pools_lock"):
        patch.delattr(dask.threaded, name)


@row(private_dask, "forget_pools", _without_pools)
def _forget_pools(have: Surroundings, there: bool) -> None:
    if there:
        da.ones(4).sum().compute(scheduler="threads")
        assert {"default_pool", "pools", "pools_lock"} <= vars(dask.threaded).keys()
    private_dask.forget_pools()
    assert not getattr(dask.threaded, "pools", {})


@row(private_dask, "threads_of")
def _threads_of(have: Surroundings, there: bool) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert private_dask.threads_of(pool if there else object(), 7) == (3 if there else 7)


# distributed


@row(private_distributed, "count_on_scheduler", without(cluster_watch, "count_on_scheduler", value=lambda names, **_: 1 / 0))
def _count_on_scheduler(have: Surroundings, there: bool) -> None:
    told: list[int] = []
    futures = have.client.map(lambda n: n, range(5), key="counted", pure=False)
    have.client.gather(futures)
    watch = cluster_watch.ClusterWatch(have.client, [("counted", n) for n in range(5)], lambda steps, nbytes: told.append(steps))
    watch.begin()
    assert (watch._last.heard > 0) is there
    watch.finish()
    assert sum(told) == 5


def _wait_for(begun: str, end: str) -> None:
    from distributed import Event

    Event(begun).set()
    Event(end).wait(60)


@row(private_distributed, "count_running", without(waiting, "count_running", value=lambda names, **_: 1 / 0))
def _count_running(have: Surroundings, there: bool) -> None:
    from distributed import Event

    begun, end = (Event(f"{name}-{have.folder.name}", client=have.client) for name in ("begun", "end"))
    future = have.client.submit(_wait_for, begun.name, end.name, key=f"runs-{have.folder.name}", pure=False)
    assert begun.wait(60)
    found = have.client.run(waiting.count_running, [future.key], on_error="ignore")
    assert any(found.values()) is there
    end.set()
    future.result()


@row(private_distributed, "is_wanted")
def _is_wanted(have: Surroundings, there: bool) -> None:
    def ask() -> tuple[bool, bool]:
        from distributed import get_worker

        worker = get_worker() if there else object()
        key = get_worker().get_current_task()
        return private_distributed.is_wanted(worker, key), private_distributed.is_wanted(worker, "unknown")

    assert have.client.submit(ask, pure=False).result() == (True, not there)


@row(private_distributed, "is_forked")
def _is_forked(have: Surroundings, there: bool) -> None:
    assert not private_distributed.is_forked(object())
    if there:  # as it is in a child: the thread is known, and does not run
        from distributed import Client

        with Client(have.client.scheduler.address, set_as_default=False) as client:
            assert isinstance(client._loop_runner._loop_thread._thread, threading.Thread)
            assert not private_distributed.is_forked(client)
        gone = SimpleNamespace(_loop_runner=SimpleNamespace(_loop_thread=SimpleNamespace(_thread=threading.Thread())))
        assert private_distributed.is_forked(gone)


@row(private_distributed, "cluster_errors", without(private_distributed, "part_of", value=lambda module, name: Absent))
def _cluster_errors(have: Surroundings, there: bool) -> None:
    from distributed.scheduler import KilledWorker

    killed = KilledWorker("a task", None, 3)
    said = cluster_failures.explained(killed, have.client, "tcp://lab", [])
    assert ("killed for their memory" in (said or "")) is there
    cancelled, _ = private_distributed.cluster_errors()
    assert all(issubclass(one, Exception) for one in cancelled) is there


@row(private_distributed, "note_written", without(private_distributed, "loaded", value=lambda name: object()))
def _note_written(have: Surroundings, there: bool) -> None:
    from distributed.metrics import context_meter

    told: list[Any] = []
    with context_meter.add_callback(lambda label, value, unit: told.append((label, value, unit))):
        private_distributed.note_written(7)
    assert told == ([("xprep-written", 7, "bytes")] if there else [])


# fsspec and its family


def _without_method(name: str) -> Callable[[Patch], None]:
    def take_away(patch: Patch) -> None:
        import s3fs

        for kind in s3fs.S3FileSystem.__mro__:
            if name in vars(kind):
                patch.delattr(kind, name)

    return take_away


@row(private_fsspec, "ask", _without_method("_info"))
def _ask(have: Surroundings, there: bool) -> None:
    url, options = have.bucket
    place = open_store(url, options, "r+")
    place.set("a", b"bytes")
    system = place.store.fs
    asked = private_fsspec.ask(system, f"{url.removeprefix('s3://')}/a")
    if there:
        assert private_zarr.sync(asked)["size"] == 5
        return
    with pytest.raises(OSError, match="has no _info, which xprep needs"):
        private_zarr.sync(asked)


@row(private_fsspec, "find", _without_method("_find"))
def _find(have: Surroundings, there: bool) -> None:
    url, options = have.bucket
    place = open_store(f"{url}/a", options, "r+")
    place.set("b/c", b"bytes")
    if there:
        assert place.list_sizes() == {"b/c": 5}
        return
    with pytest.raises(OSError, match="has no _find, which xprep needs"):
        place.list_sizes()


@row(private_fsspec, "pages", without(paging, "pages", value=lambda system: None))
def _pages(have: Surroundings, there: bool) -> None:
    url, options = have.bucket
    place = open_store(f"{url}/a", options, "r+")
    place.set("b/c", b"bytes")
    assert private_fsspec.pages(place.store.fs) is not None, "s3fs lists page by page by it"
    assert [name for page in list_keys(place.store, "b/", 60) for name in page] == ["c"]


def _without_create(patch: Patch) -> None:
    import s3fs

    plain = s3fs.S3FileSystem._pipe_file

    async def pipe(self: Any, path: str, data: bytes, **options: Any) -> Any:
        if "mode" in options:
            raise TypeError("no argument 'mode'")
        return await plain(self, path, data, **options)

    patch.setattr(s3fs.S3FileSystem, "_pipe_file", pipe)


@row(private_fsspec, "create_object", _without_create)
def _create_object(have: Surroundings, there: bool) -> None:
    url, options = have.bucket
    place = open_store(url, options, "r+")
    place.create("a", b"first")
    place.create("a", b"second")
    assert place.get("a") == b"first"


@row(private_fsspec, "copy_object")
def _copy_object(have: Surroundings, there: bool) -> None:
    url, options = have.bucket
    place, bucket = open_store(url, options, "r+"), url.removeprefix("s3://")
    system = place.store.fs
    assert hasattr(system, "_copy_basic"), "s3fs copies small objects in one request by it"
    place.set("a", b"bytes")
    system = system if there else SimpleNamespace(_cp_file=system._cp_file)
    private_zarr.sync(private_fsspec.copy_object(system, f"{bucket}/a", f"{bucket}/b", small=True))
    assert place.get("b") == b"bytes"


@row(private_fsspec, "endpoint_of")
def _endpoint_of(have: Surroundings, there: bool) -> None:
    known = SimpleNamespace(_endpoint="https://lab:4443")  # what gcsfs calls it
    assert private_fsspec.endpoint_of(known if there else object()) == ("https://lab:4443" if there else None)


@row(private_fsspec, "below_wrapper")
def _below_wrapper(have: Surroundings, there: bool) -> None:
    from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
    from fsspec.implementations.local import LocalFileSystem

    inner = LocalFileSystem()
    wrapper = AsyncFileSystemWrapper(inner)
    if not there:
        del wrapper.sync_fs
    assert private_fsspec.below_wrapper(wrapper) is (inner if there else wrapper)


# xarray


@row(private_xarray, "unread_data")
def _unread_data(have: Surroundings, there: bool) -> None:
    image = xr.open_zarr(have.url, chunks=None, consolidated=False).image
    held = private_xarray.unread_data(image.variable if there else SimpleNamespace(data=image.values))
    assert isinstance(held, np.ndarray) is not there
    assert bool(places_below(held)) is there


@row(private_xarray, "whole_below", without(private_xarray, "_TRANSPARENT", value=()))
def _whole_below(have: Surroundings, there: bool) -> None:
    image = xr.open_zarr(have.url, consolidated=False).image
    assert (source_of(adopt(image.data)) is not None) is there
    np.testing.assert_array_equal(image.prep.gaussian_filter(1), IMAGE.prep.gaussian_filter(1))


@row(private_xarray, "array_below", without(private_xarray, "_is_wrapper", value=lambda data: False))
def _array_below(have: Surroundings, there: bool) -> None:
    image = xr.open_zarr(have.url, consolidated=False).image
    assert bool(places_below(image.data)) is there
    np.testing.assert_array_equal(image.prep.gaussian_filter(1), IMAGE.prep.gaussian_filter(1))


# Python, tifffile, spatialdata


@row(private_weakref, "drop_finalizers", without(private_weakref, "weakref", value=SimpleNamespace(finalize=object)))
def _drop_finalizers(have: Surroundings, there: bool) -> None:
    owner, other, called = set[int](), {1}, list[Any]()
    finalizers = [weakref.finalize(one, called.append, one) for one in (owner, other)]
    private_weakref.drop_finalizers(owner)
    assert [one.alive for one in finalizers] == [not there, True]
    for one in finalizers:
        one.detach()


@row(private_tifffile, "where_in_file")
def _where_in_file(have: Surroundings, there: bool) -> None:
    import tifffile

    tifffile.imwrite(have.folder / "a.tif", PIXELS[0], compression="zlib", rowsperstrip=20)
    with tifffile.TiffFile(have.folder / "a.tif") as file:
        store = file.series[0].aszarr(level=0, squeeze=False)
        if there:
            page, offset, nbytes = private_tifffile.where_in_file(store, "0.0.0"[: 2 * PIXELS[0].ndim - 1])
            assert (page.index, offset, nbytes) == (0, page.dataoffsets[0], page.databytecounts[0])
        else:
            with pytest.raises(OSError, match="does not tell where a chunk lies"):
                private_tifffile.where_in_file(object(), "0.0")
        store.close()


@row(private_spatialdata, "to_json", without(private_spatialdata, "part_of", value=lambda module, name, default: default))
def _to_json(have: Surroundings, there: bool) -> None:
    if there:
        pytest.importorskip("spatialdata", reason="spatialdata needs an environment of its own (tests/clients)")
        found = part_of("spatialdata.transformations.transformations", "_get_current_output_axes", None)
        assert callable(found)
        return
    with pytest.raises(RuntimeError, match="does not tell a transformation's axes"):
        private_spatialdata.to_json({}, ("y", "x"))


# zarr


@row(private_zarr, "sync", without(private_zarr, "_sync", value=None))
def _sync(have: Surroundings, there: bool) -> None:
    place = open_store(zarr.storage.MemoryStore())
    if there:
        assert place.get("a") is None
        return
    with pytest.raises(RuntimeError, match=r"lacks zarr\.core\.sync\.sync"):
        place.get("a")


@row(private_zarr, "opened_zip")
def _opened_zip(have: Surroundings, there: bool) -> None:
    path = have.folder / "a.zip"
    with zarr.storage.ZipStore(path, mode="w") as made:
        zarr.create_array(made, data=PIXELS)
    store: Any = zarr.storage.ZipStore(path)
    found = private_zarr.opened_zip(store if there else SimpleNamespace(path=path))
    assert (found is store) is there
    np.testing.assert_array_equal(zarr.open_array(found)[...], PIXELS)
    found.close()


class _Sealed:
    """Metadata that are no plain object."""

    __slots__ = ("codecs", "shape")


@row(private_zarr, "with_metadata", without(private_zarr.copy, "copy", value=lambda metadata: _Sealed()))
def _with_metadata(have: Surroundings, there: bool) -> None:
    array = zarr.create_array(zarr.storage.MemoryStore(), shape=(4, 4), chunks=(2, 2), dtype="u2")
    if there:
        assert private_zarr.with_metadata(array, shape=(2, 2)).shape == (2, 2)
        assert array.shape == (4, 4)
        return
    with pytest.raises(RuntimeError, match="keeps an array's metadata in another way"):
        private_zarr.with_metadata(array, shape=(2, 2))


@row(private_zarr, "chooses_shuffle")
def _chooses_shuffle(have: Surroundings, there: bool) -> None:
    own, given = zarr.codecs.BloscCodec(), zarr.codecs.BloscCodec(shuffle="shuffle")
    assert private_zarr.chooses_shuffle(own if there else object()) is there
    assert not private_zarr.chooses_shuffle(given)


# numba


def _double(values: Any) -> Any:
    return values + values


@row(private_numba, "kept_in", without(private_numba, "_FunctionCache", value=None))
def _kept_in(have: Surroundings, there: bool) -> None:
    assert (compiling.keep_compiled(_double) is not None) is there
    if not there:
        compiling._say_that_nothing_is_kept.cache_clear()
        with pytest.warns(UserWarning, match="compiled anew in every process"):
            assert compiling.compiled()(_double)(2.5) == 5.0


@row(private_numba, "let_keep", without(private_numba, "_NullCache", value=object))
def _let_keep(have: Surroundings, there: bool) -> None:
    double: Any = compiling.compiled()(_double)
    assert (type(getattr(double._cache, "_cache_file", None)).__name__ == "_KeyedFiles") is there
    assert double(2) == 4


@row(private_numba, "name_key")
def _name_key(have: Surroundings, there: bool) -> None:
    keys: list[Any] = [(("u1",), ("target",), (code, "closure")) for code in ("one", "other")]
    names = [private_numba.name_key(key if there else ["of", "another", "kind", key]) for key in keys]
    assert (names[0] == names[1]) is there


@row(private_numba, "contiguous_type", without(private_numba, "_impl_ret_borrowed", value=None))
def _contiguous_type(have: Surroundings, there: bool) -> None:
    import numba

    typed = private_numba.contiguous_type()
    function = numba.njit(lambda row: typed(row)[1:].sum())
    values = np.arange(12.0)
    assert function(values[3:9]) == values[4:9].sum()
    row = numba.njit(lambda row: typed(row))
    row.compile((numba.typeof(values[::2]),))
    assert (row.nopython_signatures[0].return_type.layout == "C") is there


# The table


def used() -> dict[str, PrivateUse]:
    """Every use that a module notes, by its function."""
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": getattr(function, private_api.ATTRIBUTE)
        for module in MODULES
        for name, function in vars(module).items()
        if callable(function) and function.__module__ == module.__name__ and hasattr(function, private_api.ATTRIBUTE)
    }


def test_every_use_has_a_row() -> None:
    assert sorted(ROWS) == sorted(used())


def test_every_such_module_is_looked_at() -> None:
    found = {path.stem for path in (paths.ROOT / "xprep").rglob("private_*.py")} - {"private_api"}
    assert found == {module.__name__.rpartition(".")[2] for module in MODULES} - {"library"}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_it_is_there(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """An update that takes it away is seen here, and not by users who wait longer."""
    ROWS[name][1](Surroundings(tmp_path, request), True)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_without_it(name: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: Patch) -> None:
    """What its module says is lost is lost; pixels never are."""
    take_away, check = ROWS[name]
    take_away(monkeypatch)
    check(Surroundings(tmp_path, request), False)


@pytest.mark.parametrize("use", used().values(), ids=used())
def test_each_says_what_is_lost(use: PrivateUse) -> None:
    assert use.names
    assert use.since.split(" ")[-1][0].isdigit()
    assert use.loss in ("refused", "slower", "unchecked", "untidy")
    assert len(use.without) > 20


def test_a_part_that_is_gone_is_absent() -> None:
    assert part_of("os", "path") is os.path
    assert part_of("os", "no_such_name") is Absent
    assert part_of("no_such_module_anywhere", "name", None) is None
    assert not isinstance(None, Absent)


# Nobody else

LIBRARIES = (
    "adlfs", "aiobotocore", "botocore", "cloudpickle", "dask", "distributed", "filelock", "fsspec", "gcsfs", "llvmlite", "numba",
    "matplotlib", "numcodecs", "numpy", "obstore", "psutil", "s3fs", "scipy", "spatialdata", "tifffile", "tqdm", "weakref",
    "xarray", "zarr",
)  # fmt: skip
# Modules that their libraries call their own affair, though no name of them begins with an underscore.
INNER = ("dask.blockwise", "numba.core", "xarray.backends", "xarray.core", "zarr.core", "numcodecs.compat")
# Documented all the same: of named tuples, of sys, and what ends a process.
DOCUMENTED = {"_asdict", "_current_frames", "_exit", "_fields", "_make", "_replace"}
# Of schedulers and workers, whose attributes have no underscore and no documentation.
OF_CLUSTERS = {"task_groups", "task_prefixes", "cumulative_worker_metrics", "thread_state", "context_meter", "executing"}


def private_names(tree: ast.Module, own: frozenset[str]) -> list[str]:
    """Return what a module uses of other libraries' private parts."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in LIBRARIES:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name for name in names if name.startswith(INNER) or "._" in name]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.partition(".")[0] in LIBRARIES]
            found += [name for name in names if name.startswith(INNER) or "._" in name]
        elif isinstance(node, ast.Attribute):
            found += [node.attr] if _is_private(node.attr, own) else []
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr", "setattr", "delattr"):
            found += [name.value for name in node.args[1:2] if isinstance(name, ast.Constant) and _is_private(name.value, own)]
    return found


def _is_private(name: str, own: frozenset[str]) -> bool:
    if name in OF_CLUSTERS:
        return True
    return name.startswith("_") and not name.startswith("__") and name not in own and name not in DOCUMENTED


def own_names(tree: ast.Module) -> set[str]:
    """Return the private names that a module gives to its own things."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found |= {node.attr} if getattr(node.value, "id", "") in ("self", "cls") else set()
    return found


TREES = {path: ast.parse(path.read_text()) for path in sorted((paths.ROOT / "xprep").rglob("*.py"))}
OWN = frozenset().union(*(own_names(tree) for path, tree in TREES.items() if not path.stem.startswith("private_")))


def test_nobody_else_uses_private_parts() -> None:
    exempt = {Path(module.__file__ or "") for module in MODULES}
    found = {str(path.relative_to(paths.ROOT)): private_names(tree, OWN) for path, tree in TREES.items() if path not in exempt}
    assert {path: names for path, names in found.items() if names} == {}


SEEN = {
    "from dask._task_spec import TaskRef": ["dask._task_spec.TaskRef"],
    "from zarr.core.sync import sync": ["zarr.core.sync.sync"],
    "from zarr import _storage": ["zarr._storage"],
    "import numba.core.caching": ["numba.core.caching"],
    "meta = array._meta": ["_meta"],
    "found = getattr(fs, '_endpoint', None)": ["_endpoint"],
    "scheduler.task_groups.get(name)": ["task_groups"],
    "dispatcher._cache = None": ["_cache"],
    "one = two._replace(name=3)": [],
    "from zarr.abc.buffer import Buffer": [],
    "self._own": [],
}


@pytest.mark.parametrize(("line", "names"), SEEN.items(), ids=SEEN)
def test_a_private_use_is_seen(line: str, names: list[str]) -> None:
    assert private_names(ast.parse(line), frozenset({"_own"})) == names


def test_modules_of_private_parts_are_imported_without_their_libraries_changing() -> None:
    """They import what may be gone by `part_of`: a name that an update takes away does not end the import."""
    for module in MODULES:
        tree = ast.parse(Path(import_module(module.__name__).__file__ or "").read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import)]
        assert [name for node in imports for name in private_names(ast.Module([node], []), OWN)] == []

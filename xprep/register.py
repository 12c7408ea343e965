"""`.prep` on xarray's objects, before what it does is imported: `import xprep` takes a third of the time."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import xarray as xr


class _Lazy(type):
    """The type of classes that stand for one of `xprep.accessor` until it is used."""

    name: str

    def __call__(cls, obj: Any) -> Any:
        return cls.load()(obj)

    def __getattr__(cls, name: str) -> Any:
        # Of the class, as documentation and completion ask for it: xarray.DataArray.prep.normalize.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(cls.load(), name)

    def __dir__(cls) -> list[str]:
        return dir(cls.load())

    def load(cls) -> Any:
        """Return the class itself."""
        return getattr(import_module("xprep.accessor"), cls.name)


class _Image(metaclass=_Lazy):
    name = "ImagePrep"


class _Dataset(metaclass=_Lazy):
    name = "DatasetPrep"


class _Tree(metaclass=_Lazy):
    name = "TreePrep"


def register() -> None:
    """Register `.prep` with xarray."""
    xr.register_dataarray_accessor("prep")(_Image)
    xr.register_dataset_accessor("prep")(_Dataset)
    xr.register_datatree_accessor("prep")(_Tree)

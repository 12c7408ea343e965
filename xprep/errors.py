"""Errors with names of their own; each is also the builtin that callers would catch."""

from __future__ import annotations

from xprep.texts import make_safe_lines


class XprepError(Exception):
    """Base of the errors that only xprep raises; what they tell of names from elsewhere is safe to show."""

    def __str__(self) -> str:
        return make_safe_lines(super().__str__())


class UnfinishedStoreError(XprepError, ValueError):
    """A store whose writer did not finish: it must never be read as if it were complete."""


class StoreExistsError(XprepError, FileExistsError):
    """The output exists, and neither ``overwrite`` nor ``resume`` was asked for."""


class StoreFormatError(XprepError, ValueError):
    """Metadata that breaks the rules of its format, or that would be dangerous to follow."""


class ChunkError(XprepError, OSError):
    """A chunk that cannot be read or decoded, or that is missing from its store."""


class SourceChangedError(XprepError, OSError):
    """The source was changed since the run that reads it began, or since the run that is resumed began."""


class ScratchFullError(XprepError, OSError):
    """The scratch space for intermediates is full or cannot be written."""


class NobodyWorksError(XprepError, RuntimeError):
    """A cluster that cannot go on: no worker is left, all are paused, too small or die repeatedly, or the cluster was closed."""


class EmptyChannelWarning(UserWarning):
    """A channel without a single non-zero pixel: it has no percentile to be divided by."""


class PaddedImageWarning(UserWarning):
    """An image whose outermost rows or columns are all NaN: in a Dataset, xarray pads images of different shapes with NaN."""


class PercentileWarning(UserWarning):
    """A percentile which is not positive: dividing by it flips signs or gives infinities."""


class ChunksWarning(UserWarning):
    """Chunks of the output do not suit the source's: the image is written twice, once to scratch."""


class StoreFormatWarning(UserWarning):
    """A part of the metadata cannot be followed; the text says which, and what was done instead."""

    def __str__(self) -> str:
        return make_safe_lines(super().__str__())

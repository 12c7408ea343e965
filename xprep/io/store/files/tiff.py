"""TIFF files through tifffile: OME-TIFF, ImageJ, BigTIFF, pyramids of slide scanners; which series, which axes, which levels."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn

from xprep.errors import StoreFormatError
from xprep.extras import load
from xprep.io.ome_model import Channel
from xprep.io.store.files.images import FileImage, FileLevel, Opened, show_as_store
from xprep.io.store.files.tiff_metadata import TiffAbout, about_series, check_xml
from xprep.io.store.files.tiff_pixels import Axes, open_level
from xprep.io.store.files.tiff_versions import all_axes, all_series

# Of tifffile's letters, those that are ours; S, samples, are channels as well.
_DIMS: Final = {"T": "t", "C": "c", "Z": "z", "Y": "y", "X": "x", "S": "s"}
# Pages of a file that does not say what they are.
_UNSAID: Final = "IQ"
# What slide scanners store beside the specimen, by tifffile's name of the series.
_ASIDE: Final = ("label", "macro", "thumbnail", "overview", "map")
_SLIDES: Final = ("svs", "qpi", "ndpi", "scn", "bif", "philips")
_COLORS: Final = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"), ("alpha", "FFFFFF"))


def open_tiff(file: Any, shown: str, dims: str = "") -> Opened:
    """Return the images in a TIFF file as a store; nothing but metadata is read.

    Parameters
    ----------
    file : str or file object
        Its path, or an open file.
    shown : str
        Its name, without secrets.
    dims : str
        What the axes are that have more than one entry, by letter: ``"cyx"``. By default what the file says.

    Raises
    ------
    ImportError
        tifffile, or imagecodecs, which its compression needs, is not installed.
    StoreFormatError
        It is damaged, or says what cannot be: planes that are not there, axes that are none of ours, a pyramid whose levels do
        not fit.
    """
    tifffile = load("tifffile", "tiff", f"{shown} is a TIFF file, and reading it")
    with _reported(shown, tifffile.TiffFileError):
        tif = tifffile.TiffFile(file)
        try:
            opened = _images_of(tif, tif.pages.first, shown, dims, file if isinstance(file, str) else None)
        except BaseException:
            tif.close()
            raise
    weakref.finalize(opened, tif.close)
    return opened


@contextmanager
def _reported(shown: str, refused: type[Exception]) -> Iterator[None]:
    """Let errors of parsing be errors of the file, also those that tifffile only logs and goes on from."""
    heard = _Heard()
    logger = logging.getLogger("tifffile")
    logger.addHandler(heard)
    try:
        yield
    except (ImportError, OSError):
        raise
    except Exception as error:  # a hostile file can make anything fail
        heard.refuse(shown)
        if isinstance(error, StoreFormatError):
            raise
        said = str(error) if isinstance(error, refused) else f"{type(error).__name__}: {error}"
        raise StoreFormatError(f"{shown} cannot be read as a TIFF file: {said}. It is damaged, or cut short.") from None
    finally:
        logger.removeHandler(heard)
    heard.refuse(shown)


class _Heard(logging.Handler):
    """Keeps what tifffile logs where it goes on with less than the file says, or with something else.

    Tags whose values make no sense are none of it, if these are there; nor that Philips' tiles are wider than the image.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def refuse(self, shown: str) -> None:
        """Refuse the file if anything was logged."""
        if self.texts:
            raise StoreFormatError(f"{shown} is not what it says: {self.texts[0]}. Repair it, or write it again.")

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        lost = record.levelno >= logging.ERROR and ("TiffTag" not in text or "value offset" in text)
        if lost or ("series" in text and "Philips" not in text):
            self.texts.append(text.partition("> ")[2] or text)


def _images_of(tif: Any, first: Any, shown: str, dims: str, path: str | None) -> Opened:
    check_xml(first.description if first.is_ome else "", shown)
    images, kinds = [], dict[str, int]()
    for series in all_series(tif):
        number = kinds.get(series.kind, 0)
        kinds[series.kind] = number + 1
        images.append(_image(tif, series, number, shown, dims, path))
    beside = _beside(tif, path)
    named = _with_own_names(images)
    whole = named if any(not image.is_aside for image in named) else [replace(image, is_aside=False) for image in named]
    return show_as_store(whole, beside)


def _with_own_names(images: list[FileImage]) -> list[FileImage]:
    """Return images of which no two are called the same."""
    found: list[FileImage] = []
    for number, image in enumerate(images):
        taken = image.name in [one.name for one in found]
        found.append(replace(image, name=f"{image.name} {number}".strip()) if taken else image)
    return found


def _beside(tif: Any, path: str | None) -> list[str]:
    """Return the other files that an OME-TIFF of several holds its planes in; they lie in its folder."""
    files = {page.parent.filehandle.path for series in tif.series if series.is_multifile for page in series if page is not None}
    others = sorted(other for other in files if other != tif.filehandle.path)
    if path is not None and any(Path(other).resolve().parent != Path(path).resolve().parent for other in others):
        raise StoreFormatError(f"{path}: its OME-XML names files in other folders, {others[0]}; they are not read.")
    return others


def _image(tif: Any, series: Any, number: int, shown: str, dims: str, path: str | None) -> FileImage:
    where = shown if not number else f"{shown}, series {number}"
    if series.dtype is None or series.dtype.kind not in "buif":
        raise StoreFormatError(f"{where}: its pixels are {series.dtype}, no numbers that xprep computes with.")
    _check_compression(series, where)
    if any(page is None for page in series):
        lost = sum(page is None for page in series)
        raise StoreFormatError(
            f"{where}: {lost} of the {len(series)} planes that its metadata list are not in the file and would be read as zeros. "
            "It is cut short, its OME-XML is wrong, or files that belong to it are missing."
        )
    about = about_series(tif, series, number, where)
    axes = _axes(series, about, dims, where)
    levels = [_level(series, n, axes, where, path) for n in range(len(series.levels))]
    _check_levels(levels, axes.kept, where)
    spacing = {dim: step for dim, step in about.spacing.items() if dim in axes.kept}
    is_aside = series.kind in _SLIDES and any(word in str(series.name).lower() for word in _ASIDE)
    return FileImage(
        axes.kept, tuple(levels), str(series.name or ""), spacing, dict(about.units), _channels(series, about, axes), is_aside
    )


def _check_compression(series: Any, where: str) -> None:
    """Refuse at the door what nothing installed can decode: most needs imagecodecs."""
    try:
        if series.keyframe.compression > 1:
            load("tifffile", "tiff", where).TIFF.DECOMPRESSORS[series.keyframe.compression]
        if series.keyframe.predictor > 1:
            load("tifffile", "tiff", where).TIFF.UNPREDICTORS[series.keyframe.predictor]
    except KeyError as error:
        said = str(error.args[0]) if error.args else str(error)
        if "imagecodecs" in said:
            kind = getattr(series.keyframe.compression, "name", series.keyframe.compression)
            load("imagecodecs", "tiff", f"{where} is compressed with {kind}, and decoding it")
        raise StoreFormatError(f"{where}: it is compressed in a way that tifffile does not decode: {said}.") from None


def _axes(series: Any, about: TiffAbout, dims: str, where: str) -> Axes:
    """Return what the axes of a series are; those of one entry are left out, but for a channel that has a name."""
    letters, shape = all_axes(series)
    long = [i for i, n in enumerate(shape) if n > 1 or letters[i] in "YX"]
    if dims:
        found = _given_axes(dims, [letters[i] for i in long], where)
        named = dict(zip(long, found, strict=True))
    else:
        named = {i: _dim(letters[i], [letters[i] for i in long], where) for i in long}
    for i, letter in enumerate(letters):
        if letter == "C" and i not in named and about.named() and not {"c", "s"} & set(named.values()):
            named[i] = "c"
    twice = [dim for dim in named.values() if list(named.values()).count(dim) > 1]
    if twice:
        _refuse_axes(letters, shape, f"two of its axes would be {twice[0]!r}", where)
    return Axes(letters, shape, "".join(named.get(i, "-") for i in range(len(letters))))


def _dim(letter: str, letters: Sequence[str], where: str) -> str:
    """Return the dim of an axis among those of more than one entry; pages of which nothing is said are channels."""
    if letter not in _DIMS and (letter not in _UNSAID or set("CS") & set(letters)):
        _refuse_axes("".join(letters), (), f"its axis {letter!r} is none of t, c, z, y, x", where)
    return _DIMS.get(letter, "c")


def _refuse_axes(letters: str, shape: tuple[int, ...], why: str, where: str) -> NoReturn:
    sizes = f" of {'×'.join(map(str, shape))}" if shape else ""
    raise StoreFormatError(
        f"{where}: tifffile calls its axes {letters!r}{sizes}, and {why}. Say what those of more than one entry are: "
        "xprep.open_image(path, dims='czyx')."
    )


def _given_axes(dims: str, letters: list[str], where: str) -> str:
    long = "".join(letters)
    if len(dims) != len(letters):
        raise StoreFormatError(
            f"dims={dims!r} does not fit {where}, whose axes of more than one entry tifffile calls {long!r}: give a letter for "
            "each."
        )
    for letter, dim in zip(letters, dims, strict=True):
        if (letter in "YX" or dim in "yx") and letter.lower() != dim:
            raise StoreFormatError(f"dims={dims!r}: the axes Y and X of {where} stay y and x; tifffile calls its axes {long!r}.")
    return dims


def _level(series: Any, number: int, axes: Axes, where: str, path: str | None) -> FileLevel:
    level = series.levels[number]
    letters, shape = all_axes(level)
    if letters != axes.letters or level.dtype != series.dtype:
        raise StoreFormatError(
            f"{where}: level {number} of its pyramid has the axes {letters} and is {level.dtype}; level 0 has {axes.letters} and "
            f"is {series.dtype}. Levels differ in size only."
        )
    return open_level(series, number, replace(axes, shape=shape), path)


def _check_levels(levels: list[FileLevel], dims: str, where: str) -> None:
    """Refuse a pyramid whose levels are not the image, made smaller."""
    first = levels[0]
    for number, level in enumerate(levels[1:], 1):
        ratios = {dim: long / short for dim, long, short in zip(dims, first.shape, level.shape, strict=True)}
        # A pixel more or less, from rounding at every halving.
        slack = {dim: (number + 1) / short for dim, short in zip(dims, level.shape, strict=True)}
        near = abs(ratios["y"] / ratios["x"] - 1) <= slack["y"] + slack["x"]
        if not near or min(ratios.values()) < 1 or any(ratios.get(dim, 1) != 1 for dim in "tc"):
            raise StoreFormatError(
                f"{where}: level {number} of its pyramid is {'×'.join(map(str, level.shape))}, level 0 "
                f"{'×'.join(map(str, first.shape))} ({', '.join(dims)}): not the same image made smaller. Write the file again; "
                "tifffile.imread(path) reads the finest level alone."
            )


def _channels(series: Any, about: TiffAbout, axes: Axes) -> tuple[Channel, ...]:
    """Return as many channels as there are, each with a name; none where the file has no names."""
    if "c" not in axes.kept:
        return ()
    count = axes.lengths(axes.shape)[axes.kept.index("c")]
    channels = about.channels
    samples = axes.shape[axes.dims.index("s")] if "s" in axes.dims else 1
    if samples > 1 and len(channels) * samples == count and len(channels) > 1:
        channels = tuple(replace(one, label=f"{one.label or n} {s}") for n, one in enumerate(channels) for s in range(samples))
    elif samples > 1 and samples == count and series.keyframe.photometric in (2, 6) and len(channels) != count:
        return tuple(Channel(name, color) for name, color in _COLORS[:count]) if count <= len(_COLORS) else ()
    if len(channels) != count or not any(one.label or one.color != "FFFFFF" for one in channels):
        return ()
    return tuple(replace(one, label=one.label or str(n)) for n, one in enumerate(channels))

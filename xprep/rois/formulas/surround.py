"""A ROI's centre and what surrounds it: the reference's functions 12, 13 and 17."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from xprep.kernels.rois_windows import dilate, sum_inside_and_around
from xprep.rois.formulas.dispatch import Pairs, as_floats, cubes, float_type, over_windows
from xprep.switches import check_switch
from xprep.types import Array

Surround = Literal["filled", "annulus"]


def center_surround(masks: Any, *, iterations: int = 7, volumetric: bool = False) -> tuple[Any, Any]:
    """Return where each mask is positive, and that dilated.

    Parameters
    ----------
    masks : numpy, dask or xarray, (roi, [z], y, x)
        Windows; any axes may come before the window's.
    iterations
        How often the centre is dilated with the cross (4 neighbours, 6 in a volume), inside its window: the surround
        is what lies within this city-block distance. 0 is no dilation (the reference then fills the window).
    volumetric
        Whether windows hold planes.

    Returns
    -------
    center, surround : bool, shape of ``masks``
        The surround includes the centre.

    Raises
    ------
    ValueError
        Negative ``iterations``, or not a whole number; too few axes.

    Notes
    -----
    Reference: ``cellector.utils.center_surround``.

    Examples
    --------
    >>> import numpy as np
    >>> center, surround = center_surround(np.array([[[0, 0, 0], [0, 2.0, 0], [0, 0, 0]]]), iterations=1)
    >>> surround.astype(int)
    array([[[0, 1, 0],
            [1, 1, 1],
            [0, 1, 0]]])
    """
    volumetric = check_switch(volumetric, "volumetric")
    steps = check_iterations(iterations)
    core = 3 if volumetric else 2

    def split(masks: Array) -> tuple[Array, Array]:
        centers = masks > 0
        return centers, dilate(cubes(centers, core), steps).reshape(masks.shape)

    center, surround = over_windows(split, {"masks": masks}, volumetric, lambda _: (bool, bool), keeps=True)
    return center, surround


def check_iterations(iterations: Any) -> int:
    """Return ``iterations`` as an int.

    Raises
    ------
    ValueError
        Not a whole number, or negative.
    """
    if isinstance(iterations, bool) or not isinstance(iterations, int | np.integer) or iterations < 0:
        raise ValueError(f"iterations must be a whole number from 0 (no dilation); got {iterations!r}.")
    return int(min(iterations, 2**30 - 1))


def surround_filter(masks: Any, references: Any, *, iterations: int = 7, volumetric: bool = False) -> tuple[Any, Any]:
    """Return both stacks with NaN outside the surround of each mask.

    Parameters
    ----------
    masks, references : numpy, dask or xarray, (roi, [z], y, x)
        Windows that belong together. float32 stays, anything else becomes float64.
    iterations, volumetric
        See `center_surround`; the centre is kept.

    Returns
    -------
    masks, references
        Of the shape that both have together.

    Raises
    ------
    ValueError
        See `center_surround`; windows of different sizes.

    Notes
    -----
    Reference: ``cellector.utils.surround_filter``.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.array([[[0, 1.0, 0, 0]]])
    >>> surround_filter(mask, np.ones((1, 1, 4)), iterations=1)[1]
    array([[[ 1.,  1.,  1., nan]]])
    """
    volumetric = check_switch(volumetric, "volumetric")
    steps = check_iterations(iterations)
    core = 3 if volumetric else 2

    def blank(masks: Array, references: Array) -> tuple[Array, Array]:
        surround = dilate(cubes(masks > 0, core), steps).reshape(masks.shape)
        everywhere = np.broadcast_to(surround, np.broadcast_shapes(masks.shape, references.shape))
        nan = np.float32(np.nan)
        return np.where(everywhere, as_floats(masks), nan), np.where(everywhere, as_floats(references), nan)

    windows = {"masks": masks, "references": references}
    made = over_windows(blank, windows, volumetric, lambda a, b: (float_type(a), float_type(b)), keeps=True)
    return made[0], made[1]


def in_vs_out(
    masks: Any,
    references: Any,
    *,
    iterations: int = 7,
    volumetric: bool = False,
    surround: Surround = "filled",
    skipna: bool = False,
) -> Any:
    """Return the part of the light around each ROI that comes from inside it.

    Parameters
    ----------
    masks, references : numpy, dask or xarray, (roi, [z], y, x)
        Windows that belong together; their other axes are broadcast.
    iterations, volumetric
        See `center_surround`.
    surround : {"filled", "annulus"}
        The reference's surround (``"filled"``) includes the centre, which then counts twice: inside / (inside +
        surround) is at most 0.5. Without the centre (``"annulus"``) it goes from 0 to 1.
    skipna
        Leave NaN out of the sums; otherwise one value that is not finite, anywhere in a window, gives NaN.

    Returns
    -------
    float32 (float64 unless the references are float32), (roi, …)
        0 where both sums are 0.

    Raises
    ------
    ValueError
        Another ``surround``; see `center_surround`; windows of different sizes.

    Notes
    -----
    Reference: ``cellector.utils.in_vs_out``; sums in float64, integers are allowed.

    Examples
    --------
    >>> import numpy as np
    >>> mask, image = np.array([[[0, 1.0, 0]]]), np.array([[[1.0, 4.0, 3.0]]])
    >>> in_vs_out(mask, image), in_vs_out(mask, image, surround="annulus")
    (array([0.33333333]), array([0.5]))
    """
    volumetric, skipna = check_switch(volumetric, "volumetric"), check_switch(skipna, "skipna")
    steps = check_iterations(iterations)
    core = 3 if volumetric else 2
    check_surround(surround)

    def compare(masks: Array, references: Array) -> Any:
        pairs = Pairs(masks > 0, as_floats(references), core)
        surrounds = dilate(pairs.masks, steps)
        inside, around = sum_inside_and_around(
            pairs.masks, surrounds, pairs.references, pairs.mask_of, pairs.reference_of, skipna
        )
        return pairs.result(ratio(inside, around, surround).astype(float_type(references.dtype)))

    windows = {"masks": masks, "references": references}
    return over_windows(compare, windows, volumetric, lambda _, b: (float_type(b),), keeps=False)[0]


def check_surround(surround: str) -> None:
    """Refuse what is neither of the two surrounds.

    Raises
    ------
    ValueError
        Neither "filled" nor "annulus".
    """
    if np.ndim(surround) or surround not in ("filled", "annulus"):
        raise ValueError(f"surround must be 'filled' or 'annulus'; got {surround!r}.")


def ratio(inside: Array, around: Array, surround: Surround) -> Array:
    """Return inside / (inside + around), 0 where that is 0 / 0; an annulus is the surround without the inside."""
    total = around if surround == "annulus" else inside + around
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total == 0, 0.0, inside / total)

"""Say how far two results are apart: where they are NaN, and the largest and the relative difference elsewhere."""

from __future__ import annotations

import argparse

import numpy as np

import xprep


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("one")
    arguments.add_argument("other")
    given = arguments.parse_args()
    one, other = (xprep.open_image(url) for url in (given.one, given.other))
    unlike, largest, relative = 0, 0.0, 0.0
    for c in range(one.sizes["c"]):
        a, b = (image.isel(c=c).values.astype(np.float64) for image in (one, other))
        unlike += int((np.isnan(a) != np.isnan(b)).sum())
        both = ~np.isnan(a) & ~np.isnan(b)
        difference = np.abs(a[both] - b[both])
        largest = max(largest, float(difference.max(initial=0)))
        relative = max(relative, float((difference / np.maximum(np.abs(b[both]), 1e-12)).max(initial=0)))
    print(f"NaN in one only: {unlike} of {one.size}; largest difference {largest:.3g}, relative {relative:.3g}")


if __name__ == "__main__":
    main()

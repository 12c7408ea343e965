"""What was done, as a paragraph for the methods of a paper."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

CITATION: Final = (
    "Liu, C. C. et al. Robust phenotyping of highly multiplexed tissue imaging data using pixel-level clustering. Nature "
    "Communications 14, 4618 (2023)"
)


def describe_normalization(attrs: Mapping[str, str], images: int, left_out: float | None, capped: Mapping[str, int]) -> str:
    """Return how images were normalised, by the attributes of their statistics, which are of so many ``images``.

    ``left_out`` is the share of the image's pixels that were left out, None where nobody counted; ``capped`` the number of pixels
    at the cap by channel.
    """
    given = json.loads(attrs["parameters"])
    how = "over all pixels" if given["pool"] == "exact" else "mean"
    several = "" if images == 1 else f" ({how} of {images} images)"
    steps = [
        given["p"] is not None and f"each channel was divided by its percentile {given['p']:g}{several}",
        _blur(given["sigma"]),
        given["p_sum"] is not None
        and f"pixels whose sum over the channels did not exceed the percentile {given['p_sum']:g} of the sums before blurring "
        f"were left out{_share(left_out)}",
        given["norm_sum"] and "the channels of a pixel were divided by their sum",
        given["p_post"] is not None and f"each channel was divided by its percentile {given['p_post']:g}{several}",
        given["cap_max"] is not None and f"values were capped at {given['cap_max']:g}{_capped(capped)}",
    ]
    done = "; ".join(step for step in steps if step)
    exact = f"Percentiles were taken of {attrs['approximate']}" if attrs["approximate"] else "Percentiles were exact"
    return (
        f"Images were normalised with xprep {attrs['version']}, following Pixie ({CITATION}), in {given['dtype']}: {done}. "
        f"{exact}, without pixels of value zero."
    )


def _blur(sigma: Any) -> str:
    each = sigma if isinstance(sigma, list) else [sigma]
    if not any(each):
        return ""
    told = ", ".join(dict.fromkeys(one if isinstance(one, str) else f"{one or 0:g} pixels" for one in each))
    by = "" if len(set(map(str, each))) == 1 else ", by channel"
    return f"each plane was blurred by a Gaussian (standard deviation {told}{by})"


def _share(left_out: float | None) -> str:
    return "" if left_out is None else f" ({100 * left_out:.2g} % of the pixels of this image)"


def _capped(capped: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{name}: {count:,} pixels' for name, count in capped.items())})" if capped else ""

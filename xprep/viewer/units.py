"""Units that the page knows: SI units of length and time."""

from __future__ import annotations

from typing import Final

from xprep.dims.lengths import metres
from xprep.io.ome_model import spell_unit

TIMES: Final = {
    "nanosecond": 1e-9, "microsecond": 1e-6, "millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0,
}  # fmt: skip


def shown_unit(dim: str, unit: str) -> tuple[str, float]:
    """Return the unit that the page gives a dim, and how many of it one ``unit`` is; "" where it knows none.

    >>> shown_unit("x", "µm"), shown_unit("t", "min"), shown_unit("x", "pixel")
    (('micrometer', 1.0), ('second', 60.0), ('', 1.0))
    """
    if dim == "t":
        seconds = TIMES.get(spell_unit(unit))
        return ("", 1.0) if seconds is None else ("second", seconds)
    length = metres(unit) if unit and dim in ("z", "y", "x") else None
    return ("", 1.0) if length is None else ("micrometer", float(f"{length / 1e-6:.12g}"))


def in_si(unit: str) -> tuple[float, str]:
    """Return one of a unit of `shown_unit` in the page's own: metres and seconds.

    >>> in_si("micrometer"), in_si("second"), in_si("")
    ((1e-06, 'm'), (1.0, 's'), (1.0, ''))
    """
    return {"micrometer": (1e-6, "m"), "second": (1.0, "s")}.get(unit, (1.0, ""))

"""How a ROI table shows itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def describe(summary: Mapping[str, Any]) -> str:
    """Return the table in one line.

    >>> describe({"rois": 1, "pixels": 0, "volumetric": True, "z": None, "y": None, "x": None})
    '<xprep.RoiTable 1 ROI, 0 pixels, volumetric>'
    """
    spans = ", ".join(f"{name} {_span(summary[name])}" for name in "zyx" if summary[name] is not None)
    kind = "volumetric" if summary["volumetric"] else "planar"
    counts = f"{_count(summary['rois'], 'ROI')}, {_count(summary['pixels'], 'pixel')}"
    return f"<xprep.RoiTable {counts}, {kind}{spans and ': ' + spans}>"


def describe_html(summary: Mapping[str, Any]) -> str:
    """Return the table as a small HTML table: numbers only, so nothing needs escaping."""
    rows = {
        "ROIs": f"{summary['rois']:,}",
        "Pixels": f"{summary['pixels']:,}",
        "Kind": "volumetric" if summary["volumetric"] else "planar",
        **{f"{name} range": _span(summary[name]) for name in "zyx" if summary[name] is not None},
        "Memory": f"{summary['bytes'] / 2**20:.1f} MiB",
    }
    cells = "".join(f"<tr><th style='text-align:left'>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
    return f"<table><caption>xprep.RoiTable</caption>{cells}</table>"


def _span(span: tuple[int, int]) -> str:
    return f"{span[0]}…{span[1]}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

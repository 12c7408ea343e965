"""An example or two of every command, below its ``--help``."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final = {
    "demo": ("xprep demo",),
    "info": ("xprep info s3://lab/slide.ome.zarr",),
    "normalize": (
        "xprep normalize slide.ome.zarr slide_norm.ome.zarr --sigma CD3=2,CD8=1",
        "xprep normalize fov1.zarr fov2.zarr fov3.zarr out/",
    ),
    "plan": ("xprep plan slide.ome.zarr slide_norm.ome.zarr --p 99", "xprep plan recipe.yaml"),
    "convert": ("xprep convert slide.ome.tif slide.ome.zarr",),
    "fit": ("xprep fit control1.zarr control2.zarr -o fit.json",),
    "run": ("xprep run recipe.yaml --workers 4", "xprep run recipe.yaml --plan"),
    "resume": ("xprep resume recipe.yaml",),
    "status": ("xprep status recipe.yaml",),
    "validate": ("xprep validate slide.ome.zarr --samples 16 --output report.json",),
    "verify": ("xprep verify slide_norm.ome.zarr",),
    "view": ("xprep view s3://lab/slide.ome.zarr", "xprep view slide.ome.zarr slide_norm.ome.zarr --side-by-side --no-browser"),
    "compile": ("xprep compile", "xprep compile --dtype uint16,float32"),
    "scratch": ("xprep scratch --remove",),
    "versions": ("xprep versions",),
}


def epilog(command: str) -> str:
    r"""Return what stands below the help of a command: a paragraph a line, as typer keeps only these apart.

    Examples
    --------
    >>> epilog("resume")
    'Example:\n\n  xprep resume recipe.yaml'
    """
    examples = EXAMPLES[command]
    return "\n\n".join([f"Example{'s' * (len(examples) > 1)}:", *(f"  {example}" for example in examples)])

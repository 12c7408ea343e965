"""Random chains: open a source of some kind, select, operate, compute or write in some way, and compare with numpy.

A chain is data (`tests.chains.model`): an image of a seed, a source (`tests.chains.places`), steps (`tests.chains.steps`). It is
drawn by hypothesis (`tests.chains.drawing`), run on a lazy and on a plain numpy image beside each other (`tests.chains.running`),
and one that fails is made smaller and prints itself as a program (`tests.chains.shrinking`).

Small in the test suite (tests/laws/test_chains.py); large by hand:
``python -m tests.chains --minutes 60 --seed 1 --s3 --cluster``.
"""

from tests.chains.model import Chain, Image, Step
from tests.chains.running import check

__all__ = ["Chain", "Image", "Step", "check"]

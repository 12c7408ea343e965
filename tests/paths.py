"""Where the repository and the stored results of the reference packages are, from wherever a test lies."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
GOLDEN: Final = ROOT / "tests" / "data" / "golden"

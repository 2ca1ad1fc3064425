"""What all tests share."""

import os
from pathlib import Path

from troupe.fleet.supervision import KEEP_COMPILED

CACHE = Path(__file__).parents[1] / ".pytest_cache" / "jax"

# many tests compile the same update; half of their time went into that
os.environ |= {"JAX_COMPILATION_CACHE_DIR": str(CACHE), **KEEP_COMPILED}

"""What all tests share."""

import os
from pathlib import Path

CACHE = Path(__file__).parents[1] / ".pytest_cache" / "jax"

# Many tests compile the same update; half of their time went into that. With a largest size the
# cache is locked, as processes beside each other need it.
os.environ |= {
    "JAX_COMPILATION_CACHE_DIR": str(CACHE),
    "JAX_COMPILATION_CACHE_MAX_SIZE": str(2**30),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}

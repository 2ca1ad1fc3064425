"""Comparisons with peers and with raw limits: ``python -m benchmarks --list``.

In: the names of benchmarks and how much time they may take. Out: a table and a JSON file for each,
with the machine and the command that made it. What is compared takes turns within one run, so that
noise hits both; figures are medians, ratios are taken round by round. `harness` holds what all
share; to add one, copy `startup.py` and name it in ``__main__.py``.
"""

import os

# as the command line of Troupe sets it; before anything here imports numpy
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

"""A client's sources, the passages cut from them, and the search in them."""

import os

# One thread of BLAS is enough for what is done here; more would spin, and each keeps a buffer. Before numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

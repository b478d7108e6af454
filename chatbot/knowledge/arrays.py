"""numpy, loaded when something of it is first asked for: 10 MB that an installation without knowledge does without.

Its BLAS computes on the thread that asks. Left to itself it shares a product out to threads that then spin for 10 ms each
time (measured); it looks at this once, when it is loaded.
"""

import os
from typing import TYPE_CHECKING, Any

from chatbot.memory import Later

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Flags = NDArray[np.bool_]
else:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    Vectors = Flags = Any

    np = Later("numpy")

__all__ = ["Flags", "Vectors", "np"]

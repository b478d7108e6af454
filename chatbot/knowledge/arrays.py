"""numpy, loaded when something of it is first asked for: 10 MB that an installation without knowledge does without."""

from typing import TYPE_CHECKING, Any

from chatbot.memory import Later

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Flags = NDArray[np.bool_]
else:
    Vectors = Flags = Any

    np = Later("numpy")

__all__ = ["Flags", "Vectors", "np"]

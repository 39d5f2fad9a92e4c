"""BentoML, one worker, with arrays as its own JSON has them; the one of batches waits as its own rule says."""

from typing import Annotated

import bentoml
import model
import numpy as np
from bentoml.validators import DType, Shape

Rows = Annotated[np.ndarray, DType("float32"), Shape((-1, 64))]


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class One:
    """The network, a request at a time."""

    @bentoml.api(route="/infer")
    def infer(self, x: Rows) -> np.ndarray:
        """Rows to probabilities."""
        return model.run(x)


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Batches:
    """The network, some requests at a time."""

    @bentoml.api(route="/infer", batchable=True, max_batch_size=32)
    def infer(self, x: Rows) -> np.ndarray:
        """Rows to probabilities."""
        return model.run(x)

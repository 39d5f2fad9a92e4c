"""A runtime of MLServer's; `bench.peers` writes its settings."""

import model
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Network(MLModel):
    """The network."""

    async def load(self):
        """Nothing is left to load."""
        return True

    async def predict(self, payload):
        """Of an InferenceRequest."""
        found = model.run(NumpyCodec.decode_input(payload.inputs[0]))
        output = NumpyCodec.encode_output("probabilities", found)
        return InferenceResponse(id=payload.id, model_name=self.name, model_version="1", outputs=[output])

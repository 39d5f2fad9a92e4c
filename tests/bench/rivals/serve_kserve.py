"""KServe's SDK server: its own REST and gRPC, on uvicorn with httptools and uvloop, one worker. Words: its options."""

import model
from kserve import InferOutput, InferResponse, Model, ModelServer


class Network(Model):
    """The network."""

    def load(self):
        """Nothing is left to load."""
        self.ready = True
        return True

    async def predict(self, payload, headers=None, response_headers=None):  # noqa: ARG002 - as KServe calls it
        """Of an InferRequest."""
        found = model.run(payload.inputs[0].as_numpy())
        output = InferOutput("probabilities", list(found.shape), "FP32")
        output.set_data_from_numpy(found, binary_data=payload.from_grpc)
        return InferResponse(response_id=payload.id or "1", model_name="network", infer_outputs=[output])


if __name__ == "__main__":
    network = Network("network")
    network.load()
    ModelServer().start([network])

"""LitServe, one process for HTTP and one for the model. Words: port, rows of a batch (1: none)."""

import sys

import litserve
import model
import numpy as np


class One(litserve.LitAPI):
    """The network, a request at a time."""

    def setup(self, device):
        """Nothing is left to load."""

    def decode_request(self, request):
        """JSON to rows."""
        return model.tensor(request)

    def predict(self, x):
        """Rows to probabilities."""
        return model.run(x)

    def encode_response(self, output):
        """Probabilities to JSON."""
        return model.answer(output)


class Batches(One):
    """The network, some requests at a time."""

    def batch(self, inputs):
        """Rows of all."""
        return np.concatenate(inputs)

    def unbatch(self, output):
        """Each its own."""
        return [output[at : at + 1] for at in range(len(output))]


if __name__ == "__main__":
    port, size = int(sys.argv[1]), int(sys.argv[2])
    path = "/infer"
    api = One(api_path=path) if size == 1 else Batches(api_path=path, max_batch_size=size, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True, timeout=False)
    server.run(host="127.0.0.1", port=port, num_api_servers=1, log_level="warning", generate_client_file=False)

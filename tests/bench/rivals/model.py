"""The model as each rival runs it: onnxruntime with one thread, as `headway serve` has it on one core."""

import os

import numpy as np
import onnxruntime

_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = 1
_options.inter_op_num_threads = 1
_options.add_session_config_entry("session.intra_op.allow_spinning", "0")
_session = onnxruntime.InferenceSession(os.environ["MODEL"], _options, providers=["CPUExecutionProvider"])


def run(x):
    """Probabilities for rows."""
    return _session.run(["probabilities"], {"x": x})[0]


def tensor(document):
    """The one input of a request of the Open Inference Protocol."""
    told = document["inputs"][0]
    return np.array(told["data"], dtype=np.float32).reshape(told["shape"])


def answer(found):
    """The answer, by the same protocol."""
    output = {"name": "probabilities", "datatype": "FP32", "shape": list(found.shape), "data": found.ravel().tolist()}
    return {"model_name": "network", "model_version": "1", "outputs": [output]}

"""The messages and services that we speak, made when the process starts.

Code that protoc generates is refused by any protobuf runtime older than the protoc that made it, so we ship none: the
tables below say what the .proto files of the Open Inference Protocol (version 2) and of gRPC's health checks say, and
the runtime that is installed makes the classes of them. The tables hold what the copies of the Open Inference Protocol
project, Triton and KServe have in common, by number, type and label, and two kinds of `InferParameter` that KServe's
copy lacks; `tests/integration/test_clients.py` compares them with the copies in tritonclient and in kserve.

The classes live in a pool of their own: another package in the process may bring its own copy of package `inference`.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Message = Any
"""A message: mypy can know no more of it, since its fields come from the tables below."""

INFERENCE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"

PARAMETERS = "map InferParameter"
TENSOR_METADATA = {"name": "1 string", "datatype": "2 string", "shape": "3 repeated int64"}
NAME_AND_VERSION = {"name": "1 string", "version": "2 string"}
TENSOR = {
    "name": "1 string",
    "datatype": "2 string",
    "shape": "3 repeated int64",
    "parameters": f"4 {PARAMETERS}",
    "contents": "5 InferTensorContents",
}

# Message, or message.nested -> field -> "number [repeated | map | oneof] type".
OPEN_INFERENCE: dict[str, dict[str, str]] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": "1 bool"},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": "1 bool"},
    "ModelReadyRequest": NAME_AND_VERSION,
    "ModelReadyResponse": {"ready": "1 bool"},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {"name": "1 string", "version": "2 string", "extensions": "3 repeated string"},
    "ModelMetadataRequest": NAME_AND_VERSION,
    "ModelMetadataResponse": {
        "name": "1 string",
        "versions": "2 repeated string",
        "platform": "3 string",
        "inputs": "4 repeated ModelMetadataResponse.TensorMetadata",
        "outputs": "5 repeated ModelMetadataResponse.TensorMetadata",
    },
    "ModelMetadataResponse.TensorMetadata": TENSOR_METADATA,
    "ModelInferRequest": {
        "model_name": "1 string",
        "model_version": "2 string",
        "id": "3 string",
        "parameters": f"4 {PARAMETERS}",
        "inputs": "5 repeated ModelInferRequest.InferInputTensor",
        "outputs": "6 repeated ModelInferRequest.InferRequestedOutputTensor",
        "raw_input_contents": "7 repeated bytes",
    },
    "ModelInferRequest.InferInputTensor": TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": {"name": "1 string", "parameters": f"2 {PARAMETERS}"},
    "ModelInferResponse": {
        "model_name": "1 string",
        "model_version": "2 string",
        "id": "3 string",
        "parameters": f"4 {PARAMETERS}",
        "outputs": "5 repeated ModelInferResponse.InferOutputTensor",
        "raw_output_contents": "6 repeated bytes",
    },
    "ModelInferResponse.InferOutputTensor": TENSOR,
    "InferParameter": {
        "bool_param": "1 oneof bool",
        "int64_param": "2 oneof int64",
        "string_param": "3 oneof string",
        "double_param": "4 oneof double",
        "uint64_param": "5 oneof uint64",
    },
    "InferTensorContents": {
        "bool_contents": "1 repeated bool",
        "int_contents": "2 repeated int32",
        "int64_contents": "3 repeated int64",
        "uint_contents": "4 repeated uint32",
        "uint64_contents": "5 repeated uint64",
        "fp32_contents": "6 repeated float",
        "fp64_contents": "7 repeated double",
        "bytes_contents": "8 repeated bytes",
    },
}
OPEN_INFERENCE_METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")

HEALTH_CHECKS: dict[str, dict[str, str]] = {
    "HealthCheckRequest": {"service": "1 string"},
    "HealthCheckResponse": {"status": "1 HealthCheckResponse.ServingStatus"},
}
SERVING_STATUS = {"UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2, "SERVICE_UNKNOWN": 3}

Field = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    "bool": Field.TYPE_BOOL,
    "bytes": Field.TYPE_BYTES,
    "double": Field.TYPE_DOUBLE,
    "float": Field.TYPE_FLOAT,
    "int32": Field.TYPE_INT32,
    "int64": Field.TYPE_INT64,
    "string": Field.TYPE_STRING,
    "uint32": Field.TYPE_UINT32,
    "uint64": Field.TYPE_UINT64,
}


def inference_file() -> descriptor_pb2.FileDescriptorProto:
    """The Open Inference Protocol as a file descriptor, as protoc would make it of the .proto file."""
    file = _file("headway/open_inference.proto", "inference", OPEN_INFERENCE)
    service = file.service.add(name="GRPCInferenceService")
    for method in OPEN_INFERENCE_METHODS:
        service.method.add(
            name=method, input_type=f".inference.{method}Request", output_type=f".inference.{method}Response"
        )
    return file


def health_file() -> descriptor_pb2.FileDescriptorProto:
    """gRPC's health checks, version 1: without `Watch`, which no probe of Kubernetes asks for."""
    file = _file("headway/health.proto", "grpc.health.v1", HEALTH_CHECKS)
    statuses = _at(file, "HealthCheckResponse").enum_type.add(name="ServingStatus")
    for name, number in SERVING_STATUS.items():
        statuses.value.add(name=name, number=number)
    field = _at(file, "HealthCheckResponse").field[0]
    field.type = Field.TYPE_ENUM
    service = file.service.add(name="Health")
    service.method.add(
        name="Check",
        input_type=".grpc.health.v1.HealthCheckRequest",
        output_type=".grpc.health.v1.HealthCheckResponse",
    )
    return file


def _file(name: str, package: str, messages: dict[str, dict[str, str]]) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
    for path, fields in messages.items():
        outer, _, inner = path.rpartition(".")
        message = _at(file, outer).nested_type.add(name=inner) if outer else file.message_type.add(name=inner)
        for field, words in fields.items():
            _add_field(message, f".{package}", path, field, words)
    return file


def _at(file: descriptor_pb2.FileDescriptorProto, name: str) -> descriptor_pb2.DescriptorProto:
    return next(message for message in file.message_type if message.name == name)


def _add_field(message: descriptor_pb2.DescriptorProto, package: str, path: str, name: str, words: str) -> None:
    number, *kinds, of = words.split()
    field = message.field.add(name=name, number=int(number), label=Field.LABEL_OPTIONAL)
    if "map" in kinds:
        entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        _add_field(entry, package, "", "key", "1 string")
        _add_field(entry, package, "", "value", f"2 {of}")
        field.label, field.type = Field.LABEL_REPEATED, Field.TYPE_MESSAGE
        field.type_name = f"{package}.{path}.{entry.name}"
        return
    if "repeated" in kinds:
        field.label = Field.LABEL_REPEATED
    if "oneof" in kinds:
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    if of in SCALARS:
        field.type = SCALARS[of]
    else:
        field.type, field.type_name = Field.TYPE_MESSAGE, f"{package}.{of}"


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    made = {}
    for file in (inference_file(), health_file()):
        # Serialized, since the pool of the C++ and upb runtimes takes nothing else.
        pool.AddSerializedFile(file.SerializeToString())
        for message in file.message_type:
            full = f"{file.package}.{message.name}"
            made[message.name] = message_factory.GetMessageClass(pool.FindMessageTypeByName(full))
    return made


CLASSES = _classes()
ServerLiveResponse = CLASSES["ServerLiveResponse"]
ServerReadyResponse = CLASSES["ServerReadyResponse"]
ModelReadyRequest = CLASSES["ModelReadyRequest"]
ModelReadyResponse = CLASSES["ModelReadyResponse"]
ServerMetadataResponse = CLASSES["ServerMetadataResponse"]
ModelMetadataRequest = CLASSES["ModelMetadataRequest"]
ModelMetadataResponse = CLASSES["ModelMetadataResponse"]
ModelInferRequest = CLASSES["ModelInferRequest"]
ModelInferResponse = CLASSES["ModelInferResponse"]
HealthCheckRequest = CLASSES["HealthCheckRequest"]
HealthCheckResponse = CLASSES["HealthCheckResponse"]

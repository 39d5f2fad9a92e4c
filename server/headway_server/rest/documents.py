"""What the server tells of itself and of its model, and the OpenAPI of its paths. Pure."""

from __future__ import annotations

from typing import Any

from headway_server.about import PLATFORM, SERVER_NAME
from headway_server.model import ServedModel, TensorInfo

EXTENSIONS = ["binary_tensor_data", "model_repository"]


def server_metadata(version: str) -> dict[str, Any]:
    """Of `GET /v2`. version: the distribution's."""
    return {"name": SERVER_NAME, "version": version, "extensions": EXTENSIONS}


def model_metadata(model: ServedModel) -> dict[str, Any]:
    """Of `GET /v2/models/{name}`."""
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": PLATFORM,
        "inputs": [_tensor(one) for one in model.inputs],
        "outputs": [_tensor(one) for one in model.outputs],
        "parameters": {"sha256": model.digest},
    }


def index(model: ServedModel, *, ready: bool, reason: str = "") -> list[dict[str, str]]:
    """Of `POST /v2/repository/index`."""
    state = "READY" if ready else "UNAVAILABLE"
    return [{"name": model.name, "version": model.version, "state": state, "reason": reason}]


def openapi(model: ServedModel, version: str, *, records: bool = False) -> dict[str, Any]:
    """OpenAPI 3.1 of the paths that this server has for this model."""
    paths: dict[str, Any] = {
        "/v2/health/live": {"get": _get("Whether the process lives.", "Live")},
        "/v2/health/ready": {"get": _get("Whether new requests are welcome.", "Ready", 503)},
        "/v2": {"get": _get("The server and the extensions of the protocol that it knows.", "Server")},
        "/v2/models": {"get": _get("The models.", "Models")},
        "/v2/repository/index": {
            "post": _operation("The models and their states.", "Index", body=("application/json", {"type": "object"}))
        },
        f"/v1/models/{model.name}:predict": {
            "post": _operation(
                "Predictions for rows of raw columns by their names.",
                "Predictions",
                *_PROBLEMS,
                body=("application/json", _instances(model)),
            )
        },
    }
    for base in (f"/v2/models/{model.name}", f"/v2/models/{model.name}/versions/{model.version}"):
        paths[base] = {"get": _get("What the model takes and gives.", "Model")}
        paths[f"{base}/ready"] = {"get": _get("Whether the model is ready.", "ModelReady", 503)}
        paths[f"{base}/infer"] = {
            "post": _operation(
                "The outputs for tensors: JSON, or JSON with binary tensors behind it, or one raw tensor.",
                "Inference",
                *_PROBLEMS,
                body=("application/json", {"$ref": "#/components/schemas/InferRequest"}),
            )
            | {"parameters": [_HEADER_LENGTH]}
        }
        if records:
            paths[f"{base}/feedback"] = {"post": _feedback()}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{model.name}, served by Headway", "version": version},
        "paths": paths,
        "components": {"schemas": _schemas(model)},
    }


_PROBLEMS = (400, 404, 408, 413, 415, 500, 503, 504)
_HEADER_LENGTH = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "required": False,
    "description": "How many bytes of the body are JSON, where binary tensors follow; 0 where all of it is one tensor.",
    "schema": {"type": "integer", "minimum": 0},
}
_PARAMETERS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_NAMED = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "parameters": _PARAMETERS}}


def _tensor(told: TensorInfo) -> dict[str, Any]:
    return {"name": told.name, "datatype": told.datatype, "shape": list(told.shape)}


def _get(summary: str, schema: str, *problems: int) -> dict[str, Any]:
    return _operation(summary, schema, *problems)


def _operation(
    summary: str,
    schema: str,
    *problems: int,
    body: tuple[str, dict[str, Any]] | None = None,
    done: str = "200",
) -> dict[str, Any]:
    responses: dict[str, Any] = {done: _response("Done.", schema)}
    for status in problems:
        responses[str(status)] = _response("An error, in words.", "Error")
    told: dict[str, Any] = {"summary": summary, "responses": responses}
    if body is not None:
        told["requestBody"] = {"content": {body[0]: {"schema": body[1]}}}
    return told


def _response(description: str, schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def _feedback() -> dict[str, Any]:
    return _operation(
        "Labels that come later, for requests by their ids.",
        "Accepted",
        *(400, 404, 413, 503),
        body=("application/json", {"$ref": "#/components/schemas/Feedback"}),
        done="202",
    )


def _instances(model: ServedModel) -> dict[str, Any]:
    row = {one.column: {"description": f"{one.type}, of the shape {one.shape}"} for one in model.signature.inputs}
    rows = {"type": "array", "minItems": 1, "items": {"type": "object", "properties": row}}
    explain = {"type": "object", "properties": {"explain": {"type": "boolean"}}}
    properties = {"instances": rows, "id": {"type": "string"}, "parameters": explain}
    return {"type": "object", "required": ["instances"], "properties": properties}


def _schemas(model: ServedModel) -> dict[str, Any]:
    shape = {"type": "array", "items": {"type": "integer", "minimum": -1}}

    def objects(*required: str, **properties: Any) -> dict[str, Any]:
        return {"type": "object", "required": list(required), "properties": properties}

    def tensors(told: tuple[TensorInfo, ...]) -> dict[str, Any]:
        names = {"type": "string", "enum": [one.name for one in told]}
        kinds = {"type": "string", "enum": sorted({one.datatype for one in told})}
        properties = {"name": names, "datatype": kinds, "shape": shape, "parameters": _PARAMETERS, "data": {}}
        return {"type": "array", "items": objects("name", "datatype", "shape", **properties)}

    text, flag = {"type": "string"}, {"type": "boolean"}
    told = {"type": "array", "items": objects("name", "datatype", "shape", name=text, datatype=text, shape=shape)}
    state = objects("name", "state", name=text, version=text, state=text, reason=text)
    rows = {"type": "array", "items": {"type": "object"}}
    label = objects("id", "label", id=text, label={})
    return {
        "Error": objects("error", error=text),
        "Live": objects("live", live=flag),
        "Ready": objects("live", "ready", live=flag, ready=flag),
        "ModelReady": objects("name", "ready", name=text, ready=flag),
        "Server": objects("name", "version", "extensions", name=text, version=text, extensions={"type": "array"}),
        "Models": objects("models", models={"type": "array", "items": text}),
        "Index": {"type": "array", "items": state},
        "Model": objects("name", "platform", "inputs", "outputs", name=text, platform=text, inputs=told, outputs=told),
        "InferRequest": objects(
            "inputs",
            id=text,
            parameters=_PARAMETERS,
            inputs=tensors(model.inputs),
            outputs={"type": "array", "items": _NAMED},
        ),
        "Inference": objects(
            "model_name", "outputs", model_name=text, model_version=text, id=text, outputs=tensors(model.outputs)
        ),
        "Predictions": objects("predictions", id=text, predictions=rows, explanations=rows),
        "Accepted": objects("accepted", accepted={"type": "integer"}),
        "Feedback": {"anyOf": [label, {"type": "array", "items": label}]},
    }

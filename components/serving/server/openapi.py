"""The server's description in OpenAPI."""

from typing import Any

from components import __version__


def describe_api(model_name: str) -> dict[str, Any]:
    """The document at `/openapi.json`."""
    models = [f"/v2/models/{model_name}", f"/v2/models/{model_name}/versions/{{version}}"]
    numbers = {"type": "object", "additionalProperties": {"type": "number"}}
    texts = {"type": "array", "items": {"type": "string"}}
    pictures = {"type": "object", "additionalProperties": {"type": "string", "contentEncoding": "base64"}}
    sample = {
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"type": "string"},
            "decisions": {**texts, "description": "The classes at or above their thresholds"},
            "probabilities": numbers,
            "distance": {
                "type": ["number", "null"],
                "description": "Distance from the training images: at most about 1 for similar ones",
            },
            "is_unlike_training": {
                "type": ["boolean", "null"],
                "description": "Whether 99 of 100 validation images are nearer; null if there were fewer than 300",
            },
            "stains": {**pictures, "description": "With pictures=true: the channels as the model sees them, as PNGs"},
            "maps": {**pictures, "description": "With pictures=true: activation maps of the likely classes, as PNGs"},
            "error": {"type": "string", "description": "Why the sample cannot be used; then there are no predictions"},
        },
    }
    answer = {
        "type": "object",
        "properties": {
            "version": {"type": "string", "description": "The version of the model that answered"},
            "precision": {"type": "string", "description": "The precision that the model computed in"},
            "judged_precision": {"type": "string", "description": "The precision that it was judged in, if different"},
            "differing_decisions": {
                "type": ["number", "null"],
                "description": "The share of decisions that differ in the judged precision; null if it was not measured",
            },
            "classes": texts,
            "channels": texts,
            "colours": {"type": "object", "description": "With pictures=true: the RGB colour of each channel"},
            "thresholds": numbers,
            "samples": {"type": "array", "items": sample},
            "warnings": {
                "type": "array",
                "items": {"type": "object"},
                "description": "Badly exposed images, other pixel sizes, and images unlike the training images",
            },
            "ignored": {**texts, "description": "Files whose names match no sample"},
        },
    }
    refusals = {
        status: {"description": text}
        for status, text in {
            "400": "The request is malformed",
            "408": "The request took too long to arrive",
            "413": "The request is too large",
            "415": "The request is not a form",
            "422": "No file belongs to a sample",
            "429": "The server is busy; try again later",
            "503": "No answer within the time limit",
        }.items()
    }
    form = {"type": "object", "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}}}
    predict = {
        "summary": "Classify images, one file for each stain or one for all channels",
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": "boolean"}, "description": text}
            for name, text in (("pictures", "Add pictures"), ("examples", "Classify synthetic samples; no files are sent"))
        ],
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
        "responses": {
            "200": {
                "description": "The predictions, as JSON or, with Accept: text/csv, as a table",
                "content": {"application/json": {"schema": answer}, "text/csv": {}},
            },
            **refusals,
        },
    }
    infer = {
        "summary": "Classify pixels by the Open Inference Protocol",
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": {"200": {"description": "Probabilities and decisions"}, **refusals},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Predictions of {model_name}", "version": __version__},
        "paths": {
            "/predict": {"post": predict},
            **{path: {"get": _get(text)} for path, text in _GET.items()},
            **{model: {"get": _get("The model's input and output tensors")} for model in models},
            **{f"{model}/ready": {"get": _get("Whether the model is loaded")} for model in models},
            **{f"{model}/infer": {"post": infer} for model in models},
        },
    }


_GET = {
    "/v2": "The server",
    "/v2/health/live": "Whether the server is running",
    "/v2/health/ready": "Whether the server can predict",
    "/model-card": "A page about the model",
    "/metrics": "Prometheus metrics",
}


def _get(summary: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": "OK"}}}

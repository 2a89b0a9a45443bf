"""Strict validation of frames and messages against the AsyncAPI document."""

from functools import lru_cache

from jsonschema import Draft7Validator

from mlengine_project.http.asyncapi import document, resolved

seen = set()
"""Types of the frames checked so far, errors as `error/NAME`."""


def without_extra_properties(schema):
    """Schema that rejects properties it does not list."""
    if isinstance(schema, list):
        return [without_extra_properties(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {name: without_extra_properties(value) for name, value in schema.items()}
    return {"additionalProperties": False} | strict if "properties" in schema else strict


@lru_cache
def validator(message):
    """Validator of the payloads of one message, by name."""
    schema = without_extra_properties(resolved(document()["components"]["messages"][message]["payload"]))
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER)


def names_of(operation):
    return {reference["$ref"].rsplit("/", 1)[1] for reference in document()["operations"][operation]["messages"]}


def check_frame(frame):
    """Fail unless the document describes this frame."""
    kind = frame["type"]
    assert kind in names_of("sendFrames"), f"{kind} is not in the AsyncAPI document"
    problems = [f"{problem.json_path}: {problem.message}" for problem in validator(kind).iter_errors(frame)]
    assert problems == [], frame
    seen.add(f"error/{frame['error']}" if kind == "error" else kind)
    return frame

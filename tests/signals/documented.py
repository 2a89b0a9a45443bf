"""Frames and messages held against the AsyncAPI document, strictly: what it does not name is wrong."""

from functools import lru_cache

from jsonschema import Draft7Validator

from mlengine_project.asyncapi import document, resolved

seen = set()
"""Types of the frames checked so far, errors as `error/NAME`."""


def closed(schema):
    """The schema without room for properties it does not name."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {name: closed(value) for name, value in schema.items()}
    return {"additionalProperties": False} | shut if "properties" in schema else shut


@lru_cache
def validator(message):
    """Judges payloads of one message by its name."""
    schema = closed(resolved(document()["components"]["messages"][message]["payload"]))
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER)


def names_of(operation):
    return {reference["$ref"].rsplit("/", 1)[1] for reference in document()["operations"][operation]["messages"]}


def check_frame(frame):
    """Fail unless this is a frame the document describes."""
    kind = frame["type"]
    assert kind in names_of("sendFrames"), f"{kind} is not in the AsyncAPI document"
    problems = [f"{problem.json_path}: {problem.message}" for problem in validator(kind).iter_errors(frame)]
    assert problems == [], frame
    seen.add(f"error/{frame['error']}" if kind == "error" else kind)
    return frame

"""Valid and invalid requests generated from the schema, by every kind of caller, with checks of every answer."""

import copy
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi import checks

from tests.fuzz.engine import SCOPES, Engine

CALLERS = ("admin",) * 6 + ("predict", "read", "none", "wrong")
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
SEMANTIC = frozenset({"cursor", "from", "to", "after", "take_profit", "stop_loss", "names", "at", "since"})
"""Fields whose validity the schema cannot express: signed, ordered, or relative to the newest close."""
OTHER_METHODS = ("put", "patch", "delete")
OF_PREDICTORS = frozenset({"POST /predictions", "POST /signals", "POST /brackets", "POST /touches"})
"""Operations not allowed to the scope `read`."""
OPEN = frozenset({"/health", "/health/ready"})
FIRST, ROUND = 6, 100
"""Requests of one operation and mode in the first round, and the maximum of later rounds."""


@dataclass
class Outcome:
    """Numbers of requests sent, and faults of their answers."""

    sent: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def n_sent(self) -> int:
        """Requests so far."""
        return sum(self.sent.values())

    def fail(self, operation: str, what: str, case: Any, caller: str, response: Any, more: object = "") -> None:
        """Keep the first example of each fault."""
        fault = f"{operation}: {what} {response.status_code}"
        if fault not in self.failures:
            answer = f"{caller} {case.as_curl_command()} -> {response.status_code} {response.text[:300]}"
            self.failures[fault] = f"{more} {answer}"[:1500]


def narrowed(schema: dict[str, Any], mode: GenerationMode) -> dict[str, Any]:
    """The schema restricted to the symbols and horizons of the running engine, for valid requests.

    Valid requests have no cursor, since cursors are signed.
    """
    found = copy.deepcopy(schema)
    known = {"symbol": ["BTCUSDT", "ETHUSDT"], "horizon": [6, 18, 36, 72]}
    for item in found["paths"].values():
        for operation in item.values():
            operation.pop("security", None)  # keys are added by the caller
            if mode is GenerationMode.POSITIVE and "parameters" in operation:
                operation["parameters"] = [one for one in operation["parameters"] if one["name"] != "cursor"]
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query" and parameter["name"] in known:
                    parameter["schema"] = {**parameter["schema"], "enum": known[parameter["name"]]}
    for name, part in found["components"]["schemas"].items():
        if name.endswith("Request"):
            for field_name, values in known.items():
                if field_name in part.get("properties", {}):
                    part["properties"][field_name]["enum"] = values
    return found


def attack(engine: Engine, schema: dict[str, Any], n_requests: int, start: int = 1) -> Outcome:
    """Send at least `n_requests` requests; the outcome holds one example of each fault."""
    outcome, session = Outcome(), requests.Session()
    pending = [
        (result.ok(), mode)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        for result in schemathesis.openapi.from_dict(narrowed(schema, mode)).get_all_operations()
    ]
    unsupported(engine, sorted(schema["paths"]), session, outcome)
    number, share = start, FIRST
    while outcome.n_sent < n_requests and pending:
        fruitful = []
        for operation, mode in pending:
            before = outcome.n_sent
            if before < n_requests:
                send(engine, operation, mode, share, number, session, outcome)
            if outcome.n_sent - before > share / 2:  # otherwise all possible requests were sent
                fruitful.append((operation, mode))
        pending, number = fruitful, number + 1
        share = min(ROUND, (n_requests - outcome.n_sent) // max(1, len(pending)) + 1)
    return outcome


def send(
    engine: Engine,
    operation: Any,
    mode: GenerationMode,
    n_requests: int,
    number: int,
    session: requests.Session,
    outcome: Outcome,
) -> None:
    """Send some requests of one operation."""

    @seed(number)
    @settings(
        max_examples=n_requests,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode), st.sampled_from(CALLERS))
    def each(case: Any, caller: str) -> None:
        judge(engine, operation, mode, case, caller, session, outcome)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            each()
        except Unsatisfiable:
            # An operation without input has no invalid request; a valid one always exists.
            if mode is not GenerationMode.NEGATIVE:
                raise


def judge(
    engine: Engine,
    operation: Any,
    mode: GenerationMode,
    case: Any,
    caller: str,
    session: requests.Session,
    outcome: Outcome,
) -> None:
    """Send one request and check its answer."""
    headers = {"admin": engine.keys["admin"], "predict": engine.keys["predict"], "read": engine.keys["read"]}
    key = {**headers, "wrong": "mle_wrong"}.get(caller)
    name = f"{operation.method.upper()} {operation.path}"
    sent = {"X-API-Key": key} if key else {}
    try:
        response = case.call(base_url=engine.url, session=session, headers=sent, timeout=30)
    except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL):
        return  # cannot be sent over HTTP
    outcome.sent[f"{mode.value} {caller}"] += 1
    outcome.statuses[response.status_code] += 1
    wanted = [check for check in CHECKS if caller in SCOPES or check is not checks.negative_data_rejection]
    try:
        case.validate_response(response, checks=wanted)
    except FailureGroup as group:
        for failure in group.exceptions:
            outcome.fail(name, type(failure).__name__, case, caller, response, failure)
    except Failure as failure:
        outcome.fail(name, type(failure).__name__, case, caller, response, failure)
    if "%00" in response.request.url:
        # A limit of the request, checked before any key (decision 0025).
        if response.status_code != 400:
            outcome.fail(name, "accepted a URL with a NUL", case, caller, response)
        return
    if caller not in SCOPES and operation.path not in OPEN and response.status_code not in {401, 429}:
        outcome.fail(name, "answered without a key", case, caller, response)
    if caller == "read" and name in OF_PREDICTORS and response.status_code != 403:
        outcome.fail(name, "answered a key without the scope", case, caller, response)
    # The body of POST /jobs depends on its kind, which generated requests do not respect.
    if caller == "admin" and mode is GenerationMode.POSITIVE and response.status_code == 400 and name != "POST /jobs":
        fields = set(response.json().get("details", {}))
        if not fields <= SEMANTIC:
            outcome.fail(name, f"refused a valid request for {sorted(fields)}", case, caller, response)


def unsupported(engine: Engine, paths: list[str], session: requests.Session, outcome: Outcome) -> None:
    """Unsupported methods: 405 with `Allow`, in the standard form."""
    for path in paths:
        address = path.replace("{id}", "00000000-0000-0000-0000-000000000000")
        for method in OTHER_METHODS:
            response = session.request(
                method, engine.url + address, headers={"X-API-Key": engine.keys["admin"]}, timeout=30
            )
            outcome.sent["other method"] += 1
            outcome.statuses[response.status_code] += 1
            if response.status_code != 405 or "Allow" not in response.headers or "error" not in response.json():
                outcome.failures[f"{method} {path}: {response.status_code}"] = response.text[:300]

"""Two thousand requests from the schema: no 500, no undocumented status, no wrong shape."""

import pytest

from mlengine_project.http.schema import openapi_document
from tests.fuzz.engine import served_engine
from tests.fuzz.surface import attack

REQUESTS = 2000


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.django_db(transaction=True)
def test_every_answer_conforms_to_the_schema(tmp_path):
    with served_engine(tmp_path) as engine:
        outcome = attack(engine, openapi_document(), REQUESTS)
    assert outcome.n_sent >= REQUESTS
    assert {200, 201, 400, 401, 403, 404, 405, 409} - {409} <= set(outcome.statuses)
    assert outcome.failures == {}, "\n\n".join(f"{what}\n{example}" for what, example in outcome.failures.items())

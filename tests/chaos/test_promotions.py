"""The judgement of answers under promotions: mixed, late and failed ones are counted."""

from tests.chaos.promotions import Answer, judge

OLD, NEW = ("a", "b", "c"), ("b", "c", "d")
CHANGES = [(0.0, OLD), (100.0, NEW), (200.0, OLD)]


def test_answers_by_whole_ensembles_in_time_are_right():
    answers = [Answer(50, 200, "1", OLD), Answer(101.5, 200, "1", OLD), Answer(103, 200, "2", NEW)]
    found = judge(answers, CHANGES)
    assert (found["mixed_answers"], found["answers_by_the_old_after_2_s"]) == (0, 0)
    assert (found["statuses"], found["longest_seconds_to_change"]) == ({"200": 3}, 1.5)


def test_mixed_late_and_failed_answers_are_counted():
    answers = [
        Answer(50, 200, "1", ("a", "b", "d")),
        Answer(60, 200, "2", OLD),
        Answer(210, 200, "2", NEW),
        Answer(220, 503),
    ]
    found = judge(answers, CHANGES)
    assert found["mixed_answers"] == 2, "unknown versions, and one id with two ensembles"
    assert found["answers_by_the_old_after_2_s"] == 1
    assert found["statuses"] == {"200": 3, "503": 1}

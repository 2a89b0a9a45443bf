"""Malicious model files with valid hashes are rejected before XGBoost parses them."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelregistry.artifacts.reading import check_content
from modelregistry.artifacts.ubjson import parse_ubjson
from modelregistry.errors import ModelLoadError
from tests.modelregistry import champions


def model():
    return json.loads(bytes(champions.booster().save_raw("json")))


def trees(page):
    return page["learner"]["gradient_booster"]["model"]["trees"]


def first_leaf(tree):
    return tree["left_children"].index(-1)


def child_out_of_range(page):
    trees(page)[0]["left_children"][0] = 99_999


def child_negative(page):
    trees(page)[0]["left_children"][0] = -7


def child_is_its_parent(page):
    trees(page)[0]["left_children"][1] = 0


def unreachable_cycle(page):
    tree = trees(page)[0]
    tree["left_children"][1], tree["right_children"][1] = 1, 2


def leaf_with_one_child(page):
    tree = trees(page)[0]
    tree["left_children"][first_leaf(tree)] = 1


def wrong_parent(page):
    trees(page)[0]["parents"][1] = 2


def root_has_a_parent(page):
    trees(page)[0]["parents"][0] = 1


def split_on_a_feature_far_away(page):
    trees(page)[0]["split_indices"][0] = 100_000_000


def split_on_a_negative_feature(page):
    trees(page)[0]["split_indices"][0] = -1


def shorter_array(page):
    trees(page)[0]["split_conditions"].pop()


def more_nodes_than_declared(page):
    trees(page)[0]["tree_param"]["num_nodes"] = "3"


def endless_nodes(page):
    trees(page)[0]["tree_param"]["num_nodes"] = "9" * 4000


def tree_missing(page):
    trees(page).pop()


def more_trees_than_declared(page):
    page["learner"]["gradient_booster"]["model"]["gbtree_model_param"]["num_trees"] = "2000000000"


def tree_of_a_missing_output(page):
    page["learner"]["gradient_booster"]["model"]["tree_info"][0] = 7


def rounds_beyond_the_trees(page):
    page["learner"]["gradient_booster"]["model"]["iteration_indptr"][-1] = 10_000


def no_rounds(page):
    page["learner"]["gradient_booster"]["model"]["iteration_indptr"] = []


def categorical_split(page):
    trees(page)[0]["split_type"][0] = 1


def categories_without_nodes(page):
    trees(page)[0]["categories"] = [1, 2]


def leaf_vectors(page):
    trees(page)[0]["tree_param"]["size_leaf_vector"] = "9"


def another_feature_count(page):
    page["learner"]["learner_model_param"]["num_feature"] = "100000"


def another_booster(page):
    page["learner"]["gradient_booster"]["name"] = "dart"


def base_score_is_nan(page):
    page["learner"]["learner_model_param"]["base_score"] = "nan"


def text_for_a_list(page):
    trees(page)[0]["left_children"] = "1" * len(trees(page)[0]["left_children"])


def fraction_for_an_index(page):
    trees(page)[0]["left_children"][0] = 1.5


def empty_page(page):
    page["learner"] = None


ATTACKS = [
    child_out_of_range,
    child_negative,
    child_is_its_parent,
    unreachable_cycle,
    leaf_with_one_child,
    wrong_parent,
    root_has_a_parent,
    split_on_a_feature_far_away,
    split_on_a_negative_feature,
    shorter_array,
    more_nodes_than_declared,
    endless_nodes,
    tree_missing,
    more_trees_than_declared,
    tree_of_a_missing_output,
    rounds_beyond_the_trees,
    no_rounds,
    categorical_split,
    categories_without_nodes,
    leaf_vectors,
    another_feature_count,
    another_booster,
    base_score_is_nan,
    text_for_a_list,
    fraction_for_an_index,
    empty_page,
]


def test_a_valid_model_passes_in_both_formats():
    for form in ("json", "ubj"):
        check_content(f"model.{form}", bytes(champions.booster().save_raw(form)))
        check_content(f"model.{form}", bytes(champions.booster(1, classes=3).save_raw(form)))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_hostile_trees_are_refused(attack):
    page = model()
    attack(page)
    with pytest.raises(ModelLoadError):
        check_content("model.json", json.dumps(page).encode())


@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_nesting_is_refused(depth):
    with pytest.raises(ModelLoadError):
        check_content("deep.ubj", b"{U\x01a" + b"[" * depth)
    with pytest.raises(ModelLoadError):
        check_content("deep.json", b'{"a":' + b"[" * depth * 10)


@pytest.mark.parametrize(
    "content",
    [
        b"{U\x01a[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"{U\x01a[#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"{U\x01aSL\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"{U\x01aSi\xff",
        b"{#U\x01U\x01aZ",
        b"{U\x01aZU\x01aZ}",
        b"{U\x01aZ}more",
        b"{U\x01a\x00}",
        b"{U\x02\xff\xfeZ}",
        b"{",
    ],
)
def test_false_lengths_and_markers_are_refused(content):
    with pytest.raises(ModelLoadError):
        parse_ubjson(content, "model.ubj")


@pytest.mark.parametrize(
    "content", [b'{"a": NaN}', b'{"a": 1e400}', b'{"a": 1, "a": 2}', b"[1]", b'{"a": "\xff"}', b"{" + b" " * 10]
)
def test_json_that_is_not_strict_is_refused(content):
    with pytest.raises(ModelLoadError):
        check_content("model.json", content)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_a_mutated_model_is_refused_or_still_valid(seed, flips):
    rng = np.random.default_rng(seed)
    torn = bytearray(champions.booster().save_raw("ubj"))
    for _ in range(flips):
        torn[rng.integers(len(torn))] ^= 1 << int(rng.integers(8))
    try:
        check_content("model.ubj", bytes(torn))
    except ModelLoadError:
        return
    for tree in trees(parse_ubjson(bytes(torn), "model.ubj")):
        left, right = np.asarray(tree["left_children"]), np.asarray(tree["right_children"])
        inner = left != -1
        assert max(left.max(), right.max()) < len(left)
        assert sorted([*left[inner], *right[inner]]) == list(range(1, len(left)))
        assert (np.asarray(tree["split_indices"])[inner] < champions.WIDTH).all()

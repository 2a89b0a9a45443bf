"""Structural checks of XGBoost trees, run before the library parses them.

XGBoost does not validate indices: a child index out of range, a cycle or a missing feature makes it read memory out of
bounds. A hash shows that the bytes are unchanged; these checks show that they are safe to load.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from modelregistry.errors import ModelLoadError

MAX_TREES = 100_000
MAX_NODES = 1_000_000
MAX_DEPTH = 64
MAX_FEATURES = 100_000
NO_PARENT = 2**31 - 1
PER_NODE = (
    "left_children",
    "right_children",
    "parents",
    "split_indices",
    "split_conditions",
    "split_type",
    "default_left",
    "sum_hessian",
    "loss_changes",
)
CATEGORICAL = ("categories", "categories_nodes", "categories_segments", "categories_sizes")


def is_booster(page: dict[str, Any]) -> bool:
    """Whether a parsed page is an XGBoost model, whatever the file name."""
    return "learner" in page


def check_booster(page: dict[str, Any], name: str) -> None:
    """Raise ModelLoadError unless the trees of a parsed XGBoost model are valid.

    Raises
    ------
    ModelLoadError
        For the first violation found: an index out of range, a cycle, counts that disagree,
        a booster that is not gradient boosted trees, a categorical split.

    Examples
    --------
    >>> check_booster({"learner": {}}, "x.ubj")
    Traceback (most recent call last):
        ...
    modelregistry.errors.ModelLoadError: x.ubj has invalid trees: 'gradient_booster' is missing
    """
    try:
        _check(page)
    except KeyError as error:
        raise ModelLoadError(f"{name} has invalid trees: {error} is missing") from error
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise ModelLoadError(f"{name} has invalid trees: {error}") from error


def _check(page: dict[str, Any]) -> None:
    learner = page["learner"]
    booster = learner["gradient_booster"]
    _require(booster["name"] == "gbtree", f"the booster is {str(booster['name'])[:20]!r}, not gbtree")
    parameters = learner["learner_model_param"]
    features = _count(parameters["num_feature"], MAX_FEATURES)
    groups = max(_count(parameters["num_class"], 1000), _count(parameters.get("num_target", "1"), 1000), 1)
    base_score = str(parameters["base_score"]).strip("[]").split(",")
    _require(all(np.isfinite(float(score)) for score in base_score), "the base score is not finite")
    _require(len(base_score) in {1, groups}, "the base score has another width than the output")
    model = booster["model"]
    trees = model["trees"]
    _require(isinstance(trees, list), "the trees are not a list")
    count = _count(model["gbtree_model_param"]["num_trees"], MAX_TREES)
    _require(count == len(trees), f"{count} trees are declared and {len(trees)} are present")
    owners = _whole(model["tree_info"], count, "tree_info")
    _require(bool(((owners >= 0) & (owners < groups)).all()), "a tree belongs to an output that does not exist")
    rounds = _whole(model["iteration_indptr"], None, "iteration_indptr")
    ends = [int(rounds[0]), int(rounds[-1])] if len(rounds) else [0, 0]
    _require(ends == [0, count], "the rounds do not cover the trees")
    _require(bool((np.diff(rounds) >= 0).all()), "the rounds are not ascending")
    for position, tree in enumerate(trees):
        try:
            _check_tree(tree, features)
        except ValueError as error:
            raise ValueError(f"tree {position}: {error}") from error


def _check_tree(tree: dict[str, Any], features: int) -> None:
    parameters = tree["tree_param"]
    nodes = _count(parameters["num_nodes"], MAX_NODES)
    width = max(_count(parameters["size_leaf_vector"], 1000), 1)
    deleted = _count(parameters["num_deleted"], MAX_NODES)
    _require(nodes >= 1, "it has no root")
    _require(
        _count(parameters["num_feature"], MAX_FEATURES) == features, "it has another number of features than the model"
    )
    _require(width == 1, "its leaves are vectors, which are not supported")
    for name in PER_NODE:
        _require(len(tree[name]) == nodes, f"{name} has {len(tree[name])} entries for {nodes} nodes")
    _require(len(tree["base_weights"]) == nodes, "base_weights does not fit the nodes")
    _require(not any(len(tree[name]) for name in CATEGORICAL), "it splits on categories, which is not supported")
    _require(
        not _whole(tree["split_type"], nodes, "split_type").any(), "it splits on categories, which is not supported"
    )
    left, right = (_whole(tree[name], nodes, name) for name in ("left_children", "right_children"))
    leaf = left == -1
    _require(bool((leaf == (right == -1)).all()), "a node has one child")
    _check_paths(left, right, _whole(tree["parents"], nodes, "parents"), deleted)
    splits = _whole(tree["split_indices"], nodes, "split_indices")[~leaf]
    _require(bool(((splits >= 0) & (splits < features)).all()), "it splits on a feature that does not exist")
    default = _whole(tree["default_left"], nodes, "default_left")
    _require(bool(((default == 0) | (default == 1)).all()), "default_left is neither 0 nor 1")
    for name in ("split_conditions", "base_weights"):
        _require(bool(np.isfinite(np.asarray(tree[name], dtype=np.float64)).all()), f"{name} is not finite")


def _check_paths(left: np.ndarray, right: np.ndarray, parents: np.ndarray, deleted: int) -> None:
    """Traverse from the root level by level; every live node is reached exactly once."""
    nodes = len(left)
    inner = left != -1
    children = np.concatenate([left[inner], right[inner]])
    _require(bool(((children > 0) & (children < nodes)).all()), "a child is outside the tree")
    _require(int(parents[0]) in {-1, NO_PARENT}, "the root has a parent")
    met = np.zeros(nodes, dtype=np.int64)
    level = np.array([0])
    for _ in range(MAX_DEPTH + 1):
        met[level] += 1
        _require(len(np.unique(level)) == len(level) and int(met.max()) == 1, "a node is reached twice")
        above = level[inner[level]]
        if not len(above):
            break
        for side in (left, right):
            _require(bool((parents[side[above]] == above).all()), "a child names another parent")
        level = np.concatenate([left[above], right[above]])
    else:
        raise ValueError(f"it is deeper than {MAX_DEPTH}")
    _require(
        nodes - int(met.sum()) == deleted,
        f"{nodes - int(met.sum())} nodes are unreachable, {deleted} are declared deleted",
    )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _count(value: str | int, most: int) -> int:
    number = int(value)
    _require(0 <= number <= most, f"a count of {str(value)[:20]} is outside 0 to {most}")
    return number


def _whole(values: npt.ArrayLike, expected: int | None, name: str) -> np.ndarray:
    array = np.asarray(values)
    _require(
        array.ndim == 1 and (array.dtype.kind in "iub" or not array.size), f"{name} is not a list of whole numbers"
    )
    _require(expected is None or len(array) == expected, f"{name} has {len(array)} entries, not {expected}")
    return array.astype(np.int64)

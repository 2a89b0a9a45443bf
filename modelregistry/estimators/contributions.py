"""What drove a forecast: the contribution of each feature to the predicted range. Pure."""

import numpy as np

from modelregistry.estimators import boosting
from modelregistry.estimators.scale import VOLATILITY_SHARE, ScaleModel


def scale_contributions(model: ScaleModel, features: np.ndarray) -> np.ndarray:
    """Contribution of each feature to the predicted log range, beside the average row.

    The ridge regression's terms are added to the trees' Shapley values, so that together with the current volatility
    and a constant they give the prediction.

    Parameters
    ----------
    model : ScaleModel
    features : ndarray of shape (n_rows, n_features), float32

    Returns
    -------
    ndarray of shape (n_rows, n_horizons, n_features + 1)
        Additive in log range: 0.1 widens the range by 10.5 %. The last column is the constant, without the current
        volatility.
    """
    standard = model.linear.standardise(features.astype(np.float64))
    result = np.zeros((len(features), len(model.horizons), features.shape[1] + 1))
    for k, booster in enumerate(model.boosters):
        result[:, k] = boosting.contributions(booster, features)
        result[:, k, :-1] += (1.0 - VOLATILITY_SHARE) * standard * model.linear.weights[k]
        result[:, k, -1] += (1.0 - VOLATILITY_SHARE) * model.linear.intercept[k] + VOLATILITY_SHARE * model.level[k]
    return result

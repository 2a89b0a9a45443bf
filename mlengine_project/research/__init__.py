"""Candles, features, labels, forecasts and scores for research, as NumPy arrays and pandas frames.

Start Python or Jupyter in the project's folder, with the environment of the installation, and write
``from mlengine_project import research``. Every function may be called in a running event loop: what reads the
database runs in a thread. `docs/research-api.md` shows them together.
"""

import os

import django
from django.apps import apps

if not apps.ready:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")
    django.setup()

from mlengine_project.research.reading import candles, features, forecasts, labels, markets, samples, versions
from mlengine_project.research.samples import Samples
from mlengine_project.research.scoring import Evaluation, evaluate
from mlengine_project.research.values import Candles, Forecasts, Values

__all__ = [
    "Candles",
    "Evaluation",
    "Forecasts",
    "Samples",
    "Values",
    "candles",
    "evaluate",
    "features",
    "forecasts",
    "labels",
    "markets",
    "samples",
    "versions",
]

"""Model versions: training, evaluation, storage and promotion."""

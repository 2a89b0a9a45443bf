"""From candles to forecasts, bracket probabilities and refusals."""

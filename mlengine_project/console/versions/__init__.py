"""Pages of model versions: charts, comparison and decisions."""

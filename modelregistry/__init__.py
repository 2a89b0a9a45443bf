"""How a model version is trained, judged, kept and promoted."""

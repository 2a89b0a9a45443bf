"""Long jobs: asked for, run, stopped."""

"""The process around each run. It imports next to nothing, so that a run starts quickly."""

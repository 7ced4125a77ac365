"""Running targets: the shim around each run, and how a daemon finds it again."""

"""The daemon: events in, the core's commands out, and what people ask of it."""

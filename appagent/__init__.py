"""appagent: brings every app on a shared filesystem to the release that is there."""

__version__ = "0.1.0"

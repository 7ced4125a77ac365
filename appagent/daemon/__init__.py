"""The daemon: events in, the core's commands out, and the control socket."""

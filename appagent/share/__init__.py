"""The watcher: everything that touches a share happens in its process."""

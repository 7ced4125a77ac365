"""The eye: everything that touches a share happens in its process."""

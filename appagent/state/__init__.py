"""What this node remembers on its local disk."""

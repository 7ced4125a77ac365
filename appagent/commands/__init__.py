"""What each command asks for, and how it prints the answer."""

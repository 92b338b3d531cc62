"""What the daemon says to the outside: messages."""

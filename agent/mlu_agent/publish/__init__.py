"""What the daemon says to the outside: messages, and the sockets that they leave by."""

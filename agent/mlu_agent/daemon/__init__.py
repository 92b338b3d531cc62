"""The service: sources to messages, what is said and counted, signals and systemd."""

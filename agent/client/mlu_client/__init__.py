"""Listens to mlu-agent: the messages' bytes, a subscriber, and messages read back into typed values."""

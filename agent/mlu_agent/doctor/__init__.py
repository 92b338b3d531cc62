"""What is wrong with a box, and what to do: each file looks at one part, and judges what it saw by pure functions."""

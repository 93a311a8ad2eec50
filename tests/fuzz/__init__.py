"""Attacks a real server with random input for as long as one likes: `python -m tests.fuzz --help`."""

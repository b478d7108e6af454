"""The client: its assistant's settings, its keys, the doors into it."""

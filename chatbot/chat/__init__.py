"""Conversations and the turn that answers a visitor."""

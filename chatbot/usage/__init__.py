"""What clients may spend and what they spent."""

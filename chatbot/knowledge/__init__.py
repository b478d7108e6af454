"""A client's sources, the passages cut from them, and the search in them."""

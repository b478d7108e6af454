"""How well knowledge search finds: questions with their passages, and `python -m bench.search.evaluate`."""

"""A simulated model behind an OpenAI-compatible address, for measuring and for tests.

The model's name is its script: `steady` speaks like a hosted model, `cut-300` breaks the line after 300 bytes, `status-429-retry-2` asks
to come back in two seconds. `python -m bench.model --list` prints them all; `scripts.py` and `faults.py` hold them.

    with ModelServer() as model:
        OpenAI(base_url=model.base_url, api_key="any").chat.completions.create(model="echo", messages=[...])
        model.tally(), model.requests(last=1)
"""

from bench.model.running import ModelServer

__all__ = ["ModelServer"]

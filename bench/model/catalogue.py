"""All scripts by name, and how a model's name is read: the longest script name that fits, then its parameters."""

from bench.model.call import Script
from bench.model.faults import FAULTS
from bench.model.scripts import SPEECH

SCRIPTS: dict[str, Script] = SPEECH | FAULTS


def find_script(model: str) -> tuple[Script, str]:
    """The script a name means, and the rest of the name. Raises LookupError for a name that means nothing."""
    name = model
    while name not in SCRIPTS:
        name = name.rpartition("-")[0]
        if not name:
            raise LookupError(model)
    return SCRIPTS[name], model[len(name) + 1 :]


def describe() -> str:
    """One line a script, for people."""
    return "\n".join((script.__doc__ or "").split("\n")[0] for script in SCRIPTS.values())

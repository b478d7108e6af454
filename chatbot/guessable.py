"""Whether a secret could be guessed: a value out of a tutorial, a word list or a keyboard's row, and not out of a random source.

What a dictionary or a pattern explains is taken away; what is left must hold enough chance of its own. Random bytes as
hex, base64 or letters lose a tenth at most and stay far above the line.
"""

import math
import re
from collections import Counter

SHORTEST = 24  # characters
ENOUGH = 48.0  # bits left when words and patterns are gone; 32 random bytes keep at least 120

# Words of placeholders and examples. The longest that fits goes as a whole.
_WORDS = (
    "123 abc access admin alpha and app application asdfghjkl auth bar beta bot bytes change changed changeit "
    "changeme char characters chat chatbot complex cookie crypt default demo deploy dev development django do "
    "dont easy encryption enter env environment example fallback fastapi fernet fill flask flaskapp foo for "
    "forget from generate generated guess hard here hex hidden in insecure insert instance is it jwt keep key "
    "later least length letmein local localhost long machine master me mine minimum must my need never new not of "
    "only openssl or os own pass passphrase password phrase placeholder please prod production project put python "
    "qwerty qwertyuiop rand random real remember replace required safe salt sample secret secretkey secure "
    "securely security server session set shaman shop sign signing site some something staging strong super temp "
    "temporary test testing that the this to todo token top tutorial unsafe update urandom use user value very "
    "want website with work your yours zero zxcvbnm anything be hash lengthy modified modify unique"
)
_WORD = re.compile("|".join(sorted(_WORDS.split(), key=len, reverse=True)))
_LEET = str.maketrans("013457@$", "oieastas")

# Published with programs and tutorials, though they look random.
_PUBLISHED = (
    "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
    "c292a0a3aa32397cdb050e233733900f",
    "sk-9f73s3ljtxvcmt3blb3ljtqtskighxvcmt3blbkfjlk7u",
    "5791628bb0b13ce0c676dfde280ba245",
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "16f8c0ef4a5d391b26034086c628469d3f9f497f08163ab9b40137092f2909ef",
    "eaa5191f2914e30b9387fd84e254e4ba6fc51b4654968a9b0803b456a54b8418",
    "f34be427ebb29de8d88c107a71546019685ed8b241d8f2ed00c3df97ad2566f0",
)


def is_guessable(secret: str) -> bool:
    """True for what is short, published, or made of words, runs, repeats and little else."""
    if len(secret) < SHORTEST or secret.lower() in _PUBLISHED or secret.startswith("django-insecure-"):
        return True
    return _bits(_without_runs(_without_words(_without_repeats(secret)))) < ENOUGH


def _without_repeats(secret: str) -> str:
    """One period of a text that only repeats itself."""
    at = (secret + secret).find(secret, 1)
    return secret[:at]


def _without_words(secret: str) -> str:
    """What no listed word explains, whether in capitals, small letters or digits that stand for letters."""
    taken = [False] * len(secret)
    for plain in (secret.lower(), secret.lower().translate(_LEET)):
        for match in _WORD.finditer(plain) if len(plain) == len(secret) else ():
            taken[match.start() : match.end()] = [True] * len(match[0])
    return "".join(character for character, known in zip(secret, taken, strict=True) if not known)


def _without_runs(secret: str) -> str:
    """Without characters that follow from the one before: the same, the next or the previous of the alphabet."""
    before = "\0" + secret
    return "".join(
        character for last, character in zip(before, secret, strict=False) if abs(ord(character) - ord(last)) > 1
    )


def _bits(secret: str) -> float:
    """How much chance its letters could hold, going by how often each comes."""
    counts = Counter(secret)
    return -sum(n * math.log2(n / len(secret)) for n in counts.values())

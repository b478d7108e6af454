"""The catalogue of texts is current: what people read is what translators get."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_catalogue_holds_every_text(tmp_path):
    fresh = tmp_path / "messages.pot"
    subprocess.run([ROOT / "bin" / "texts", fresh], check=True, timeout=50)
    assert fresh.read_text() == (ROOT / "chatbot/translations/messages.pot").read_text(), "run `make texts`"

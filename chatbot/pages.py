"""What every page is given: its language, and its style sheets joined into one that browsers may keep for a year."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from babel import negotiate_locale
from flask import Blueprint, Flask, Response, current_app
from flask_babel import get_locale

from chatbot.errors import NotFound

blueprint = Blueprint("pages", __name__)

OWN_LANGUAGE = "en"  # of the texts in the code: it needs no catalogue


def init_pages(app: Flask) -> None:
    styles = _joined(app)
    version = hashlib.sha256(styles.encode()).hexdigest()[:12]
    app.extensions["shaman_styles"] = {version: styles}
    app.jinja_env.globals["joined_styles"] = f"/styles-{version}.css"
    app.register_blueprint(blueprint)

    @app.context_processor
    def _every_page() -> dict[str, Any]:
        locale = get_locale()
        return {
            "lang": str(locale or "en").replace("_", "-"),
            "direction": locale.text_direction if locale else "ltr",
        }


def languages(catalogues: Path) -> list[str]:
    """The languages that Shaman speaks: its own, and each that has a compiled catalogue."""
    return [OWN_LANGUAGE, *sorted(file.parent.parent.name for file in catalogues.glob("*/LC_MESSAGES/messages.mo"))]


def choose_language(liked: Iterable[tuple[str, float]], spoken: Sequence[str]) -> str:
    """Of the languages `spoken`, the one that a browser likes best (tags with their quality, best first); else our own.

    Not Werkzeug's `best_match`: for «en-GB, de» it takes de, for it looks for a whole tag first.
    """
    tags = {name.replace("_", "-").lower(): name for name in spoken}
    found = negotiate_locale([tag for tag, quality in liked if quality > 0], tags, sep="-")
    return tags.get((found or "").lower(), OWN_LANGUAGE)


def _joined(app: Flask) -> str:
    """The component style sheets one after the other, in the order that the template of assets names."""
    files = app.jinja_env.get_template("macros/assets.html").module.style_sheets  # type: ignore[attr-defined]
    return "".join((Path(str(app.static_folder)) / file).read_text() for file in files)


@blueprint.get("/styles-<version>.css")
def styles(version: str) -> Response:
    text = current_app.extensions["shaman_styles"].get(version)
    if text is None:
        raise NotFound()
    response = Response(text, mimetype="text/css")
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response

"""Flask extensions, made empty here and filled by `create_app`."""

from flask_babel import Babel
from flask_cors import CORS
from flask_limiter import Limiter
from flask_login import LoginManager
from flask_wtf.csrf import CSRFProtect

from chatbot.security import caller_address

babel = Babel()
cors = CORS()
csrf = CSRFProtect()
limiter = Limiter(key_func=caller_address, headers_enabled=False, strategy="moving-window")
login = LoginManager()

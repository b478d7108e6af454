"""The pages of the second factor, put together: four files of routes, one blueprint."""

from flask import Flask

from chatbot.accounts.second_factor import challenge_routes, own_passkey_routes, passkey_routes
from chatbot.accounts.second_factor import routes as factor_routes

assert challenge_routes
assert factor_routes
assert own_passkey_routes


def init_factors(app: Flask) -> None:
    site = passkey_routes.find_site(app)
    app.jinja_env.globals["passkey_host"] = site.host if site else None  # where it is None, no page offers passkeys
    app.register_blueprint(passkey_routes.blueprint)

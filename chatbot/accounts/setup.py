"""The pages of accounts: sign-in, links, one's own account, a client's team."""

from flask import Flask

from chatbot.accounts import link_routes, own_routes, routes, team_routes

assert link_routes  # whose routes belong to the blueprint of sign-in


def init_account_pages(app: Flask) -> None:
    app.register_blueprint(routes.blueprint)
    app.register_blueprint(own_routes.blueprint)
    app.register_blueprint(team_routes.blueprint)

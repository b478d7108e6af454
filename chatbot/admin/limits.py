"""`/admin/limits`: what clients inherit until they set their own, and what platform admins are asked for."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from flask import current_app, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from chatbot.accounts.doors import actor, person
from chatbot.accounts.oversight import platform_admins_without_factor
from chatbot.admin import blueprint
from chatbot.admin.client_forms import show_problem
from chatbot.admin.limit_forms import DefaultLimitsForm, DefaultSettingsForm, SecurityForm
from chatbot.db import across_tenants
from chatbot.errors import Conflict, Forbidden, Invalid, NotFound
from chatbot.tenants import inheritance
from chatbot.tenants.defaults import Defaults, fingerprint, forget_defaults, platform_defaults

Answer = Response | tuple[str, int]
PER_PAGE = 50


@blueprint.get("/limits")
def limits() -> str:
    return _page()


@blueprint.post("/limits")
def set_default_limits() -> Answer:
    form = DefaultLimitsForm()
    return _save(form, lambda: inheritance.set_limits(form.limits(), form.seen.data or "", actor()), {"limits": form})


@blueprint.post("/limits/settings")
def set_default_settings() -> Answer:
    form = DefaultSettingsForm()
    return _save(
        form, lambda: inheritance.set_settings(form.document(), form.seen.data or "", actor()), {"settings": form}
    )


@blueprint.post("/limits/security")
def set_security() -> Answer:
    form = SecurityForm()
    return _save(
        form,
        lambda: inheritance.require_second_factor(form.requires_second_factor.data, person().is_strong, actor()),
        {"security": form},
    )


@blueprint.get("/limits/own/<name>")
def own_limits(name: str) -> str:
    """The clients that have set `name` themselves."""
    if name not in inheritance.INHERITED_LIMITS + inheritance.INHERITED_SETTINGS:
        raise NotFound()
    with across_tenants(writes=False):
        found = inheritance.clients_with_own(name, request.args.get("after", "")[:63], PER_PAGE + 1)
    onward = found[PER_PAGE - 1].slug if len(found) > PER_PAGE else None
    label = _labels()[name]
    return render_template("admin/own_limits.html", name=name, label=label, found=found[:PER_PAGE], onward=onward)


def _save(form: Any, change: Callable[[], None], forms: dict[str, Any]) -> Answer:
    if form.validate():
        try:
            change()
        except Invalid as problem:
            show_problem(form, problem)
        except Forbidden as problem:
            form.form_errors.append(str(problem.detail))
        except Conflict as problem:
            forget_defaults()
            return _page(changed_by_others=str(problem.detail), **forms), problem.status
        else:
            flash(_("Saved. It holds for everybody who has not set their own, from the next message on."), "done")
            return redirect(url_for(".limits"), 303)
    return _page(**forms), 422


def _page(limits: Any = None, settings: Any = None, security: Any = None, changed_by_others: str | None = None) -> str:
    forget_defaults()
    defaults = platform_defaults()
    with across_tenants(writes=False):
        clients, own = inheritance.count_clients_and_own()
        without_factor = platform_admins_without_factor()
    forms = _forms(defaults, limits, settings, security)
    for form, value in ((forms["limits"], defaults.limits), (forms["settings"], defaults.settings)):
        form.seen.data = fingerprint(value)
    return render_template(
        "admin/limits.html",
        **forms,
        wrong=next((form for form in (limits, settings, security) if form is not None and form.errors), None),
        changed_by_others=changed_by_others,
        now=defaults,
        clients=clients,
        own=own,
        without_factor=without_factor,
        configured=current_app.config["SHAMAN"],
        may_require=person().is_strong or defaults.requires_second_factor,
    )


def _forms(defaults: Defaults, limits: Any, settings: Any, security: Any) -> dict[str, Any]:
    return {
        "limits": limits or DefaultLimitsForm(formdata=None, data=_with_money(defaults.limits)),
        "settings": settings or DefaultSettingsForm(formdata=None, data=defaults.settings),
        "security": security or SecurityForm(formdata=None, data=defaults.security),
    }


def _with_money(limits: dict[str, Any]) -> dict[str, Any]:
    """The limits with money as a number, which is a decimal string where it is stored."""
    money = limits.get("money_per_month")
    return {**limits, "money_per_month": None if money is None else Decimal(money)}


def _labels() -> dict[str, str]:
    fields = [*DefaultLimitsForm(formdata=None), *DefaultSettingsForm(formdata=None)]
    return {field.name: str(field.label.text) for field in fields}

"""`/console/<slug>/team`: the client's people and who is invited."""

from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from chatbot import mail
from chatbot.accounts import members
from chatbot.accounts.doors import actor, person
from chatbot.accounts.forms import ROLE_NAMES, InviteForm, RoleForm, SecondFactorForm
from chatbot.accounts.letters import post_invitation
from chatbot.accounts.people import read_email
from chatbot.accounts.routes import answer
from chatbot.db import db
from chatbot.errors import Conflict, Invalid, RateLimited, ShamanError
from chatbot.tenants.doors import Entered
from chatbot.usage.rates import count_call

blueprint = Blueprint("team", __name__, url_prefix="/console/<slug>/team")
INVITATIONS = "100 per hour"  # of a client: an invitation is a mail to somebody who didn't ask for one
SHOWN_ONCE = "invitation_link"


@blueprint.get("")
def show(slug: str) -> str:
    return _page(InviteForm(formdata=None))


@blueprint.post("/invitations")
def invite(slug: str) -> AnyResponse:
    form = InviteForm()
    if not form.validate():
        return answer(_page(form), 422)
    email = read_email(form.email.data) or ""
    try:
        _count()
        return _hand_over(email, members.invite(email, form.role.data, actor()))
    except (Conflict, Invalid, RateLimited) as error:
        db.session.rollback()
        form.email.errors = [str(error.detail)]
        return answer(_page(form), error.status, error)


@blueprint.post("/invitations/<invitation_id>/again")
def invite_again(slug: str, invitation_id: str) -> AnyResponse:
    _count()
    return _hand_over(*members.invite_again(invitation_id, actor()))


@blueprint.post("/invitations/<invitation_id>/withdraw")
def withdraw(slug: str, invitation_id: str) -> AnyResponse:
    email = members.withdraw(invitation_id, actor())
    db.session.commit()
    flash(_("The invitation of %(email)s is withdrawn. Its link does nothing any more.", email=email), "done")
    return _back()


@blueprint.get("/members/<member_id>")
def member(slug: str, member_id: str) -> str:
    found = members.find_member(member_id)
    return _member_page(found, RoleForm(formdata=None, role=found.role))


@blueprint.post("/members/<member_id>/role")
def change_role(slug: str, member_id: str) -> AnyResponse:
    form = RoleForm()
    if not form.validate():
        return answer(_member_page(members.find_member(member_id), form), 422)
    try:
        changed = members.change_role(member_id, form.role.data, actor())
    except Conflict as error:
        db.session.rollback()
        form.role.errors = [str(error.detail)]
        return answer(_member_page(members.find_member(member_id), form), 409)
    db.session.commit()
    return _told(changed, _("%(email)s has another role from now on.", email=changed.email))


@blueprint.post("/members/<member_id>/remove")
def remove(slug: str, member_id: str) -> AnyResponse:
    try:
        gone = members.remove_member(member_id, actor())
    except Conflict as error:
        db.session.rollback()
        found = members.find_member(member_id)
        return answer(_member_page(found, RoleForm(formdata=None, role=found.role), error), 409)
    db.session.commit()
    return _told(gone, _("%(email)s is not in your team any more.", email=gone.email))


@blueprint.post("/second-factor")
def second_factor(slug: str) -> AnyResponse:
    form = SecondFactorForm()
    is_wanted = bool(form.requires_second_factor.data)
    members.require_second_factor(is_wanted, actor())
    db.session.commit()
    done = (
        _("From now on people here must use a second factor.") if is_wanted else _("A second factor is optional now.")
    )
    flash(done, "done")
    return _back()


# --- what the views share --------------------------------------------------------------------------------------------


def _count() -> None:
    """Count an invitation of this client. Raises RateLimited."""
    wait = count_call(INVITATIONS, "invitations", _tenant().id)
    if wait is not None:
        raise RateLimited(_("That were many invitations in an hour. Please go on later."), retry_after=wait)


def _hand_over(email: str, link: str) -> AnyResponse:
    """Mail the link or, where there is no mail server, show it once to whoever invites. Commits."""
    if mail.can_mail():
        post_invitation(email, _tenant().name, person().name or person().email, link)
        db.session.commit()
        flash(_("An invitation is on its way to %(email)s. It is good for 7 days.", email=email), "done")
    else:
        db.session.commit()
        session[SHOWN_ONCE] = [_tenant().id, email, link]
    return _back()


def _told(concerned: members.Member, done: str) -> AnyResponse:
    """Back to the team; whoever has changed their own place may not be able to see it any more."""
    if concerned.account_id == person().account_id:
        return redirect(url_for("home.index"), 303)
    flash(done, "done")
    return _back()


def _back() -> AnyResponse:
    return redirect(url_for(".show", slug=_tenant().slug), 303)


def _page(form: InviteForm) -> str:
    tenant = _tenant()
    kept, words = session.pop(SHOWN_ONCE, None), request.args.get("q", "")
    return render_template(
        "accounts/team.html",
        form=form,
        factor_form=SecondFactorForm(formdata=None, requires_second_factor=tenant.requires_second_factor),
        team=members.list_members(words, request.args.get("page", 1, type=int)),
        q=words,
        invitations=members.list_invitations(),
        roles=ROLE_NAMES,
        can_mail=mail.can_mail(),
        fresh_link=kept[1:] if kept and kept[0] == tenant.id else None,
    )


def _member_page(member: members.Member, form: RoleForm, error: ShamanError | None = None) -> str:
    return render_template(
        "accounts/member.html", member=member, form=form, problem=error.problem() if error else None, roles=ROLE_NAMES
    )


def _tenant() -> Entered:
    return g.tenant  # type: ignore[no-any-return]

"""Every value that callers may fill in: in paths, forms, JSON bodies, queries, headers and cookies; and what names no stored row.

Read from the routes, the forms and the source, so that a new place can't be forgotten.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from flask import Flask
from flask_wtf import FlaskForm
from pydantic import BaseModel

import chatbot
from chatbot.api.schema import Body

PACKAGE = Path(chatbot.__path__[0])
READ = r"request\.(args|form|values|headers|files|cookies)"
WHOLE = {"args", "form", "values", "headers", "files", "cookies", "if_match", "get_json", "get_data", "json", "data"}

# What a caller may fill in that names no stored row, and why.
NO_IDS = {
    # of an address
    "slug": "the client's public name: test_a_client_that_is_not_yours_never_was",
    "filename": "a file of the product's own",
    "version": "of the product's own files",
    "provider_name": "the operator's word for a provider, on the sign-in page for all to see",
    "secret": "a link's secret, 256 random bits: test_a_link_is_its_secret",
    "name": "of a limit or a setting",
    # of the chat page and the API
    "MessageForm.message": "words",
    "MessageForm.name": "the browser's own name for its message, within one visitor: test_a_name_is_its_visitors_own",
    "NameForm.name": "likewise; or a person's own name",
    "ChoiceForm.choice": "fresh or load",
    "ChatBody.message": "words",
    "ChatBody.user_id": "a name within one key or browser: test_user_ids_stay_under_their_key",
    "ChatBody.client": "a slug",
    "ChatBody.stream": "yes or no",
    "SourceBody.question": "words",
    "SourceBody.answer": "words",
    "SourceBody.url": "an address",
    "?before": "a place in a conversation",
    "?client": "a slug",
    "?file": "bytes to be read",
    "?dry_run": "yes or no",
    "Last-Event-ID": "a place in an answer: test_a_running_answer_is_heard_by_its_owner_alone",
    "Idempotency-Key": "a name within one key or browser: test_a_name_is_its_visitors_own",
    "If-Match": "the hash of a state that was seen",
    "Authorization": "a key: who calls",
    # of lists
    "?page": "a number",
    "?q": "words",
    "?limit": "a number",
    "?sort": "an order by its name",
    "?state": "a state by its name; at a provider's answer the secret of a flow",
    "?format": "csv or json",
    # of signing in, and one's own account
    "?next": "a path of ours: tests/accounts/test_sign_in.py",
    "?email": "shown again in its own field",
    "SignInForm.email": "whose existence no answer tells: tests/accounts/test_sign_in.py",
    "SignInForm.password": "a secret",
    "SignInForm.next": "a path of ours",
    "ForgotForm.email": "whose existence no answer tells: tests/accounts/test_links.py",
    "NewPasswordForm.password": "a secret",
    "ChangePasswordForm.current": "a secret",
    "PasswordAgainForm.password": "a secret",
    "InvitationForm.name": "words",
    "InvitationForm.password": "a secret",
    "FirstAdminForm.email": "one's own, with a secret link alone",
    "CodeForm.code": "a secret",
    "RecoveryForm.recovery_code": "a secret: test_a_factor_is_its_owners",
    "PasskeyForm.credential": "a signature, and the key's own name: test_a_factor_is_its_owners",
    "NewPasskeyForm.name": "words",
    "PasskeyNameForm.name": "words",
    # of a client's console
    "InviteForm.email": "of a stranger: test_an_invitation_tells_nothing_of_whom_it_is_for",
    "InviteForm.role": "a role by its name",
    "RoleForm.role": "a role by its name",
    "SecondFactorForm.requires_second_factor": "yes or no",
    "ProviderForm.issuer": "an address",
    "ProviderForm.client_id": "another system's name for us",
    "ProviderForm.client_secret": "a secret",
    "ProviderForm.domains": "words: any client may list any domain",
    "ProviderForm.claim": "words",
    "ProviderForm.admin_values": "words",
    "ProviderForm.staff_values": "words",
    "ProviderForm.user_values": "words",
    "ProviderForm.is_required": "yes or no",
    # of the admin area, to which nothing is foreign
    "?do": "suspend or resume",
    "?on": "yes or no",
    "?show": "yes or no",
    "?template": "a slug",
    "ClientForm.name": "words",
    "ClientForm.seen": "the hash of a state that was seen",
    "ClientForm.anonymous_chat": "yes or no",
    "ClientForm.time_zone": "a zone by its name",
    "NewClientForm.slug": "a new client's name",
    "NewClientForm.email": "of whom is invited",
    "LimitsForm.messages_per_day": "a number",
    "LimitsForm.tokens_per_month": "a number",
    "LimitsForm.money_per_month": "a number",
    "LimitsForm.chat_rate": "a rate",
    "SuspendForm.reason": "words",
    "EnterForm.reason": "words",
    "DeleteForm.typed": "words",
    "NewAccountForm.email": "a new account's",
    "NewAccountForm.name": "words",
    "NewAccountForm.is_platform_admin": "yes or no: its own right",
    "DefaultLimitsForm.seen": "the hash of a state that was seen",
    "DefaultSettingsForm.seen": "the hash of a state that was seen",
    "DefaultSettingsForm.tone": "words",
    "DefaultSettingsForm.length": "short, medium or long",
    "DefaultSettingsForm.language": "a language by its name",
    "DefaultSettingsForm.refusal": "words",
    "DefaultSettingsForm.unknown": "words",
    "DefaultSettingsForm.model": "a model by its name",
    "DefaultSettingsForm.temperature": "a number",
    "DefaultSettingsForm.max_tokens": "a number",
    "DefaultSettingsForm.context_messages": "a number",
    "SecurityForm.requires_second_factor": "yes or no",
    "EndpointForm.seen": "a number",
    "EndpointForm.base_url": "an address",
    "EndpointForm.key": "a secret",
    "EndpointForm.no_key": "yes or no",
    "EndpointForm.model": "words",
    "EndpointForm.is_for_all": "yes or no",
    "NewEndpointForm.name": "words",
    "ExportForm.form": "yaml or json",
    "ImportForm.file": "a client document, in which there are no ids",
    "ImportForm.document": "likewise",
    "ImportForm.template": "a slug",
    "ApplyForm.packed": "likewise a document",
    "ApplyForm.kind": "yaml, json or csv",
    "ApplyForm.fingerprint": "the hash of a plan that was seen",
    "ApplyForm.template": "a slug",
    # where a module reads more than one value by its name
    "cookies@accounts/openid/oauth": "flows that we signed: tests/accounts/test_oauth.py",
    "cookies@accounts/routes": "a browser's accounts, which we signed: tests/accounts/test_sign_in.py",
    "cookies@chat/doors": "a visitor that we signed: test_a_forged_or_foreign_cookie_is_another_browser",
    "args@accounts/openid/oauth": "a provider's answer, of the flow that its state names",
    "args@admin/clients": "what a list is asked for, handed on in its address",
    "args@rails": "the page's own address, handed on",
    "form@accounts/second_factor/challenge_routes": "which of three forms it is",
    "form@chat/routes": "read whole, before a connection is taken",
    "files@chat/routes": "refused",
    "files@tenants/doors": "read whole, before a connection is taken",
    "get_data@tenants/doors": "likewise",
    "form@api/knowledge": "names of fields, the unknown ones refused",
    "files@api/knowledge": "likewise",
    "form@api/once": "hashed, to know the same request again",
    "files@api/once": "likewise",
    "get_data@api/once": "likewise",
    "get_data@api/platform_once": "likewise",
    "get_data@api/admin": "a client document, in which there are no ids",
    "get_json@api/schema": "a Body, whose fields are listed here",
    "if_match@api/admin": "the hash of a state that was seen",
    "args@admin/audit": "words and days to search for, a client by its slug",
    "form@admin/audit": "likewise",
}  # fmt: skip


def places(app: Flask) -> Iterator[str]:
    """Every place: «METHOD /path/<id>», «Form.field», «?query», a header's name, or «what@module» where it is read as a whole."""
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            yield from [f"{method} {rule.rule}"] if rule.arguments - set(NO_IDS) else []
    for kind in (*subclasses(FlaskForm), *subclasses(Body)):
        if kind.__module__.startswith("chatbot."):
            yield from (f"{kind.__name__}.{field}" for field in fields_of(kind))
    for path in PACKAGE.rglob("*.py"):
        if "providers" not in path.parts and "outbound" not in path.parts:  # where a request is one of ours
            yield from read_in(path)


def subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def fields_of(kind: type[Any]) -> Iterable[str]:
    if issubclass(kind, BaseModel):
        return kind.model_fields
    return [name for name in vars(kind) if hasattr(getattr(kind, name), "field_class")]


def read_in(path: Path) -> Iterator[str]:
    """`request.args.get("x")` is the place `?x`, `request.headers.get("X")` the place `X`; any other use is one of the whole."""
    module, tree = path.relative_to(PACKAGE).with_suffix("").as_posix(), ast.parse(path.read_text())
    by_name: set[int] = set()
    for node in ast.walk(tree):
        name = name_read(node)
        if name is not None:
            by_name.add(id(node.func.value))  # type: ignore[attr-defined]
            yield name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "request" and node.attr in WHOLE:
            yield from [] if id(node) in by_name else [f"{node.attr}@{module}"]


def name_read(node: ast.AST) -> str | None:
    """The one value that a call reads by its name, if it does."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
        return None
    source, first = ast.unparse(node.func), node.args[0]
    if not re.fullmatch(rf"{READ}\.(get|getlist)", source) or not isinstance(first, ast.Constant):
        return None
    return ("" if "headers" in source else "?") + str(first.value)

"""Who may do what: one declared table of every route. A route that is not in it is closed.

Who is one of

    anyone            no sign-in needed; a chat page's own rules still hold
    signed-in         whoever has signed in
    user staff admin  a member of the client that the address names, with this role or a higher one
    platform-admin    an admin of the whole platform
    key:<scope>       a program with a client's key that has the scope
    key:platform      a program with a platform key

`accounts/doors.py` and `tenants/doors.py` ask this table before any view runs; `flask routes-and-rights` prints it.
"""

from dataclasses import dataclass

TABLE = """
GET         static                      anyone
GET         health.alive                anyone
GET         health.ready                anyone
GET         pages.styles                anyone
GET         home.index                  anyone

GET         accounts.login              anyone
POST        accounts.sign_in            anyone
POST        accounts.logout             anyone
GET         accounts.forgot             anyone
POST        accounts.ask_for_reset      anyone
GET         accounts.link               anyone
POST        accounts.use_link           anyone

GET         account.show                signed-in
POST        account.rename              signed-in
POST        account.change_password     signed-in
POST        account.end_sign_in         signed-in
POST        account.end_other_sign_ins  signed-in

GET         team.show                   admin
POST        team.invite                 admin
POST        team.invite_again           admin
POST        team.withdraw               admin
GET         team.member                 admin
POST        team.change_role            admin
POST        team.remove                 admin
POST        team.second_factor          admin

GET         oauth.begin                 anyone
GET         oauth.begin_at_client       anyone
GET         oauth.finish                anyone
GET         oauth.finish_at_client      anyone
POST        oauth.link                  signed-in
POST        oauth.unlink                signed-in

GET POST    factors.challenge           anyone
POST        factors.challenge_options   anyone
POST        factors.passkey_options     anyone
POST        factors.passkey_sign_in     anyone
GET         factors.show                signed-in
GET POST    factors.confirm             signed-in
GET POST    factors.set_up_app          signed-in
POST        factors.drop_app            signed-in
POST        factors.new_passkey_options signed-in
POST        factors.keep_passkey        signed-in
POST        factors.rename_passkey      signed-in
POST        factors.drop_passkey        signed-in
GET POST    factors.recovery_codes      signed-in

GET         chat.page                   anyone
POST        chat.send                   anyone
POST        chat.retry                  anyone
GET         chat.events                 anyone
POST        chat.stop                   anyone
GET         chat.message                anyone
GET         chat.older                  anyone
GET         chat.look                   anyone
GET         chat.new                    anyone
POST        chat.choose                 anyone

GET         console.index               staff
GET         console.overview            staff

GET         client_provider.show        admin
POST        client_provider.save        admin
POST        client_provider.check       admin
POST        client_provider.remove      admin

GET         admin.index                 platform-admin
GET         admin.clients               platform-admin
POST        admin.change_clients        platform-admin
GET POST    admin.new_client            platform-admin
GET         admin.client                platform-admin
GET POST    admin.edit_client           platform-admin
POST        admin.suspend_client        platform-admin
POST        admin.resume_client         platform-admin
POST        admin.delete_client         platform-admin
POST        admin.undelete_client       platform-admin
POST        admin.open_client           platform-admin
POST        admin.enter_client          platform-admin
POST        admin.leave_client          platform-admin
GET         admin.health                platform-admin
POST        admin.retry_job             platform-admin
POST        admin.discard_job           platform-admin
GET         admin.accounts              platform-admin
GET POST    admin.new_account           platform-admin
GET         admin.account               platform-admin
POST        admin.make_account_link     platform-admin
POST        admin.switch_account        platform-admin
POST        admin.make_platform_admin   platform-admin
POST        admin.reset_account_factors platform-admin
POST        admin.end_account_sign_ins  platform-admin
GET         admin.limits                platform-admin
POST        admin.set_default_limits    platform-admin
POST        admin.set_default_settings  platform-admin
POST        admin.set_security          platform-admin
GET         admin.own_limits            platform-admin
GET         admin.endpoints             platform-admin
GET POST    admin.new_endpoint          platform-admin
GET         admin.endpoint              platform-admin
POST        admin.change_endpoint       platform-admin
POST        admin.check_endpoint        platform-admin
POST        admin.delete_endpoint       platform-admin
POST        admin.grant_endpoint        platform-admin
POST        admin.withdraw_endpoint     platform-admin
GET         admin.audit                 platform-admin
POST        admin.export_audit          platform-admin
GET         admin.transfer              platform-admin
POST        admin.export_clients        platform-admin
POST        admin.plan_import           platform-admin
POST        admin.apply_import          platform-admin

POST        api.chat                    anyone
GET         api.events                  anyone
GET         api.list_knowledge          key:manage
POST        api.add_knowledge           key:manage
GET         api.show_knowledge          key:manage
DELETE      api.delete_knowledge        key:manage
GET         api.search_knowledge        key:read
GET         api.list_clients            key:platform
POST        api.add_client              key:platform
GET         api.show_client             key:platform
PATCH       api.change_client           key:platform
DELETE      api.delete_client           key:platform
POST        api.transfer_clients        key:platform
"""

RANKS = ("user", "staff", "admin")  # in a client: each may do what those before it may
ANYONE, SIGNED_IN, PLATFORM_ADMIN = "anyone", "signed-in", "platform-admin"


@dataclass(frozen=True, slots=True)
class Right:
    """Who may call one method of one route."""

    endpoint: str
    method: str
    who: str

    @property
    def scope(self) -> str | None:
        """The scope that a key needs, where the route is for programs."""
        return self.who.removeprefix("key:") if self.who.startswith("key:") else None

    @property
    def role(self) -> str | None:
        """The lowest role that suffices, where the route belongs to a client's console."""
        return self.who if self.who in RANKS else None


def _parse(table: str) -> dict[tuple[str, str], Right]:
    rights: dict[tuple[str, str], Right] = {}
    for line in filter(None, map(str.strip, table.splitlines())):
        *methods, endpoint, who = line.split()
        for method in methods:
            if (endpoint, method) in rights:
                raise ValueError(f"declared twice: {method} {endpoint}")
            rights[endpoint, method] = Right(endpoint, method, who)
    return rights


RIGHTS = _parse(TABLE)


def right_of(endpoint: str | None, method: str) -> Right | None:
    """Who may call it; HEAD is as GET. None for what nobody declared, and nobody may."""
    return RIGHTS.get((endpoint or "", "GET" if method == "HEAD" else method))


def suffices(role: str | None, needed: str) -> bool:
    """Whether a member with `role` may do what asks for `needed`."""
    return role in RANKS and RANKS.index(role) >= RANKS.index(needed)

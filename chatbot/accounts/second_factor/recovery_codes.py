"""Recovery codes: ten on a sheet of paper, each stands in for the second factor once."""

import hashlib
import secrets

from sqlalchemy import delete, func, select, update

from chatbot.accounts.models import Account, RecoveryCode
from chatbot.audit import Actor, record
from chatbot.db import db
from chatbot.tenancy import now

COUNT = 10
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # without i, l, o and u: nothing to mistake
LENGTH, GROUP = 16, 4  # 80 random bits, so a hash needs no salt and no slowness; written as xxxx-xxxx-xxxx-xxxx
MISREAD = str.maketrans({"i": "1", "l": "1", "o": "0"})


def make_codes(account: Account, by: Actor) -> list[str]:
    """New codes for the account; its old ones are no longer good. They are told now and never again."""
    forget_codes(account.id)
    codes = [_new_code() for _ in range(COUNT)]
    db.session.add_all(RecoveryCode(account_id=account.id, code_hash=_digest(code)) for code in codes)
    record("account.recovery_codes_made", by, target=account.email)
    db.session.flush()
    return codes


def use_recovery_code(account: Account, typed: str, by: Actor) -> bool:
    """Use one of the account's codes up. False for one that is wrong or was used."""
    unused = update(RecoveryCode).where(
        RecoveryCode.account_id == account.id,
        RecoveryCode.code_hash == _digest(typed),
        RecoveryCode.used_at.is_(None),
    )
    if db.session.execute(unused.values(used_at=now())).rowcount != 1:
        return False
    record("account.recovery_code_used", by, target=account.email, detail={"left": codes_left(account.id)})
    return True


def codes_left(account_id: str) -> int:
    """How many of the account's codes are still good."""
    unused = select(func.count(RecoveryCode.id)).where(
        RecoveryCode.account_id == account_id, RecoveryCode.used_at.is_(None)
    )
    return int(db.session.scalar(unused) or 0)


def forget_codes(account_id: str) -> None:
    """Delete the account's codes, within the session's transaction."""
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.account_id == account_id))


def _new_code() -> str:
    letters = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return "-".join(letters[start : start + GROUP] for start in range(0, LENGTH, GROUP))


def _digest(code: str) -> str:
    letters = "".join(filter(str.isalnum, code.lower())).translate(MISREAD)
    return hashlib.sha256(letters.encode("utf-8", "surrogatepass")).hexdigest()

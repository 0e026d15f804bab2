"""What the owner of an agent asks of it: ``credssp agent add``, ``list``, ``remove``, ``lock`` and ``unlock``.

======= ===================== ============ ===============================================================
kind    message               sent by      meaning
======= ===================== ============ ===============================================================
32      `AddCredential`       owner        add one, or replace one that was added; answered with `Done`
33      `RemoveCredential`    owner        drop one; answered with `Done`
34      `ListCredentials`     owner        answered with `ListedCredentials`
35      `LockAgent`           owner        refuse every login; answered with `Done`
36      `UnlockAgent`         owner        end that; answered with `Done`
160     `ListedCredentials`   agent        what there is, without secrets
======= ===================== ============ ===============================================================

The owner is the user that the agent runs as; programs of others are answered as if they had named a credential that
does not exist. Secrets go into the agent only.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Final

from credssp.errors import DecodeError, LocalProtocolError
from credssp.lsa.caller import Caller
from credssp.lsa.codec import BlobField, NumberField, TextField
from credssp.lsa.messages import AgentMessage, Done, message
from credssp.lsa.opened import AgentRefusedError, Reason
from credssp.lsa.settings import parse_credential
from credssp.lsa.store import CredentialInfo, CredentialStore
from credssp.secret import Secret, private

__all__ = [
    "AddCredential",
    "ListCredentials",
    "ListedCredentials",
    "LockAgent",
    "RemoveCredential",
    "UnlockAgent",
    "infos_of",
    "manage",
]

_NAME: Final = TextField(4 * 1024)
_SECRET: Final = BlobField(4 * 1024)
_SETTINGS: Final = TextField(128 * 1024)
_PAGE: Final = 192 * 1024
"""Bytes of a list in one message."""


@message(32, _SETTINGS, _SECRET)
@dataclass(frozen=True, slots=True)
class AddCredential(AgentMessage):
    """Add a credential.

    Attributes:
        settings: the entry as a JSON object, with the keys of the configuration; paths are absolute.
        secret: the password, or the PIN of a smart card, in UTF-8; empty where the source has none.
    """

    settings: str
    secret: bytes = field(default=b"", repr=False)


@message(33, _NAME)
@dataclass(frozen=True, slots=True)
class RemoveCredential(AgentMessage):
    """Drop a credential.

    Attributes:
        name: its name.
    """

    name: str


@message(34, _NAME)
@dataclass(frozen=True, slots=True)
class ListCredentials(AgentMessage):
    """Ask what there is.

    Attributes:
        after: the last name of the page before; empty for the first.
    """

    after: str = ""


@message(160, TextField(_PAGE), NumberField(1, highest=1))
@dataclass(frozen=True, slots=True)
class ListedCredentials(AgentMessage):
    """What there is, by name.

    Attributes:
        entries: a JSON array of objects with the members of `credssp.lsa.store.CredentialInfo`.
        more: whether there are more, after the last of these.
    """

    entries: str
    more: int = 0


@message(35, _SECRET)
@dataclass(frozen=True, slots=True)
class LockAgent(AgentMessage):
    """Refuse every login.

    Attributes:
        phrase: the pass phrase, in UTF-8.
    """

    phrase: bytes = field(repr=False)


@message(36, _SECRET)
@dataclass(frozen=True, slots=True)
class UnlockAgent(AgentMessage):
    """End `LockAgent`.

    Attributes:
        phrase: the same pass phrase.
    """

    phrase: bytes = field(repr=False)


@private
def manage(store: CredentialStore, request: AgentMessage, caller: Caller) -> AgentMessage:
    """Do what is asked, and return the answer. May block.

    Raises:
        AgentRefusedError: the caller is not the owner, the agent is locked, or there is no such credential.
        LocalProtocolError: the entry makes no sense, or its source cannot be read.
        DecodeError: it is not a message of this kind.
    """
    if caller.uid != store.owner:
        raise AgentRefusedError(Reason.UNKNOWN, "the agent has no credential of this name for this user")
    if isinstance(request, AddCredential):
        store.add(parse_credential(_settings(request.settings), secret=_text(request.secret)))
    elif isinstance(request, RemoveCredential):
        store.remove(request.name)
    elif isinstance(request, ListCredentials):
        return _page(store.list(), request.after)
    elif isinstance(request, LockAgent):
        store.lock(_text(request.phrase))
    elif isinstance(request, UnlockAgent):
        store.unlock(_text(request.phrase))
    else:
        raise DecodeError(f"{type(request).__name__} is not for the agent, or not now", field="AgentMessage")
    return Done()


def _settings(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise DecodeError("not JSON", field="AddCredential.settings") from None
    if not isinstance(found, dict):
        raise DecodeError("not a JSON object", field="AddCredential.settings")
    return found


def _text(data: bytes) -> Secret[str]:
    try:
        return Secret(data.decode())
    except UnicodeDecodeError:
        pass
    raise LocalProtocolError("the secret is not UTF-8 text")


def _page(infos: list[CredentialInfo], after: str) -> ListedCredentials:
    left = [info for info in infos if info.name > after]
    texts: list[str] = []
    size = 2
    for info in left:
        text = json.dumps(dataclasses.asdict(info), ensure_ascii=False)
        size += len(text.encode()) + 2
        if texts and size > _PAGE:
            break
        texts.append(text)
    return ListedCredentials(f"[{', '.join(texts)}]", int(len(texts) < len(left)))


def infos_of(listed: ListedCredentials) -> list[CredentialInfo]:
    """Return what an agent listed.

    Raises:
        DecodeError: it is something else.
    """
    try:
        entries = json.loads(listed.entries)
        if isinstance(entries, list):
            return [_info(entry) for entry in entries]
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass
    raise DecodeError("not a list of credentials", field="ListedCredentials.entries")


def _info(entry: dict[str, Any]) -> CredentialInfo:
    lists = ("targets", "mechanisms", "uids")
    known = {each.name for each in dataclasses.fields(CredentialInfo)}
    values: dict[str, Any] = {
        key: tuple(value) if key in lists else value for key, value in entry.items() if key in known
    }
    return CredentialInfo(**values)

"""The one door to pyspnego (and through it to GSS-API), for Kerberos: loaded late, kept quiet, its exceptions turned
into ours.

* ``import spnego`` takes 70 ms and pulls gssapi in, so it happens with the first Kerberos context.
* pyspnego logs every token at DEBUG level, and an AP-REQ may hold what can be cracked offline.
  A filter on its loggers drops what they say below WARNING *while one of our calls runs in this thread*: nothing else
  that the program does with pyspnego loses a record.
* Everything it raises becomes one of our errors, without the cause: a foreign text or traceback may hold a token.
  The texts of GSS-API and Kerberos are kept, since they come from the local library and say what to repair.

Only public names of pyspnego are used, but for the names of its loggers, one argument (`kerberos_server`) and four
attributes (`ask_for`).
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

from credssp.channel_bindings import ChannelBindings
from credssp.credentials import CCacheCredentials, KerberosCredentials, KeytabCredentials, PasswordCredentials
from credssp.errors import AuthenticationError, CredSSPError, LocalProtocolError
from credssp.kerberos import acceptor_key, gss_errors
from credssp.kerberos.gss_errors import failure
from credssp.message_parts import MessagePart, OpenedMessage, SealedMessage
from credssp.next_step import NextStep
from credssp.status import SecurityStatus

if TYPE_CHECKING:
    import gssapi
    import spnego
    from spnego._context import IOV
    from spnego.channel_bindings import GssChannelBindings

__all__ = [
    "ask_for",
    "call",
    "client_name",
    "kerberos_client",
    "kerberos_missing",
    "kerberos_server",
    "kerberos_step",
    "unwrap_parts",
    "wrap_parts",
]

P = ParamSpec("P")
T = TypeVar("T")

_LOGGERS: Final = ("spnego._ntlm", "spnego._gss", "spnego._sspi")


class _Running(threading.local):
    """Whether one of our calls is running in this thread."""

    active = False


_running = _Running()


class _Quiet(logging.Filter):
    """Drops what pyspnego says below WARNING on our behalf."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _running.active or record.levelno >= logging.WARNING


@functools.cache
def _prepare() -> None:
    """Import pyspnego and silence it."""
    import spnego  # noqa: F401

    quiet = _Quiet()
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(quiet)


@functools.cache
def kerberos_missing() -> str | None:
    """Return what is not installed for Kerberos to work, or None where everything is there."""
    # pyspnego uses SSPI on Windows, elsewhere GSS-API.
    needed = ("sspilib",) if sys.platform == "win32" else ("gssapi", "krb5")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    return f"Kerberos needs {' and '.join(missing)}: pip install 'credssp[kerberos]' (in a clone: '.[kerberos]')"


def kerberos_unavailable(reason: str) -> AuthenticationError:
    """Make the error for a Kerberos that is not there at all."""
    return failure(reason, SecurityStatus.SEC_E_SECPKG_NOT_FOUND, advice=NextStep.KERBEROS_LIBRARY)


def call(doing: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that uses pyspnego: quietly, and with our errors.

    Args:
        doing: what it is about, such as ``getting a Kerberos ticket``; the error's text starts with it.
        function: the function.
        *args: passed on.
        **kwargs: passed on.
    """
    _prepare()
    _running.active = True
    try:
        return function(*args, **kwargs)
    except CredSSPError:
        raise
    except Exception as error:  # noqa: BLE001 - a foreign library at work on a peer's input: anything may come
        problem = _translate(doing, error)
    finally:
        _running.active = False
    raise problem


def _way() -> spnego.NegotiateOptions:
    """Return what pyspnego is to use: SSPI on Windows, elsewhere GSS-API.

    It would choose so by itself, unless a program gave it an SSPI off Windows (`credssp.sspi.compat`), which asks here.
    """
    import spnego

    options = spnego.NegotiateOptions
    return options.use_sspi if sys.platform == "win32" else options.use_gssapi


def kerberos_client(
    credentials: KerberosCredentials | None,
    principal: str,
    *,
    service: str,
    host: str,
    bindings: ChannelBindings | None,
) -> spnego.ContextProxy:
    """Make a Kerberos initiator. May ask a KDC, so it may block.

    Args:
        credentials: None takes the tickets of the default credential cache.
        principal: whose password it is; ignored for the other kinds, which name theirs.
        service: the service class of the target.
        host: the host of the target.
        bindings: channel bindings, or None.
    """
    import spnego

    credential: spnego.CredentialCache | spnego.KerberosCCache | spnego.KerberosKeytab | spnego.Password
    if credentials is None:
        credential = spnego.CredentialCache()
    elif isinstance(credentials, CCacheCredentials):
        credential = spnego.KerberosCCache(credentials.ccache, credentials.principal)
    elif isinstance(credentials, KeytabCredentials):
        credential = spnego.KerberosKeytab(credentials.keytab, credentials.principal)
    elif isinstance(credentials, PasswordCredentials):
        credential = spnego.Password(principal, credentials.password.reveal())
    else:
        raise failure(
            "Windows logs on with the certificates of its own store, not with these",
            SecurityStatus.SEC_E_NO_CREDENTIALS,
        )
    return spnego.client(
        credential,
        hostname=host,
        service=service,
        channel_bindings=_bindings(bindings),
        protocol="kerberos",
        options=_way(),
    )


def ask_for(context: Any, name: gssapi.Name, bindings: ChannelBindings | None) -> None:
    """Let a context of `kerberos_client` ask for a ticket for this principal.

    pyspnego makes a name that libkrb5 looks up in DNS. The GSS-API context that it makes in its first step is made here
    instead: private names, held by tests/kerberos/test_pyspnego_contract.py.
    """
    import gssapi
    from gssapi.raw import ChannelBindings as GssBindings

    context._context = gssapi.SecurityContext(
        name=name,
        creds=context._credential,
        mech=context._mech,
        usage="initiate",
        flags=context._context_req,
        channel_bindings=None
        if bindings is None
        else GssBindings(
            bindings.initiator_type,
            bindings.initiator,
            bindings.acceptor_type,
            bindings.acceptor,
            bindings.application_data,
        ),
    )


def client_name(context: Any) -> str:
    """Return whose tickets an established initiator used, ``alice@EXAMPLE.TEST``; empty on Windows.

    A KDC may have answered with another name than was asked for. pyspnego tells an acceptor alone; see `ask_for`.
    """
    established = getattr(context, "_context", None)
    return "" if sys.platform == "win32" or established is None else str(established.initiator_name)


def exported(context: Any) -> bytes:
    """Return an established context as bytes (gss_export_sec_context); it cannot be used here any more.

    Raises:
        LocalProtocolError: on Windows, whose contexts stay in their process.
    """
    established = getattr(context, "_context", None)  # private, see `ask_for`
    if sys.platform == "win32" or established is None:
        raise LocalProtocolError(
            "a Kerberos context of Windows stays in its process", status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
        )
    packed: bytes = established.export()
    return packed


def imported(packed: bytes) -> spnego.ContextProxy:
    """Return the context that `exported` made bytes of (gss_import_sec_context).

    It is put into a context of pyspnego that needs no credential: private names, as in `ask_for`.
    """
    import gssapi
    import spnego

    made: Any = spnego.client(
        spnego.CredentialCache(),
        hostname="unspecified",
        protocol="kerberos",
        options=spnego.NegotiateOptions.use_gssapi,
        _gssapi_credential=True,
    )
    made._credential = None
    made._context = gssapi.SecurityContext(token=packed)
    context: spnego.ContextProxy = made
    return context


def kerberos_server(
    names: Collection[str], bindings: ChannelBindings | None, keys: acceptor_key.AcceptorKeys | None
) -> spnego.ContextProxy:
    """Make a Kerberos acceptor with these keys; on Windows with those of the account that runs the server.

    pyspnego has no credential for acceptors but the default keytab of the process. GSS-API has one
    (`credssp.kerberos.acceptor_key`), and it goes in through the argument with which pyspnego makes a context like
    another: ``_gssapi_credential``, a private name, held by tests/kerberos/test_pyspnego_contract.py.
    """
    import spnego

    if keys is None:
        service, _, host = next(iter(names), "").partition("/")
        return spnego.server(
            credentials=spnego.CredentialCache(f"{service}@{host}" if names else None),
            channel_bindings=_bindings(bindings),
            protocol="kerberos",
            options=_way(),
        )
    return spnego.server(
        credentials=spnego.CredentialCache(),
        channel_bindings=_bindings(bindings),
        protocol="kerberos",
        options=_way(),
        _gssapi_credential=keys.credential(),
    )


def kerberos_step(context: spnego.ContextProxy, token: bytes | None) -> bytes | None:
    """Give a Kerberos context the peer's token and return the one to send.

    Where GSS-API refuses a token and has a KRB-ERROR for the peer, gssapi returns that and keeps its exception until
    somebody asks for more; pyspnego 0.12 asks for the flags of a context that does not exist, and stumbles.
    """
    try:
        return context.step(token)
    except AttributeError:
        bool(context.complete)  # raises what was kept
        raise


def wrap_parts(context: spnego.ContextProxy, parts: Sequence[MessagePart], *, encrypt: bool) -> SealedMessage:
    """Protect a message in parts (gss_wrap_iov)."""
    from spnego.iov import BufferType

    buffers: list[IOV] = [BufferType.header, *_buffers(parts), BufferType.padding]
    header, *contents, padding = (buffer.data or b"" for buffer in context.wrap_iov(buffers, encrypt=encrypt).buffers)
    return SealedMessage(header, tuple(contents), padding)


def unwrap_parts(
    context: spnego.ContextProxy, signature: bytes, parts: Sequence[MessagePart], padding: bytes
) -> OpenedMessage:
    """Open a message in parts (gss_unwrap_iov)."""
    from spnego.iov import BufferType

    buffers: list[IOV] = [(BufferType.header, signature), *_buffers(parts)]
    if padding:
        buffers.append((BufferType.padding, padding))
    result = context.unwrap_iov(buffers)
    return OpenedMessage(tuple(buffer.data or b"" for buffer in result.buffers[1 : 1 + len(parts)]), result.encrypted)


def _buffers(parts: Sequence[MessagePart]) -> list[IOV]:
    from spnego.iov import BufferType

    return [(BufferType.data if part.sealed else BufferType.sign_only, part.data) for part in parts]


def _bindings(bindings: ChannelBindings | None) -> GssChannelBindings | None:
    if bindings is None:
        return None
    from spnego.channel_bindings import AddressType, GssChannelBindings

    made = GssChannelBindings(
        initiator_address=bindings.initiator or None,
        acceptor_address=bindings.acceptor or None,
        application_data=bindings.application_data,
    )
    # Numbers that pyspnego has no name for are of use all the same.
    made.initiator_addrtype = cast(AddressType, bindings.initiator_type)
    made.acceptor_addrtype = cast(AddressType, bindings.acceptor_type)
    return made


def _translate(doing: str, error: Exception) -> CredSSPError:
    if isinstance(error, ImportError):
        return kerberos_unavailable(kerberos_missing() or f"{doing}: a library for it is missing")
    return gss_errors.translate(doing, error)

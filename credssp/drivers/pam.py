"""May a user log on, by PAM: an `authorize` function for RDP and WinRM servers.

::

    from credssp.drivers.pam import PamAuthorizer

    config = ServerConfig(accounts=..., authorize=PamAuthorizer("xrdp-sesman"))

CredSSP delegates the password, so that PAM can have it: the stage ``auth`` checks it once more, for modules that need
it (pam_sss, pam_mount), and ``account`` asks whether the user may log on here and now. `PamAuthorizer(service,
stages=["account"])` asks the second question alone, and works without a password.
"""

from __future__ import annotations

import contextlib
import ctypes as c
import ctypes.util
import functools
import logging
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, Literal, TypeAlias

from credssp.credentials import PasswordCredentials
from credssp.drivers.authorization import AuthorizationRequest
from credssp.errors import LocalProtocolError
from credssp.identity import Identity
from credssp.secret import Secret, private

__all__ = ["PamAuthorizer", "Stage"]

logger = logging.getLogger("credssp.drivers")

Stage: TypeAlias = Literal["auth", "account"]

# security/_pam_types.h of Linux-PAM.
_SUCCESS: Final = 0
_BUF_ERR: Final = 5
_CONV_ERR: Final = 19
_PROMPT_ECHO_OFF: Final = 1
_PROMPT_ECHO_ON: Final = 2
_RHOST: Final = 4
_SILENT: Final = 0x8000
_DISALLOW_NULL_AUTHTOK: Final = 0x1
_MAX_MESSAGES: Final = 32


class _Message(c.Structure):
    _fields_ = (("style", c.c_int), ("text", c.c_char_p))


class _Response(c.Structure):
    _fields_ = (("text", c.c_void_p), ("code", c.c_int))


_Converse: Final = c.CFUNCTYPE(
    c.c_int, c.c_int, c.POINTER(c.POINTER(_Message)), c.POINTER(c.POINTER(_Response)), c.c_void_p
)


class _Conversation(c.Structure):
    _fields_ = (("converse", _Converse), ("data", c.c_void_p))


@functools.cache
def _load() -> Any:
    try:
        # Its functions are looked up where its modules look them up, so that a wrapper (libpam-wrapper) finds both.
        c.CDLL(ctypes.util.find_library("pam") or "libpam.so.0", mode=c.RTLD_GLOBAL)
        library = libc = c.CDLL(None)
        library.pam_start.argtypes = [c.c_char_p, c.c_char_p, c.POINTER(_Conversation), c.POINTER(c.c_void_p)]
        library.pam_set_item.argtypes = [c.c_void_p, c.c_int, c.c_char_p]
        for name in ("pam_authenticate", "pam_acct_mgmt", "pam_end", "pam_strerror"):
            getattr(library, name).argtypes = [c.c_void_p, c.c_int]
        library.pam_strerror.restype = c.c_char_p
        libc.calloc.restype, libc.calloc.argtypes = c.c_void_p, [c.c_size_t, c.c_size_t]
        libc.strdup.restype, libc.strdup.argtypes = c.c_void_p, [c.c_char_p]
    except (OSError, AttributeError):
        raise LocalProtocolError("libpam cannot be loaded; its package is libpam0g in Debian, pam in Fedora") from None
    return library, libc


def _name_of(identity: Identity) -> str:
    if identity.authority == "domain":
        return f"{identity.domain}\\{identity.username}"  # as pam_winbind and pam_sss want it
    return identity.username


class PamAuthorizer:
    """Asks PAM whether a user may log on. Threads: any number; each call has a PAM handle of its own.

    It blocks, two seconds after a wrong password, so the servers call it in a thread (`blocking`).

    Args:
        service: the PAM service, a file in /etc/pam.d. PAM takes ``other``, which mostly denies, where there is none.
        stages: ``auth`` and ``account``, or ``account`` alone. ``auth`` needs a delegated password: users who delegate
            a smart card or nothing are denied.
        name: returns the user's name for PAM; None is ``DOMAIN\\user`` for a user of a domain and ``user`` otherwise.

    Raises:
        LocalProtocolError: libpam is missing, or an argument makes no sense.
    """

    blocking = True

    def __init__(
        self,
        service: str,
        *,
        stages: Collection[Stage] = ("auth", "account"),
        name: Callable[[Identity], str] | None = None,
    ) -> None:
        if not service or not service.isprintable() or "/" in service:
            raise LocalProtocolError(f"a PAM service is the name of a file in /etc/pam.d, not {service!r}")
        if isinstance(stages, str) or "account" not in stages or not {"auth", "account"}.issuperset(stages):
            raise LocalProtocolError('stages are ["auth", "account"] or ["account"]')
        self._service = service.encode()
        self._authenticates = "auth" in stages
        self._name = _name_of if name is None else name
        _load()

    @private
    def __call__(self, request: AuthorizationRequest) -> bool:
        """Ask PAM."""
        credentials, password = request.credentials, Secret(b"")
        if self._authenticates:
            if not isinstance(credentials, PasswordCredentials) or not credentials.password:
                logger.warning("PAM service %s: no password was delegated, which auth needs", self._service.decode())
                return False
            password = Secret(credentials.password.reveal().encode("utf-8", "surrogatepass"))
        name = self._name(request.identity).encode("utf-8")
        if b"\0" in name or b"\0" in password.reveal():
            return False
        library, _ = _load()
        with _transaction(self._service, name, password) as handle:
            if request.peer is not None:
                library.pam_set_item(handle, _RHOST, request.peer[0].encode())
            code = _SUCCESS
            if self._authenticates:
                code = library.pam_authenticate(handle, _SILENT | _DISALLOW_NULL_AUTHTOK)
            if code == _SUCCESS:
                code = library.pam_acct_mgmt(handle, _SILENT | _DISALLOW_NULL_AUTHTOK)
            if code != _SUCCESS:
                why = (library.pam_strerror(handle, code) or b"").decode("utf-8", "replace")
                logger.warning("PAM service %s denies a user: %s", self._service.decode(), why)
            return bool(code == _SUCCESS)

    def __repr__(self) -> str:
        return f"PamAuthorizer({self._service.decode()!r})"


@contextlib.contextmanager
def _transaction(service: bytes, name: bytes, password: Secret[bytes]) -> Iterator[c.c_void_p]:
    library, libc = _load()

    def converse(count: int, messages: Any, responses: Any, data: object) -> int:  # noqa: ARG001  # as PAM wants it
        if not 1 <= count <= _MAX_MESSAGES:
            return _CONV_ERR
        memory = libc.calloc(count, c.sizeof(_Response))  # PAM frees it, and what it points to
        if not memory:
            return _BUF_ERR
        answers = c.cast(memory, c.POINTER(_Response))
        for number in range(count):
            style = messages[number][0].style
            if style == _PROMPT_ECHO_OFF:
                answers[number].text = libc.strdup(password.reveal())
            elif style == _PROMPT_ECHO_ON:
                answers[number].text = libc.strdup(name)
        responses[0] = answers
        return _SUCCESS

    callback = _Converse(converse)  # must live as long as the handle
    conversation, handle = _Conversation(callback, None), c.c_void_p()
    code = library.pam_start(service, name, c.byref(conversation), c.byref(handle))
    if code != _SUCCESS:
        raise LocalProtocolError(f"PAM service {service.decode()} cannot be started (error {code})")
    try:
        yield handle
    finally:
        library.pam_end(handle, _SUCCESS)

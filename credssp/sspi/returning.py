"""The functions of `credssp.sspi` for loops ported from C: a status that is a failure is returned, not raised.

::

    from credssp.sspi import returning

    answer = returning.initialize_security_context(credential, target_name="TERMSRV/srv.lab.test", ...)
    if answer.status >> 31:
        print(answer.error)

Every function takes the arguments of its namesake and returns a `Returned`: the status, what the namesake returns, and
the error that it would have raised. A TypeError stays an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final, Generic, NamedTuple, ParamSpec, TypeVar

from credssp.sspi import api
from credssp.sspi import auth_identity as identity
from credssp.sspi.errors import SSPIError
from credssp.status import SecurityStatus

P = ParamSpec("P")
T = TypeVar("T")


class Returned(NamedTuple, Generic[T]):
    """What a function came to.

    Attributes:
        status: SEC_E_OK, a ``SEC_I_...`` status, or a failure (bit 31 is set).
        value: what the function of `credssp.sspi` returns; None with a failure.
        error: what it would have raised; None without a failure, and with SEC_E_INCOMPLETE_MESSAGE.
    """

    status: SecurityStatus
    value: T | None
    error: SSPIError | None


def _returning(function: Callable[P, T]) -> Callable[P, Returned[T]]:
    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Returned[T]:
        try:
            value = function(*args, **kwargs)
        except SSPIError as error:
            return Returned(error.status, None, error)
        status = value if isinstance(value, SecurityStatus) else getattr(value, "status", SecurityStatus.SEC_E_OK)
        return Returned(status, value, None)

    return call


enumerate_security_packages: Final = _returning(api.enumerate_security_packages)
query_security_package_info: Final = _returning(api.query_security_package_info)
add_security_package: Final = _returning(api.add_security_package)
delete_security_package: Final = _returning(api.delete_security_package)
acquire_credentials_handle: Final = _returning(api.acquire_credentials_handle)
add_credentials: Final = _returning(api.add_credentials)
set_credentials_attributes: Final = _returning(api.set_credentials_attributes)
query_credentials_attributes: Final = _returning(api.query_credentials_attributes)
free_credentials_handle: Final = _returning(api.free_credentials_handle)
initialize_security_context: Final = _returning(api.initialize_security_context)
accept_security_context: Final = _returning(api.accept_security_context)
complete_auth_token: Final = _returning(api.complete_auth_token)
apply_control_token: Final = _returning(api.apply_control_token)
delete_security_context: Final = _returning(api.delete_security_context)
query_security_context_token: Final = _returning(api.query_security_context_token)
impersonate_security_context: Final = _returning(api.impersonate_security_context)
revert_security_context: Final = _returning(api.revert_security_context)
query_context_attributes: Final = _returning(api.query_context_attributes)
set_context_attributes: Final = _returning(api.set_context_attributes)
encrypt_message: Final = _returning(api.encrypt_message)
decrypt_message: Final = _returning(api.decrypt_message)
make_signature: Final = _returning(api.make_signature)
verify_signature: Final = _returning(api.verify_signature)
export_security_context: Final = _returning(api.export_security_context)
import_security_context: Final = _returning(api.import_security_context)
free_context_buffer: Final = _returning(api.free_context_buffer)
sspi_encode_strings_as_auth_identity: Final = _returning(identity.sspi_encode_strings_as_auth_identity)
sspi_encode_auth_identity_as_strings: Final = _returning(identity.sspi_encode_auth_identity_as_strings)
sspi_marshal_auth_identity: Final = _returning(identity.sspi_marshal_auth_identity)
sspi_unmarshal_auth_identity: Final = _returning(identity.sspi_unmarshal_auth_identity)
sspi_copy_auth_identity: Final = _returning(identity.sspi_copy_auth_identity)
sspi_zero_auth_identity: Final = _returning(identity.sspi_zero_auth_identity)
sspi_free_auth_identity: Final = _returning(identity.sspi_free_auth_identity)

__all__ = ["Returned", *(name for name in (*api.__all__, *identity.__all__) if name in globals())]

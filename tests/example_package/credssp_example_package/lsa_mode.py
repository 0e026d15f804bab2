"""The LSA-mode half: knows the secret, runs the legs, hands the session key over and forgets it."""

import hashlib
import hmac
import os
from dataclasses import dataclass

import credssp.sspi as sspi
from credssp.credentials import PasswordCredentials
from credssp.sspi import LegResult, SecpkgFunctionTable, SecPkgInfo, SecurityStatus, SSPIError

INFO = SecPkgInfo(
    capabilities=sspi.SECPKG_FLAG_INTEGRITY
    | sspi.SECPKG_FLAG_PRIVACY
    | sspi.SECPKG_FLAG_CONNECTION
    | sspi.SECPKG_FLAG_MUTUAL_AUTH,
    version=1,
    rpc_id=sspi.SECPKG_ID_NONE,
    max_token=512,
    name="ThreeLeg",
    comment="Example: three-leg mutual authentication",
)
FLAGS = (
    sspi.ISC_REQ_MUTUAL_AUTH
    | sspi.ISC_REQ_CONFIDENTIALITY
    | sspi.ISC_REQ_USE_SESSION_KEY
    | sspi.ISC_REQ_ALLOCATE_MEMORY
    | sspi.ISC_REQ_USE_DCE_STYLE
    | sspi.ISC_REQ_CONNECTION
)
STYLE = sspi.ISC_REQ_USE_DCE_STYLE | sspi.ISC_REQ_USE_SESSION_KEY
NONCE = 16
MAC = 32


def mac(key, *parts):
    return hmac.digest(key, b"".join(parts), "sha256")


@dataclass
class Credential:
    user: str
    key: bytes
    use: int


@dataclass
class Context:
    client: bool
    credential: Credential
    request: int
    user: str
    nonces: bytes = b""
    leg: int = 1
    app_data: object = None
    stopped: bool = False

    @property
    def session_key(self):
        return mac(self.credential.key, b"session", self.nonces)

    @property
    def context_data(self):
        return bytearray((b"C" if self.client else b"S") + self.session_key)


class ThreeLegPackage:
    def __init__(self):
        self.support = None
        self.default = None

    def table(self):
        return SecpkgFunctionTable(
            initialize=self.initialize,
            shutdown=self.shutdown,
            get_info=lambda: INFO,
            accept_credentials=self.accept_credentials,
            acquire_credentials_handle=self.acquire_credentials_handle,
            query_credentials_attributes=self.query_credentials_attributes,
            free_credentials_handle=self.free_credentials_handle,
            init_lsa_mode_context=self.init_lsa_mode_context,
            accept_lsa_mode_context=self.accept_lsa_mode_context,
            delete_context=self.delete_context,
            apply_control_token=self.apply_control_token,
            get_extended_information=self.get_extended_information,
            query_context_attributes=self.query_context_attributes,
            set_context_attributes=self.set_context_attributes,
        )

    # Start, end, credentials

    def initialize(self, package_id, parameters, support):
        self.support = support

    def shutdown(self):
        self.support = None

    def accept_credentials(self, logon_type, account_name, primary, supplemental):
        if isinstance(primary, PasswordCredentials):
            self.default = account_name, primary.password.reveal()

    def acquire_credentials_handle(self, principal, use, logon_id, auth_data, get_key_fn, get_key_argument):
        self.support.check_logon_session(logon_id)
        if isinstance(auth_data, sspi.SecWinntAuthIdentity):
            user, password = auth_data.user, auth_data.password.reveal()
        elif auth_data is None and self.default is not None:
            user, password = self.default
        else:
            raise SSPIError("a SecWinntAuthIdentity", status=SecurityStatus.SEC_E_NO_CREDENTIALS, parameter="pAuthData")
        key = hashlib.sha256(b"ThreeLeg" + password.encode()).digest()
        return Credential(user, key, use), sspi.tables.NO_EXPIRY

    def query_credentials_attributes(self, credential, attribute):
        if attribute != sspi.SECPKG_CRED_ATTR_NAMES:
            raise SSPIError("names only", status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION, parameter="ulAttribute")
        return sspi.SecPkgCredentials_Names(credential.user)

    def free_credentials_handle(self, credential):
        credential.use = 0

    # Legs

    def init_lsa_mode_context(self, credential, context, target_name, context_req, data_rep, inputs):
        check(context_req)
        if context is None:
            context = Context(True, credential, context_req, credential.user)
            context.nonces = os.urandom(NONCE)
            flags = (context_req & STYLE).to_bytes(4, "little")
            context.leg = 2
            return self.going_on(context, b"\x01" + flags + context.nonces + credential.user.encode())
        token = token_of(inputs)
        if context.leg == 2:
            return self.prove(context, token)
        if context.leg == 4 and hmac.compare_digest(token, b"\x04" + mac(context.session_key, b"confirm")):
            return self.done(context, b"")
        raise broken("the confirmation does not verify")

    def prove(self, context, token):
        """Leg 2 came in, leg 3 goes out."""
        token = check_completion(context, token)
        context.nonces += token[1 : 1 + NONCE]
        expected = mac(context.credential.key, b"server", context.nonces, context.user.encode())
        if token[:1] != b"\x02" or not hmac.compare_digest(token[1 + NONCE :], expected):
            raise broken("the server does not know the secret")
        check_signature(context, token)
        reply = b"\x03" + mac(context.credential.key, b"client", context.nonces, context.user.encode())
        if context.request & sspi.ISC_REQ_USE_SESSION_KEY:
            context.leg = 4
            return self.going_on(context, reply, mapped=True)
        return self.done(context, reply)

    def accept_lsa_mode_context(self, credential, context, inputs, context_req, data_rep):
        check(context_req)
        token = token_of(inputs)
        if context is None:
            if token[:1] != b"\x01" or len(token) < 5 + NONCE:
                raise broken("this is no first token")
            user = token[5 + NONCE :].decode("utf-8", "replace")
            style = int.from_bytes(token[1:5], "little") & STYLE
            context = Context(False, credential, context_req & ~STYLE | style, user)
            context.nonces = token[5 : 5 + NONCE] + os.urandom(NONCE)
            context.leg = 3
            proof = mac(credential.key, b"server", context.nonces, user.encode())
            return self.going_on(context, b"\x02" + context.nonces[NONCE:] + proof, mapped=bool(style))
        token = check_completion(context, token)
        expected = b"\x03" + mac(context.credential.key, b"client", context.nonces, context.user.encode())
        if context.leg != 3 or context.user != context.credential.user or not hmac.compare_digest(token, expected):
            raise broken("the client does not know the secret", SecurityStatus.SEC_E_LOGON_DENIED)
        check_signature(context, token)
        confirm = context.request & sspi.ASC_REQ_USE_SESSION_KEY
        return self.done(context, b"\x04" + mac(context.session_key, b"confirm") if confirm else b"")

    def going_on(self, context, token, *, mapped=False):
        completes = mapped and context.request & sspi.ISC_REQ_USE_DCE_STYLE
        status = SecurityStatus.SEC_I_COMPLETE_AND_CONTINUE if completes else SecurityStatus.SEC_I_CONTINUE_NEEDED
        return LegResult(
            status=status,
            context=context,
            token=token + bytes(MAC) if completes else token,
            attributes=context.request,
            mapped=mapped,
            context_data=context.context_data if mapped else None,
        )

    def done(self, context, token):
        context.leg = 0
        completes = token[:1] == b"\x03" and context.request & sspi.ISC_REQ_USE_DCE_STYLE
        return LegResult(
            status=SecurityStatus.SEC_I_COMPLETE_NEEDED if completes else SecurityStatus.SEC_E_OK,
            context=context,
            token=token + bytes(MAC) if completes else token,
            attributes=context.request | sspi.ISC_RET_MUTUAL_AUTH | sspi.ISC_RET_CONFIDENTIALITY,
            mapped=True,
            context_data=context.context_data,
        )

    # Everything else

    def delete_context(self, context):
        context.nonces = b""

    def apply_control_token(self, context, inputs):
        context.stopped = True

    def get_extended_information(self, information_class):
        if information_class == "ContextThunks":
            return (sspi.SECPKG_ATTR_NAMES, sspi.SECPKG_ATTR_PACKAGE_INFO, sspi.SECPKG_ATTR_TARGET)
        raise SSPIError("no such class", status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION)

    def query_context_attributes(self, context, attribute):
        answers = {
            sspi.SECPKG_ATTR_NAMES: sspi.SecPkgContext_Names(context.user),
            sspi.SECPKG_ATTR_PACKAGE_INFO: sspi.SecPkgContext_PackageInfo(INFO),
            sspi.SECPKG_ATTR_TARGET: context.app_data,
        }
        if attribute not in answers:
            raise SSPIError("not known", status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION, parameter="ulAttribute")
        return answers[attribute]

    def set_context_attributes(self, context, attribute, value):
        if attribute != sspi.SECPKG_ATTR_TARGET:
            raise SSPIError("not to be set", status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION, parameter="ulAttribute")
        context.app_data = value


def check(context_req):
    if context_req & ~FLAGS:
        raise SSPIError("unknown flags", status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION, parameter="fContextReq")


def token_of(inputs):
    if len(inputs) != 1 or inputs[0].buffer_type != sspi.SECBUFFER_TOKEN:
        raise SSPIError("one TOKEN", status=SecurityStatus.SEC_E_INVALID_TOKEN, parameter="pInput")
    return inputs[0].data


def check_completion(context, token):
    """Take the signature off that CompleteAuthToken appended (DCE style); `check_signature` looks at it later."""
    if not context.request & sspi.ISC_REQ_USE_DCE_STYLE:
        return token
    context.app_data = token[-MAC:]
    return token[:-MAC]


def check_signature(context, token):
    if context.request & sspi.ISC_REQ_USE_DCE_STYLE:
        signature, context.app_data = context.app_data, None
        if not hmac.compare_digest(signature, mac(context.session_key, b"complete", token)):
            raise broken("CompleteAuthToken was not called, or the token was altered")


def broken(message, status=SecurityStatus.SEC_E_INVALID_TOKEN):
    return SSPIError(message, status=status)

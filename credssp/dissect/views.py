"""Messages as trees of plain data, for ``credssp decode``, ``credssp dissect`` and the legs of ``credssp demo``.

Names are those of the specifications. Secrets are masked unless they are asked for, and so is what a password can be
guessed against offline: the NTLM responses and the MIC.
"""

from __future__ import annotations

from typing import Any

from credssp.errors import DecodeError, LimitExceededError
from credssp.kerberos.view import kerberos_fields, kerberos_name
from credssp.ntlm.av_pairs import AvPairs, filetime_text
from credssp.ntlm.flags import flag_names
from credssp.ntlm.messages import SIGNATURE, Authenticate, Challenge, Negotiate, NTLMMessage, decode_message
from credssp.secret import MASK
from credssp.spnego import MECHANISM_NAMES
from credssp.spnego import tokens as spnego
from credssp.status import describe
from credssp.wire.tolerant import Deviation
from credssp.wire.ts_credentials import TSCredentials, TSPasswordCreds, TSSmartCardCreds
from credssp.wire.ts_remote_guard import TSRemoteGuardPackageCred
from credssp.wire.ts_request import TSRequest

__all__ = ["Views", "fields_of", "token_name"]

Tree = dict[str, Any]


class Views:
    """Makes trees of messages.

    Attributes:
        reveal: whether secrets are shown.
    """

    def __init__(self, *, reveal: bool = False) -> None:
        self.reveal = reveal

    def any_message(self, data: bytes) -> Tree:
        """Return the tree of whatever this is.

        Raises:
            DecodeError: the message is not known here.
            LimitExceededError: a limit inside it is passed.
        """
        if data[:1] != b"\x30":
            return self.token(data)
        size = max(len(data), 1)
        try:
            return self.ts_request(TSRequest.decode(data, max_size=size), len(data))
        except DecodeError as error:
            # TSCredentials differs in its second member: an OCTET STRING where TSRequest has the SEQUENCE negoTokens.
            if error.field not in ("TSRequest", "TSRequest.negoTokens"):
                raise
            refusal = error
        try:
            credentials = TSCredentials.decode(data, max_size=size)
        except DecodeError as error:
            raise (error if error.field.startswith(("TSCredentials.cred", "TSP", "TSS", "TSR")) else refusal) from None
        return self.ts_credentials(credentials, len(data))

    # [MS-CSSP]

    def ts_request(self, message: TSRequest, octets: int) -> Tree:
        """Return the tree of a TSRequest."""
        tree: Tree = {"type": "TSRequest", "octets": octets, "version": message.version}
        if message.nego_tokens is not None:
            tree["negoTokens"] = [self._inner_token(token) for token in message.nego_tokens]
        if message.auth_info is not None:
            tree["authInfo"] = {"type": "encrypted TSCredentials", "octets": len(message.auth_info)}
        if message.pub_key_auth is not None:
            tree["pubKeyAuth"] = {"type": "encrypted key binding", "octets": len(message.pub_key_auth)}
        if message.error_code is not None:
            info = describe(message.error_code)
            tree["errorCode"] = {"type": info.summary} | info.to_dict()
        if message.client_nonce is not None:
            tree["clientNonce"] = message.client_nonce.hex()
        return tree | _deviations(message.deviations)

    def ts_credentials(self, message: TSCredentials, octets: int) -> Tree:
        """Return the tree of a decrypted TSCredentials."""
        creds = message.credentials
        inner: Tree
        if isinstance(creds, TSPasswordCreds):
            inner = {
                "type": "TSPasswordCreds",
                "domainName": creds.domain_name,
                "userName": creds.user_name,
                "password": self._text(creds.password.reveal()),
            }
        elif isinstance(creds, TSSmartCardCreds):
            csp = creds.csp_data
            inner = {
                "type": "TSSmartCardCreds",
                "pin": self._text(creds.pin.reveal()),
                "cspData": {
                    "type": "TSCspDataDetail",
                    "keySpec": csp.key_spec,
                    "cardName": csp.card_name,
                    "readerName": csp.reader_name,
                    "containerName": csp.container_name,
                    "cspName": csp.csp_name,
                },
                "userHint": creds.user_hint,
                "domainHint": creds.domain_hint,
            }
        else:
            inner = {"type": "TSRemoteGuardCreds", "logonCred": self._package(creds.logon_cred)}
            if creds.supplemental_creds is not None:
                inner["supplementalCreds"] = [self._package(each) for each in creds.supplemental_creds]
        return {
            "type": "TSCredentials",
            "octets": octets,
            "credType": int(message.cred_type),
            "credentials": inner,
        } | _deviations(message.deviations)

    def _package(self, cred: TSRemoteGuardPackageCred) -> Tree:
        buffer = cred.cred_buffer.reveal()
        return {
            "type": "TSRemoteGuardPackageCred",
            "packageName": cred.package_name,
            "credBuffer": self._octets(buffer),
        }

    # negoTokens

    def token(self, data: bytes) -> Tree:
        """Return the tree of a SPNEGO, NTLM or Kerberos token.

        Raises:
            DecodeError: this is something else.
            LimitExceededError: a limit inside it is passed.
        """
        if data.startswith(SIGNATURE):
            return self._ntlm(decode_message(data), len(data))
        kerberos = kerberos_name(data)
        if kerberos:
            return {"type": kerberos, "octets": len(data)} | kerberos_fields(data)
        if data[:1] in (b"\x60", b"\xa0", b"\xa1"):
            return self._spnego(spnego.decode(data), len(data))
        raise DecodeError(_no_message(data), field="message")

    def _inner_token(self, data: bytes) -> Tree:
        try:
            return self.token(data)
        except (DecodeError, LimitExceededError) as error:
            return {"type": "undecodable token", "octets": len(data), "error": str(error), "data": self._octets(data)}

    def _spnego(self, message: spnego.NegTokenInit | spnego.NegTokenResp, octets: int) -> Tree:
        tree: Tree = {"type": f"SPNEGO {type(message).__name__}", "octets": octets}
        if isinstance(message, spnego.NegTokenInit):
            tree["mechTypes"] = [_mechanism(oid) for oid in message.mech_types]
            if message.mech_token is not None:
                tree["mechToken"] = self._inner_token(message.mech_token)
            if not message.framed:
                tree["framing"] = "without the GSS-API framing of RFC 2743"
        else:
            if message.neg_state is not None:
                tree["negState"] = message.neg_state.label
            if message.supported_mech is not None:
                tree["supportedMech"] = _mechanism(message.supported_mech)
            if message.response_token is not None:
                tree["responseToken"] = self._inner_token(message.response_token)
        if message.mech_list_mic is not None:
            tree["mechListMIC"] = self._octets(message.mech_list_mic)
        return tree

    # [MS-NLMP]

    def _ntlm(self, message: NTLMMessage, octets: int) -> Tree:
        tree: Tree = {"type": f"NTLM {type(message).__name__.upper()}", "octets": octets}
        tree["flags"] = f"0x{message.flags:08X}"
        tree["flagNames"] = list(flag_names(message.flags))
        if isinstance(message, Negotiate):
            tree |= {"domainName": message.domain or None, "workstation": message.workstation or None}
        elif isinstance(message, Challenge):
            tree |= {"targetName": message.target_name, "serverChallenge": message.server_challenge.hex()}
            tree["targetInfo"] = None if message.target_info is None else _av_pairs(message.target_info)
        else:
            tree |= self._authenticate(message)
        tree["version"] = None if message.version is None else str(message.version)
        return tree

    def _authenticate(self, message: Authenticate) -> Tree:
        tree: Tree = {
            "domainName": message.domain,
            "userName": message.username,
            "workstation": message.workstation,
            "lmChallengeResponse": self._octets(message.lm_response),
        }
        response = message.ntlmv2
        if response is None:
            tree["ntChallengeResponse"] = self._octets(message.nt_response)
        else:
            tree["ntChallengeResponse"] = {
                "type": "NTLMv2_RESPONSE",
                "octets": len(message.nt_response),
                "NTProofStr": self._octets(response.proof),
                "timestamp": filetime_text(response.timestamp),
                "challengeFromClient": response.client_challenge.hex(),
                "avPairs": _av_pairs(response.target_info),
            }
        tree["encryptedRandomSessionKey"] = self._octets(message.encrypted_session_key)
        tree["MIC"] = None if message.mic is None else self._octets(message.mic)
        if message.overlapping:
            what = "payload fields overlap, or reach into the fixed part"
            tree["deviations"] = [_deviation("AUTHENTICATE", message.payload_offset, what)]
        return tree

    # Secrets

    def _text(self, secret: str) -> str:
        return secret if self.reveal or not secret else MASK

    def _octets(self, secret: bytes) -> str:
        if self.reveal or not secret:
            return secret.hex() or "empty"
        return f"{MASK} ({len(secret)} bytes)"


def token_name(data: bytes) -> str:
    """Return what a token is, in a few words, such as ``NTLM CHALLENGE in SPNEGO NegTokenResp``; never raises."""
    tree = Views()._inner_token(data)
    inner = tree.get("mechToken") or tree.get("responseToken")
    return f"{inner['type']} in {tree['type']}" if inner else str(tree["type"])


def fields_of(message: TSRequest) -> list[str]:
    """Return the fields of a TSRequest in the order of the wire, with what the tokens are."""
    fields = [f"negoTokens ({token_name(token)})" for token in message.nego_tokens or ()]
    if message.auth_info is not None:
        fields.append("authInfo")
    if message.pub_key_auth is not None:
        fields.append("pubKeyAuth")
    if message.error_code is not None:
        fields.append(f"errorCode {describe(message.error_code).summary}")
    if message.client_nonce is not None:
        fields.append("clientNonce")
    return fields


def _deviations(deviations: tuple[Deviation, ...]) -> Tree:
    if not deviations:
        return {}
    return {"deviations": [_deviation(each.field, each.offset, each.what) for each in deviations]}


def _deviation(field: str, offset: int, what: str) -> Tree:
    return {"field": field, "offset": offset, "what": what}


def _av_pairs(pairs: AvPairs) -> Tree:
    tree: Tree = {"type": "AV_PAIRs"}
    for name, value in pairs.described():
        tree[name if name not in tree else f"{name} (again)"] = value
    if not pairs.terminated:
        tree["deviations"] = [_deviation("AV_PAIRs", 0, "no MsvAvEOL at the end")]
    return tree


def _mechanism(oid: str) -> str:
    name = MECHANISM_NAMES.get(oid)
    return oid if name is None else f"{oid} {name}"


def _no_message(data: bytes) -> str:
    if data[:1] in (b"\x14", b"\x15", b"\x16", b"\x17") and data[1:2] == b"\x03":
        return "this is a TLS record; what can be decoded is inside, encrypted"
    return "neither TSRequest, TSCredentials, SPNEGO, NTLM nor Kerberos begins like this"

"""Vectors of NTLM: from a password to keys and MIC, and what is signed and sealed in a login ([MS-NLMP] 3.3.2, 3.4)."""

from __future__ import annotations

from typing import Any, Final, Literal

from credssp import binding
from credssp.account import upper_case
from credssp.conformance.ntlm import (
    CLIENT_VERSION,
    NTLM_FLAGS,
    WORKSTATION,
    NTLMClient,
    unversioned,
    without_version,
)
from credssp.credentials import PasswordCredentials
from credssp.exchange.account import LogonAccount
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm.av_pairs import (
    AV_CHANNEL_BINDINGS,
    AV_FLAGS,
    AV_NB_COMPUTER_NAME,
    AV_NB_DOMAIN_NAME,
    AV_TARGET_NAME,
    AV_TIMESTAMP,
    encode_av_pair,
)
from credssp.ntlm.challenge import NTLMTarget, build_challenge
from credssp.ntlm.flags import NTLMSSP_NEGOTIATE_VERSION
from credssp.ntlm.messages import MIC_OFFSET, MIC_SIZE, encode_authenticate
from credssp.ntlm.proof import make_mic, make_response
from credssp.ntlm.session import NTLMSession
from credssp.protocol_version import HIGHEST_VERSION
from credssp.spnego import OID, NegTokenInit

__all__ = ["NONCE", "PUBLIC_KEY", "SESSION_KEY", "logins", "logins_without_version", "sessions"]

SESSION_KEY: Final = b"\x55" * 16
NONCE: Final = bytes(range(32))
PUBLIC_KEY: Final = bytes.fromhex("3082010a0282010100") + b"\xc5" * 256 + bytes.fromhex("0203010001")
"""An RSAPublicKey with a modulus whose factors are not known and not needed."""

_CHALLENGE: Final = bytes.fromhex("0123456789abcdef")
_CLIENT_CHALLENGE: Final = b"\xaa" * 8
_FILETIME: Final = 0x01DA00000000_0000


def logins() -> list[dict[str, Any]]:
    """Return NTLMv2 logins with everything that is computed on the way."""
    return [
        _login("ASCII names", "User", "Domain", "Password"),
        _login("a name beyond ASCII, no domain", "jürgen", "", "Grün-пароль-\U0001f511"),
    ]


def logins_without_version() -> list[dict[str, Any]]:
    """Return logins in which nothing says NEGOTIATE_VERSION, with the bytes of Version and without."""
    return [
        _login("Version is zero", "User", "Domain", "Password", version="zero"),
        _login("Version is left out", "User", "Domain", "Password", version="absent"),
    ]


def _login(
    name: str, user: str, domain: str, password: str, *, version: Literal["set", "zero", "absent"] = "set"
) -> dict[str, Any]:
    client = NTLMClient(account=LogonAccount(user, password, domain), version=version)
    negotiate = client.first()
    challenge, flags = build_challenge(
        NTLM_FLAGS,
        NTLMTarget("SERVER", "DOMAIN"),
        server_challenge=_CHALLENGE,
        filetime=_FILETIME,
        version=CLIENT_VERSION,
    )
    if version != "set":
        challenge, flags = unversioned(challenge), flags & ~NTLMSSP_NEGOTIATE_VERSION
    if version == "absent":
        challenge = without_version(challenge)
    stamp = _FILETIME.to_bytes(8, "little")
    pairs = b"".join(
        encode_av_pair(av_id, value)
        for av_id, value in (
            (AV_NB_DOMAIN_NAME, "DOMAIN".encode("utf-16-le")),
            (AV_NB_COMPUTER_NAME, "SERVER".encode("utf-16-le")),
            (AV_TIMESTAMP, stamp),
            (AV_FLAGS, b"\2\0\0\0"),
            (AV_TARGET_NAME, "TERMSRV/server".encode("utf-16-le")),
            (AV_CHANNEL_BINDINGS, bytes(16)),
        )
    )
    temp = b"\1\1" + bytes(6) + stamp + _CLIENT_CHALLENGE + bytes(4) + pairs + bytes(8)
    hashed = nt_hash(password)
    key = crypto.ntowfv2(hashed, upper_case(user), domain)
    response, base_key = make_response(key, _CHALLENGE, temp)
    encrypted = crypto.rc4(base_key, SESSION_KEY)
    message = encode_authenticate(
        flags=flags,
        nt_response=response,
        domain=domain,
        username=user,
        workstation=WORKSTATION,
        session_key=encrypted,
        version=CLIENT_VERSION if version == "set" else bytes(8),
    )
    mic_at = MIC_OFFSET
    if version == "absent":
        message, mic_at = without_version(message), MIC_OFFSET - len(CLIENT_VERSION)
    mic = make_mic(SESSION_KEY, negotiate, challenge, message, mic_at)
    return {
        "name": name,
        "about": "NTLMv2 from password to MIC; authenticate holds the MIC, which is over it with 16 zero bytes there",
        "userName": user,
        "domain": domain,
        "password": password,
        "ntHash": hashed.hex(),
        "ntowfv2": key.hex(),
        "serverChallenge": _CHALLENGE.hex(),
        "temp": temp.hex(),
        "ntProofStr": response[:16].hex(),
        "sessionBaseKey": base_key.hex(),
        "exportedSessionKey": SESSION_KEY.hex(),
        "encryptedRandomSessionKey": encrypted.hex(),
        "negotiate": negotiate.hex(),
        "challenge": challenge.hex(),
        "authenticate": (message[:mic_at] + mic + message[mic_at + MIC_SIZE :]).hex(),
        "mic": mic.hex(),
        "micOffset": mic_at,
    }


def sessions() -> list[dict[str, Any]]:
    """Return what is signed and sealed in a login, bare and in SPNEGO: numbers and RC4 states are the point of it."""
    return [_session(spnego=False), _session(spnego=True)]


def _session(*, spnego: bool) -> dict[str, Any]:
    sides = {
        "client": NTLMSession(SESSION_KEY, role="initiator"),
        "server": NTLMSession(SESSION_KEY, role="acceptor"),
    }
    numbers = {"client": 0, "server": 0}
    steps: list[dict[str, Any]] = []

    def step(side: str, operation: Literal["wrap", "mechListMIC"], data: bytes, about: str) -> None:
        session = sides[side]
        output = session.wrap(data) if operation == "wrap" else session.make_mech_list_mic(data)
        steps.append(
            {
                "about": about,
                "from": side,
                "operation": operation,
                "sequence": numbers[side],
                "input": data.hex(),
                "output": output.hex(),
            }
        )
        numbers[side] += 1

    if spnego:
        mech_types = NegTokenInit((OID.NTLM,)).mech_types_der
        step("client", "mechListMIC", mech_types, "MechTypeList as in NegTokenInit, without its [0]")
        step("server", "mechListMIC", mech_types, "the same list; the keys are the server's")
    step(
        "client",
        "wrap",
        binding.client_value(HIGHEST_VERSION, NONCE, PUBLIC_KEY),
        f"pubKeyAuth of the client, version {HIGHEST_VERSION}",
    )
    step(
        "server",
        "wrap",
        binding.server_value(HIGHEST_VERSION, NONCE, PUBLIC_KEY),
        f"pubKeyAuth of the server, version {HIGHEST_VERSION}",
    )
    credentials = PasswordCredentials("User", "Password", domain="Domain").to_wire().encode()
    step("client", "wrap", credentials, "authInfo: TSCredentials")
    return {
        "name": "NTLM in SPNEGO with mechListMIC" if spnego else "bare NTLM",
        "about": "flags: KEY_EXCH, 128, EXTENDED_SESSIONSECURITY, SEAL, SIGN; the steps in the order of a login",
        "exportedSessionKey": SESSION_KEY.hex(),
        "clientSigningKey": crypto.derive_key(SESSION_KEY, crypto.CLIENT_SIGNING).hex(),
        "clientSealingKey": crypto.derive_key(SESSION_KEY, crypto.CLIENT_SEALING).hex(),
        "serverSigningKey": crypto.derive_key(SESSION_KEY, crypto.SERVER_SIGNING).hex(),
        "serverSealingKey": crypto.derive_key(SESSION_KEY, crypto.SERVER_SEALING).hex(),
        "steps": steps,
    }

"""A mechanism that says what the test wants, with NTLM's real session behind it, and accounts to log on with."""

from __future__ import annotations

from credssp.account import Account
from credssp.errors import RemoteProtocolError
from credssp.identity import Identity
from credssp.nt_hash import nt_hash
from credssp.ntlm.session import NTLMSession
from credssp.security_context import SecurityContext
from credssp.server_authentication import ServerAuthentication
from credssp.spnego import OID, Candidate

KEY = b"\x55" * 16
OIDS = {"ntlm": OID.NTLM, "kerberos": OID.KERBEROS}


class ScriptedMechanism(SecurityContext):
    """Answers the tokens of a list one after the other; complete when the list is used up."""

    def __init__(self, name, role, answers, *, mic_required=False, key=KEY, start_error=None):
        super().__init__()
        self.name = name
        self.wire_form = name
        self.answers = list(answers)
        self.received = []
        self.mech_list_mic_required = mic_required
        self.session = NTLMSession(key, role=role)
        self.session_key_octets = key
        self.start_error = start_error

    @property
    def session_key(self):
        self._check_can_wrap()
        return self.session_key_octets

    def _step(self, token):
        if self.start_error is not None:
            raise self.start_error
        self.received.append(token)
        if not self.answers:
            raise RemoteProtocolError("a token too many")
        answer = self.answers.pop(0)
        if not self.answers:
            self.complete = self.can_wrap = True
            self.server_authentication = ServerAuthentication.NTLM
            self.identity = Identity(username="alice", domain="LAB", mechanism=self.name)
        return answer

    def _wrap(self, data):
        return self.session.wrap(data)

    def _unwrap(self, data):
        return self.session.unwrap(data)

    def make_mech_list_mic(self, mech_types):
        return self._run(self.session.make_mech_list_mic, mech_types)

    def verify_mech_list_mic(self, mech_types, mic):
        self._run(self.session.verify_mech_list_mic, mech_types, mic)


def candidate(mechanism, oid=None):
    return Candidate(mechanism.name, oid or OIDS[mechanism.name], lambda: mechanism)


def client_mechanism(name="ntlm", answers=(b"client 1", b"client 2"), **kwargs):
    return ScriptedMechanism(name, "initiator", answers, **kwargs)


def server_mechanism(name="ntlm", answers=(b"server 1", None), **kwargs):
    return ScriptedMechanism(name, "acceptor", answers, **kwargs)


class Accounts:
    """LAB\\alice with the password "secret"."""

    def find(self, domain, username):
        if username.lower() == "alice":
            return [Account("LAB", "alice", nt_hash("secret"))]
        return []

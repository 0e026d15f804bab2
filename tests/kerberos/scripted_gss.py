"""What pyspnego's Kerberos contexts look like from outside, without any GSS-API library or KDC."""

from __future__ import annotations

from types import SimpleNamespace

from spnego.exceptions import SpnegoError

from credssp.ntlm.session import NTLMSession

GOOD_FLAGS = 0x02 | 0x04 | 0x08 | 0x10 | 0x20


class GSSError(Exception):
    """As gssapi.raw.GSSError shows itself: numbers and a text."""

    def __init__(self, offset=0, *, maj_code=851968):
        super().__init__(f"Major ({maj_code}): Unspecified GSS failure, Minor ({offset}): a text of the local library")
        self.maj_code = maj_code
        self.min_code = (-1765328384 + offset) & 0xFFFFFFFF  # gssapi shows it unsigned


class Krb5Error(Exception):
    """As krb5.Krb5Error, which pyspnego lets through."""

    def __init__(self, offset):
        super().__init__("a text of libkrb5")
        self.err_code = -1765328384 + offset


def gss_failure(offset):
    return SpnegoError(base_error=GSSError(offset), context_msg="Processing security token")


class ScriptedKerberos:
    """A context proxy: answers from a list; an exception in the list is raised."""

    def __init__(self, answers, role, *, flags=GOOD_FLAGS, iov=True, principal=None, encrypted=True):
        self.answers = list(answers)
        self.session = NTLMSession(b"\x77" * 16, role=role)
        self.session_key = b"\x77" * 16
        self.context_attr = flags
        self.iov = iov
        self.client_principal = principal
        self.encrypted = encrypted
        self.received = []

    @property
    def complete(self):
        return not self.answers

    def iov_available(self):
        return self.iov

    def step(self, token):
        self.received.append(token)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wrap(self, data):
        return SimpleNamespace(data=self.session.wrap(data), encrypted=True)

    def wrap_winrm(self, data):
        sealed = self.session.wrap(data)
        return SimpleNamespace(header=sealed[:16], data=sealed[16:], padding_length=0)

    def unwrap(self, data):
        return SimpleNamespace(data=self.session.unwrap(data), encrypted=self.encrypted)

    def sign(self, data):
        return self.session.make_mech_list_mic(data)

    def verify(self, data, mic):
        self.session.verify_mech_list_mic(data, mic)
        return 0

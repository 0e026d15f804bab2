"""What we lean on in pyspnego although it is not promised; fails when a new version goes another way."""

import inspect
import logging
import sys

import pytest
import spnego
from spnego._gss import GSSAPIProxy

from credssp.kerberos import pyspnego


def test_a_context_takes_a_gssapi_credential_by_a_private_argument():
    assert 'kwargs.get("_gssapi_credential", None)' in inspect.getsource(GSSAPIProxy.__init__)
    assert any(p.kind is p.VAR_KEYWORD for p in inspect.signature(spnego.server).parameters.values())


def test_a_client_uses_the_gssapi_context_that_is_there_already():
    pytest.importorskip("gssapi")
    proxy = GSSAPIProxy(username=spnego.CredentialCache(), hostname="localhost", service="TERMSRV")
    assert {"_context", "_credential", "_mech", "_context_req"} <= vars(proxy).keys()
    assert proxy._context is None
    assert "if not self._context:" in inspect.getsource(sys.modules[GSSAPIProxy.__module__])


# Log records


class _Records(logging.Handler):
    def __init__(self):
        super().__init__(logging.DEBUG)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


@pytest.fixture
def records():
    handler, root, pyspnegos = _Records(), logging.getLogger(), logging.getLogger("spnego")
    before = root.level, pyspnegos.level
    root.setLevel(logging.DEBUG)
    pyspnegos.setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield handler.texts
    root.removeHandler(handler)
    root.setLevel(before[0])
    pyspnegos.setLevel(before[1])


def test_other_users_of_pyspnego_keep_their_log_records(records):
    pyspnego.call("stepping", spnego.client("user", "password", protocol="ntlm").step)
    assert not records
    spnego.client("user", "password", protocol="ntlm").step()
    assert any("TlRMTVNTU" in text for text in records)


def test_all_loggers_of_pyspnego_that_see_tokens_are_silenced():
    """A contract test: the loggers have private names, and a new version may have more of them."""

    def chatter():
        for name in loggers:
            logging.getLogger(name).debug("token")

    pyspnego.call("preparing", lambda: spnego.__name__)
    loggers = [name for name in logging.root.manager.loggerDict if name.startswith("spnego.")]
    # We never make contexts of these two.
    loggers = [name for name in loggers if name not in ("spnego._credssp", "spnego._negotiate")]
    assert {"spnego._ntlm", "spnego._gss", "spnego._sspi"} == set(loggers)
    handler, parent = _Records(), logging.getLogger("spnego")
    level = parent.level
    parent.addHandler(handler)
    parent.setLevel(logging.DEBUG)
    try:
        pyspnego.call("chattering", chatter)
        assert not handler.texts
        pyspnego.call("warning", lambda: logging.getLogger(loggers[0]).warning("kept"))
        assert handler.texts == ["kept"]
    finally:
        parent.removeHandler(handler)
        parent.setLevel(level)


def test_a_client_that_is_given_a_credential_asks_for_none():
    pytest.importorskip("gssapi")
    proxy = spnego.client(spnego.CredentialCache(), hostname="x", protocol="kerberos", _gssapi_credential=True)
    assert isinstance(proxy, GSSAPIProxy)
    assert proxy._context is None
    assert {"_context", "_credential"} <= vars(proxy).keys()

"""What we lean on in pyspnego although it is not promised; fails when a new version goes another way."""

import inspect

import spnego
from spnego._gss import GSSAPIProxy


def test_a_context_takes_a_gssapi_credential_by_a_private_argument():
    assert 'kwargs.get("_gssapi_credential", None)' in inspect.getsource(GSSAPIProxy.__init__)
    assert any(p.kind is p.VAR_KEYWORD for p in inspect.signature(spnego.server).parameters.values())

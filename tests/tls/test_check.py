"""What is said about OpenSSL, from real contexts set up badly."""

from __future__ import annotations

import hashlib
import ssl
from typing import Any

import pytest

from credssp.finding import Severity
from credssp.tls import check


def bad(ciphers: str) -> list[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers(ciphers)
    return [finding.text for finding in check.check_peers(context) if finding.severity is Severity.BAD]


def test_this_machine_can_talk_to_everybody() -> None:
    assert [finding for finding in check.check_peers() if finding.severity is Severity.BAD] == []
    assert check.check_openssl()[0].text.startswith("TLS is OpenSSL")


def test_only_gcm_leaves_windows_2012_out() -> None:
    assert bad("ECDHE+AESGCM") == ["Windows 8.1, Server 2012 R2: no cipher in common"]


def test_security_level_that_refuses_2048_bits() -> None:
    texts = bad("DEFAULT@SECLEVEL=3")
    assert len(texts) == 4
    assert "2048 bits is too small for security level 3" in texts[0]


@pytest.mark.parametrize(("admitted", "severity"), [(False, ["bad"]), (True, [])], ids=["no-md5", "fips"])
def test_ntlm_needs_md5_which_fips_mode_admits(
    monkeypatch: pytest.MonkeyPatch, admitted: bool, severity: list[str]
) -> None:
    def refuse(*_: Any, usedforsecurity: bool = True) -> None:
        if usedforsecurity or not admitted:
            raise ValueError("disabled for FIPS")

    monkeypatch.setattr(hashlib, "md5", refuse)
    monkeypatch.setattr(ssl, "HAS_TLSv1_3", False)
    assert [finding.severity.value for finding in check.check_openssl()] == ["ok", "note", *severity]

"""Vectors of WinRM: the headers of a login, and what a client does about an answer ([MS-WSMV] 3.1.4.1.28)."""

from __future__ import annotations

from typing import Any, Final

from credssp.winrm.header import format_token

__all__ = ["headers", "sequences"]

_TOKEN: Final = bytes.fromhex("1603010005 0100000100")
_VALUE: Final = format_token(_TOKEN)
_OFFER: Final = {"status": 401, "wwwAuthenticate": ["Negotiate", "CredSSP"]}


def headers() -> list[dict[str, Any]]:
    """Return values of WWW-Authenticate, and what is in them."""
    cases: tuple[tuple[str, list[str], bool, bytes | None, str], ...] = (
        ("an offer", ["CredSSP"], True, None, "a scheme without a token"),
        ("an offer among others", ["Negotiate", 'Basic realm="WSMAN"', "CredSSP"], True, None, "one line for each"),
        ("an offer in one line", ['Negotiate, Kerberos, Basic realm="a, CredSSP b", CredSSP'], True, None,
         "a comma in a quoted text separates nothing"),
        ("no offer", ["Negotiate", 'Basic realm="CredSSP"'], False, None, "the word in a quoted text is not a scheme"),
        ("a token", [_VALUE], True, _TOKEN, "one space, then base64 with its padding"),
        ("a token after other schemes", ["Negotiate", _VALUE], True, _TOKEN, "in a line of its own"),
        ("a token between other schemes", [f"Negotiate, {_VALUE}, Kerberos"], True, _TOKEN, "in one line"),
        ("another case", [_VALUE.replace("CredSSP", "credssp")], True, _TOKEN, "schemes have no case (RFC 9110 11.1)"),
        ("a scheme that is a URI", ["http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/basic", "CredSSP"],
         True, None, "Windows lists such; they are skipped"),
    )  # fmt: skip
    return [
        {
            "name": name,
            "about": about,
            "rule": "CSSP-WINRM-01" if token is None else "CSSP-WINRM-02",
            "wwwAuthenticate": values,
            "offered": offered,
            "token": "" if token is None else token.hex(),
        }
        for name, values, offered, token, about in cases
    ]


def sequences() -> list[dict[str, Any]]:
    """Return answers of a server that end or repeat something, and what the client does then.

    ``at`` says which request of the login is answered so: ``request`` (the first, without a token), ``proof`` (the one
    with AUTHENTICATE and pubKeyAuth) or ``message`` (the encrypted one after the login).
    """
    cases: tuple[tuple[str, str, str, dict[str, Any], str, str], ...] = (
        ("an offer", "CSSP-WINRM-16", "request", _OFFER, "token", "the first token is a ClientHello"),
        ("no offer", "CSSP-WINRM-09", "request", {"status": 401, "wwwAuthenticate": ["Negotiate"]}, "stop",
         "no token that was not asked for"),
        ("a refusal that offers again", "CSSP-WINRM-19", "proof", _OFFER, "stop", "a second proof would count twice"),
        ("an error in place of pubKeyAuth", "CSSP-WINRM-04", "proof", {"status": 500, "wwwAuthenticate": []}, "stop",
         "the server did not prove its key"),
        ("success in place of pubKeyAuth", "CSSP-WINRM-18", "proof", {"status": 200, "wwwAuthenticate": []}, "stop",
         "HTTP is outside of the login: its status proves nothing"),
        ("an error of the application", "CSSP-WINRM-20", "message", {"status": 500, "wwwAuthenticate": []}, "stop",
         "it may have acted on the message"),
        ("an error of a proxy", "CSSP-WINRM-20", "message", {"status": 502, "wwwAuthenticate": []}, "stop",
         "a server that it asked may have acted on the message"),
        ("a login that was forgotten", "CSSP-WINRM-21", "message", _OFFER, "either",
         "the server did not decrypt the message: a few more logins may help, and no more than a few"),
    )  # fmt: skip
    return [
        {"name": name, "about": about, "rule": rule, "at": at, "answer": answer, "then": then}
        for name, rule, at, answer, then, about in cases
    ]

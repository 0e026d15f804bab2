"""WINRM, the form: how a login begins, and the metadata of messages ([MS-WSMV] 2.2.9.1.3, 3.1.4.1.28)."""

from __future__ import annotations

import re

from credssp.conformance.catalogue._base import BOTH, CATALOGUE, CLIENT, MUST
from credssp.conformance.catalogue.winrm import client_message, encrypted_answer, requests_of
from credssp.conformance.client_run import ClientRun
from credssp.conformance.rule import Outcome, failed, passed
from credssp.conformance.run import ServerRun

# fmt: off
CATALOGUE.declare(
    ("CSSP-WINRM-16", "a login begins without a token", MUST, CLIENT, "[MS-WSMV] 3.1.4.1.28", "the first request",
     "no Authorization: the server offers CredSSP first"),
    ("CSSP-WINRM-17", "the metadata of encrypted messages", MUST, BOTH, "[MS-WSMV] 2.2.9.1.3.1.2.1",
     "an encrypted message after a good login",
     "Content-Type and OriginalContent, each after a tab; application/soap+xml, UTF-8 or UTF-16, and Length"),
)
# fmt: on


# Upper and lower case count, and so does the tab ([MS-WSMV] 2.2.9.1.3.1.2.1); the blanks are those of Windows.
METADATA = re.compile(
    rb"\tContent-Type: ?application/HTTP-CredSSP-session-encrypted\r\n"
    rb"\tOriginalContent: ?type=application/soap\+xml; ?charset=(?:UTF-8|UTF-16); ?Length=[0-9]+\r\n"
)


@CATALOGUE.client("CSSP-WINRM-16", "http")
def _first_request(run: ClientRun) -> Outcome:
    first = requests_of(run.baseline())[0]
    if first.authorization:
        return failed("Authorization in the first request", first.evidence)
    return passed()


def _metadata(body: bytes) -> Outcome:
    head = body[: body.find(b"application/octet-stream")]
    if METADATA.search(head):
        return passed()
    return failed("metadata: " + " | ".join(line.decode("latin-1") for line in head.split(b"\r\n")[1:3]))


@CATALOGUE.server("CSSP-WINRM-17", "http")
def _server_metadata(run: ServerRun) -> Outcome:
    return _metadata(encrypted_answer(run)[0].body)


@CATALOGUE.client("CSSP-WINRM-17", "http")
def _client_metadata(run: ClientRun) -> Outcome:
    return _metadata(client_message(run, b"")[0].body)

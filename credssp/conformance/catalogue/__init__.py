"""All rules. Each module declares one area, or a part of one, and `CATALOGUE` holds them in that order."""

from credssp.conformance.catalogue import (
    bindings,
    cred,
    err,
    eua,
    identity,
    krb,
    krb_client,
    neg,
    neg_form,
    ntlm,
    ntlm_names,
    ntlm_version,
    pka24,
    pka56,
    relay,
    spnego,
    tls,
    tsreq,
    ver,
    winrm,
    winrm_conduct,
    winrm_form,
)
from credssp.conformance.catalogue._base import CATALOGUE

__all__ = ["CATALOGUE"]

_AREAS = (
    tsreq, ver, spnego, ntlm, ntlm_version, ntlm_names, krb, krb_client, bindings, pka24, pka56, cred, identity, err,
    tls, neg, neg_form, relay, eua, winrm, winrm_form, winrm_conduct,
)  # fmt: skip

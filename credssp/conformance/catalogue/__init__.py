"""All rules. Each module declares one area, or a part of one, and `CATALOGUE` holds them in that order."""

from credssp.conformance.catalogue import (
    cred,
    err,
    eua,
    krb,
    krb_client,
    neg,
    neg_form,
    ntlm,
    pka24,
    pka56,
    spnego,
    tls,
    tsreq,
    ver,
    winrm,
    winrm_form,
)
from credssp.conformance.catalogue._base import CATALOGUE

__all__ = ["CATALOGUE"]

_AREAS = (
    tsreq, ver, spnego, ntlm, krb, krb_client, pka24, pka56, cred, err, tls, neg, neg_form, eua, winrm, winrm_form,
)  # fmt: skip

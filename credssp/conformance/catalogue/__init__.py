"""All rules. Each module declares one area or one side of it, and `CATALOGUE` holds them in that order."""

from credssp.conformance.catalogue import (
    cred,
    err,
    eua,
    krb,
    krb_client,
    neg,
    pka24,
    pka56,
    spnego,
    tls,
    tsreq,
    ver,
    winrm,
)
from credssp.conformance.catalogue._base import CATALOGUE

__all__ = ["CATALOGUE"]

_AREAS = (tsreq, ver, spnego, krb, krb_client, pka24, pka56, cred, err, tls, neg, eua, winrm)

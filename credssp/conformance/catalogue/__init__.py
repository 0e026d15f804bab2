"""All rules. Each module declares one area, and `CATALOGUE` holds them in that order."""

from credssp.conformance.catalogue import cred, err, eua, neg, pka24, pka56, spnego, tls, tsreq, ver, winrm
from credssp.conformance.catalogue._base import CATALOGUE

__all__ = ["CATALOGUE"]

_AREAS = (tsreq, ver, spnego, pka24, pka56, cred, err, tls, neg, eua, winrm)

"""The names of the inner mechanisms, of what a caller may ask for, and of the forms on the wire."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["MechanismChoice", "MechanismName", "WireForm"]

MechanismName: TypeAlias = Literal["", "ntlm", "kerberos"]
"""The mechanism at work; empty until it is known."""

MechanismChoice: TypeAlias = Literal["auto", "negotiate", "ntlm", "kerberos"]
"""What the caller of a client may ask for; `credssp.context.initiator` says what each means."""

WireForm: TypeAlias = Literal["", "spnego", "ntlm", "kerberos"]
"""How tokens look on the wire: inside SPNEGO or bare; empty until the first token."""

"""Gives an acceptor AP-REQs whose encrypted parts were changed before they were encrypted again.

    python -m tests.kerberos.fuzz_acceptor KEYTAB CCACHE COUNT [SEED]

The plaintext of the ticket, of the authenticator, of the checksum in it and of the KRB-CRED in that are changed, as DER
(a member dropped, repeated, emptied, moved, replaced) and as bytes. Tokens come bare, in SPNEGO's first or a later leg,
as the optimistic token of a mechanism that is not chosen, and in DCE style with a third leg.
Anything but one of our exceptions is the end, and so is a signal.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from datetime import UTC, datetime

from credssp.accounts import MemoryAccounts
from credssp.context.acceptor import create_acceptor
from credssp.credentials import CCacheCredentials
from credssp.errors import CredSSPError
from credssp.kerberos.ap import APRep, EncAPRepPart
from credssp.kerberos.contexts import KerberosAcceptor
from credssp.kerberos.crypto import KeyUsage
from credssp.kerberos.tickets import service_keys, service_ticket
from credssp.mechanism import Mechanism
from credssp.spnego import OID, NegTokenInit, NegTokenResp
from credssp.target import Target
from credssp.wire.der import write_tlv
from tests.fuzz.test_fuzz_core import mutate
from tests.kerberos.forge import DCE_STYLE, DELEG, USUAL, Change, Client, delegation, forged, gss_checksum, same, seal


def change_der(data: bytes, source: random.Random) -> bytes:
    """Change one TLV, somewhere in the tree, and write all lengths anew."""
    parts = children(data)
    if not parts:
        return data
    at = source.randrange(len(parts))
    tag, contents = parts[at]
    if tag & 0x20 and source.random() < 0.8:
        parts[at] = tag, change_der(contents, source)
    else:
        kind = source.randrange(6)
        if kind == 0:
            del parts[at]
        elif kind == 1:
            parts.insert(at, parts[at])
        elif kind == 2:
            parts[at] = tag, b""
        elif kind == 3:
            source.shuffle(parts)
        elif kind == 4:
            parts[at] = source.choice([tag ^ 1, 0x30, 0x02, 0x1B]), contents
        else:
            parts[at] = tag, source.choice([b"\0", b"\xff" * 5, contents * 3, source.randbytes(9)])
    return b"".join(write_tlv(tag, contents) for tag, contents in parts)


def children(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while len(data) > 1:
        size = data[1] & 0x7F if data[1] & 0x80 else 0
        length = int.from_bytes(data[2 : 2 + size], "big") if size else data[1]
        found.append((data[0], data[2 + size : 2 + size + length]))
        data = data[2 + size + length :]
    return found


def tokens(keytab: str, ccache: str, source: random.Random) -> tuple[str, bytes, Client | None]:
    """Return what was changed, a token, and its client where it is of DCE style."""
    if ccache not in GRANTED:
        GRANTED[ccache] = Client(service_ticket(Target("TERMSRV", "localhost"), CCacheCredentials(ccache)))
    client = GRANTED[ccache]
    where = source.choice(["nothing", "ticket", "authenticator", "checksum", "KRB-CRED", "KRB-CRED", "KrbCredInfo"])

    def changed(data: bytes) -> bytes:
        return change_der(data, source) if source.random() < 0.7 else mutate(data, source)

    def at(place: str) -> Change:
        return changed if where == place else same

    if where == "ticket" or source.random() < 0.3:
        key = next(
            each for each in service_keys(keytab) if each.service == "TERMSRV/localhost" and each.key.etype == 18
        )
        client = forged(key, change=at("ticket"))
    absent = ["pname", "prealm", "flags", "authtime", "starttime", "endtime", "srealm", "sname"]
    left_out = source.sample(absent, source.randint(1, 4)) if where == "KrbCredInfo" else []
    infos = [client.info(**dict.fromkeys(left_out)) for _ in range(source.choice([0, 1, 1, 1, 2]))]
    cred = client.krb_cred(*infos, tickets=source.choice([None, None, None, 0, 1, 2]), change=at("KRB-CRED"))
    dce = source.random() < 0.1
    delegates = DELEG if source.random() < 0.8 else 0
    checksum = gss_checksum(USUAL | delegates | (DCE_STYLE if dce else 0), rest=delegation(cred) if delegates else b"")
    if where == "checksum":
        checksum = mutate(checksum, source)
    return where, client.token(checksum, change=at("authenticator"), framed=not dce), client if dce else None


GRANTED: dict[str, Client] = {}


def legs(token: bytes, dce: Client | None, keytab: str, source: random.Random) -> tuple[str, list[bytes], Mechanism]:
    """Return how a token travels, the legs of that, and an acceptor for them."""
    if dce is not None:
        proof = EncAPRepPart(ctime=datetime.now(UTC), cusec=0, seq_number=1).encode()
        proof = change_der(proof, source) if source.random() < 0.7 else mutate(proof, source)
        last = APRep(seal(dce.ticket.key, KeyUsage.AP_REP, proof)).encode()
        return "DCE style", [token, last], KerberosAcceptor(keytab=keytab)
    again = NegTokenResp(response_token=token).encode()
    way, first, mechanisms = source.choice(
        [
            ("bare", [token, token], None),
            ("SPNEGO", [NegTokenInit((OID.KERBEROS,), token).encode(), again], None),
            ("second leg", [NegTokenInit((OID.NTLM, OID.KERBEROS), b"NTLMSSP").encode(), again, again], None),
            ("not chosen", [NegTokenInit((OID.KERBEROS, OID.NTLM), token).encode(), again], ("ntlm", "kerberos")),
        ]
    )
    return way, first, create_acceptor(MemoryAccounts({}), keytab=keytab, mechanisms=mechanisms)  # type: ignore[arg-type]


def main() -> None:
    """Run, and say what came of it."""
    keytab, ccache, count, *seed = sys.argv[1:]
    source = random.Random(int(seed[0]) if seed else 1)
    outcomes: Counter[str] = Counter()
    for _ in range(int(count)):
        where, token, dce = tokens(keytab, ccache, source)
        way, following, server = legs(token, dce, keytab, source)
        try:
            for each in following:
                if server.complete:
                    break
                server.step(each)
            outcome = "taken" if server.complete else "waits"
        except CredSSPError as error:
            outcome = error.status.name
        outcomes[f"{where}, {way}: {outcome}"] += 1
    print(f"{outcomes.total()} tokens")
    for name, number in sorted(outcomes.items()):
        print(f"{name} {number}")


if __name__ == "__main__":
    main()

"""What the statuses of `credssp.status` say, by their header names.

Each entry is (what the status means, what usually leads to it in an RDP or WinRM login, what to do next); PEERS has the
name before them. Read by `credssp.status` when a text is asked for; no other module imports it.
"""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, tuple[str, str, str]]] = {
    "SEC_E_OK": (
        "The call succeeded.",
        "Nothing went wrong.",
        "If the call returned a token, send it: in CredSSP the last client token carries the delegated credentials.",
    ),
    "SEC_I_CONTINUE_NEEDED": (
        "The call succeeded and the exchange goes on.",
        "The peer has to answer before the security context is complete.",
        "Send the returned token, even if it is empty, and call again with the peer's reply.",
    ),
    "SEC_I_COMPLETE_NEEDED": (
        "The call succeeded, but the token is not finished.",
        "The package wants CompleteAuthToken before the token leaves; CredSSP packages don't ask for this.",
        "Call CompleteAuthToken, then send the token; there is no further reply to wait for.",
    ),
    "SEC_I_COMPLETE_AND_CONTINUE": (
        "The token is not finished, and a reply will be needed as well.",
        "The package wants CompleteAuthToken in the middle of the exchange; CredSSP packages don't ask for this.",
        "Call CompleteAuthToken, send the token, and call again with the peer's reply.",
    ),
    "SEC_I_LOCAL_LOGON": (
        "The logon was completed on this machine, without the network.",
        "Client and server are the same machine, and the package took its short cut for that.",
        "Nothing to do; don't expect network evidence of the logon, such as an event on a domain controller.",
    ),
    "SEC_I_GENERIC_EXTENSION_RECEIVED": (
        "A Schannel token held a TLS extension that the application subscribed to.",
        "The caller registered for raw TLS extensions, and the peer sent one.",
        "Read the extension from the output buffers, then continue with the same token.",
    ),
    "SEC_I_CONTEXT_EXPIRED": (
        "The peer closed the TLS channel in an orderly way.",
        "A close_notify alert arrived: the server ended the session, often right after it refused a login.",
        (
            "Read no more from this channel; if it came before the login was done, look at the server's event log for "
            "the reason."
        ),
    ),
    "SEC_I_INCOMPLETE_CREDENTIALS": (
        "The server asked for a TLS client certificate, and none was given.",
        "The TLS listener demands client certificates; a CredSSP server normally does not.",
        (
            "Call again to go on without a certificate, or acquire a credential with one that an issuer in the "
            "server's list signed."
        ),
    ),
    "SEC_I_RENEGOTIATE": (
        "The peer wants a new TLS handshake, or sent a TLS 1.3 message that belongs to the handshake.",
        "A TLS 1.3 session ticket or key update arrived between application data, or a TLS 1.2 server renegotiates.",
        "Pass the extra buffer to the handshake call, then continue with decryption.",
    ),
    "SEC_I_NO_LSA_CONTEXT": (
        "There is no context in the LSA that corresponds to this handle.",
        "The context lives in the calling process only, which is how it is meant for user-mode packages.",
        "Keep using the handle; don't hand it to another process through the LSA.",
    ),
    "SEC_I_SIGNATURE_NEEDED": (
        "The token has to be signed by the caller before it goes on.",
        "The private key is outside the package's reach and the caller agreed to sign for it.",
        "Sign the data in the output buffer and pass the signature in with the next call.",
    ),
    "SEC_I_NO_RENEGOTIATION": (
        "The peer declined a new TLS handshake.",
        "It answered a renegotiation request with the no_renegotiation alert.",
        "Continue on the existing TLS session, or close it and connect anew if a new handshake is a must.",
    ),
    "SEC_I_MESSAGE_FRAGMENT": (
        "The token is one fragment of a larger handshake message.",
        "The caller asked for fragments, as DTLS does to fit the path MTU.",
        "Send this fragment and call again without input for the next one.",
    ),
    "SEC_I_CONTINUE_NEEDED_MESSAGE_OK": (
        "The handshake goes on, and message protection can be used already.",
        (
            "The package finished its keys before its last token; some documents print this code with the failure bit "
            "set."
        ),
        "Send the token and wait for the reply; messages may be protected in the meantime.",
    ),
    "SEC_I_ASYNC_CALL_PENDING": (
        "The call was started and will finish later.",
        "The caller used the asynchronous SSPI and the package is still working.",
        "Wait for the completion notice before touching the buffers or the handle.",
    ),
    "SEC_E_INSUFFICIENT_MEMORY": (
        "There is not enough memory for the request, or a message is larger than the receiver accepts.",
        "The machine is short of memory, or the peer announced a token above the size limit.",
        (
            "Look at the size of the last message first; a stray non-CredSSP service on the port announces absurd "
            "lengths."
        ),
    ),
    "SEC_E_INVALID_HANDLE": (
        "The credential or context handle is not valid.",
        "The handle was deleted, never created, or belongs to another package.",
        (
            "Check the order of calls: no use after DeleteSecurityContext or FreeCredentialsHandle, and no sharing "
            "between packages."
        ),
    ),
    "SEC_E_UNSUPPORTED_FUNCTION": (
        "The function or a requested flag is not supported, or the peer's CredSSP version is refused.",
        (
            "Flags that CredSSP doesn't know; in an RDP login most often the CVE-2018-0886 check, one side being "
            "without its update."
        ),
        (
            "Read the text for what was refused: a flag or mode that one side lacks, or an old side that needs its "
            "updates (CredSSP 5 or 6)."
        ),
    ),
    "SEC_E_TARGET_UNKNOWN": (
        "The target name is unknown or can't be reached.",
        (
            "No service principal of that name exists, or the name is malformed, such as an IP address where Kerberos "
            "needs a host."
        ),
        (
            "Use the server's full DNS name as TERMSRV/host or WSMAN/host, and check with 'setspn -Q' that the SPN is "
            "registered."
        ),
    ),
    "SEC_E_INTERNAL_ERROR": (
        "The security package failed inside and has no better code for it.",
        "An LSA or library fault, or an error without a status of its own.",
        "Look at the system event log of the side that raised it; with this library, report it with the debug log.",
    ),
    "SEC_E_SECPKG_NOT_FOUND": (
        "The requested security package does not exist.",
        "A mistyped package name, or CredSSP is not in the list of security packages of that machine.",
        (
            'Check the name ("CREDSSP", "Negotiate", "NTLM", "Kerberos") and the Security Packages value under '
            "Control\\Lsa."
        ),
    ),
    "SEC_E_NOT_OWNER": (
        "The caller does not own the credentials it wants to use.",
        "The process runs under one account and asks for another account's credential handle.",
        "Run under the account that owns the credentials, or pass user name and password explicitly.",
    ),
    "SEC_E_CANNOT_INSTALL": (
        "The security package could not be initialised and will not be installed.",
        "The package's start-up function failed when the LSA loaded it.",
        "Read the system event log from the last boot, and check that the package's file matches the Windows build.",
    ),
    "SEC_E_INVALID_TOKEN": (
        "A token does not decode or makes no sense at this point.",
        (
            "The peer is not a CredSSP speaker, the bytes were cut or reordered, or HTTP and RDP clients met the "
            "wrong port."
        ),
        "Take the last token apart and see which field is off; check that host and port are the right ones.",
    ),
    "SEC_E_CANNOT_PACK": (
        "The message can't be marshalled.",
        "A value is too long for its wire field or holds characters that the target encoding lacks.",
        "Shorten or correct the user, domain or target name.",
    ),
    "SEC_E_QOP_NOT_SUPPORTED": (
        "The requested quality of protection is not supported.",
        "A caller asked for signing without sealing, or for a value that CredSSP does not offer over TLS.",
        "Pass 0 as quality of protection; CredSSP always encrypts.",
    ),
    "SEC_E_NO_IMPERSONATION": (
        "The server may not impersonate the client.",
        "The context was made with an identify-only level, or the server process lacks SeImpersonatePrivilege.",
        "Request delegation on the client (ISC_REQ_DELEGATE) and give the service account the impersonate right.",
    ),
    "SEC_E_LOGON_DENIED": (
        "The logon failed.",
        (
            "Most often a wrong user name or password; a locked, disabled or restricted account looks the same from "
            "outside."
        ),
        (
            "Try the account on the server itself, mind the domain part of the name, and read the server's event 4625 "
            "for the reason."
        ),
    ),
    "SEC_E_UNKNOWN_CREDENTIALS": (
        "The package did not recognise the credentials it was given.",
        "The identity structure has the wrong form, or its strings are not what the flags (ANSI, Unicode) say.",
        "Check the structure and its flags; for CredSSP it is CREDSSP_CRED with the credential type set.",
    ),
    "SEC_E_NO_CREDENTIALS": (
        "There are no credentials to use.",
        (
            "No user name was given and no user is logged on, no Kerberos ticket is in the cache, or none are saved "
            "for this target."
        ),
        "Give a user name and password, run kinit, or save credentials for the target.",
    ),
    "SEC_E_MESSAGE_ALTERED": (
        "A message or its signature was changed on the way, or the TLS key is not the one the peer vouched for.",
        (
            "A wrong signature on a sealed message; in CredSSP pubKeyAuth does not match, as with a TLS-intercepting "
            "proxy between."
        ),
        "Compare the certificate the client sees with the server's own, and take any TLS inspection out of the path.",
    ),
    "SEC_E_OUT_OF_SEQUENCE": (
        "A message came out of order.",
        "A sequence number was repeated or skipped: two writers share one context, or messages were replayed.",
        "Use one context per connection and protect messages in the order in which they are sent.",
    ),
    "SEC_E_NO_AUTHENTICATING_AUTHORITY": (
        "No authority could be reached that can check these credentials.",
        "No domain controller or KDC answers, DNS doesn't find one, or a firewall blocks port 88 or 389.",
        (
            "Check DNS for _kerberos._tcp of the realm and the path to a domain controller, or use a local account "
            "of the server."
        ),
    ),
    "SEC_E_BAD_PKGID": (
        "The package number in the message is not valid.",
        "A caller of the LSA passed an authentication package id that it did not look up first.",
        "Get the id with LsaLookupAuthenticationPackage on the same machine and use that.",
    ),
    "SEC_E_CONTEXT_EXPIRED": (
        "The security context is over and can't be used any more.",
        "The peer closed the TLS channel, a Kerberos ticket ran out, or the connection was idle for too long.",
        "Start a new connection and a new login.",
    ),
    "SEC_E_INCOMPLETE_MESSAGE": (
        "The message is not complete yet.",
        "TCP delivered only part of a TLS record or a TSRequest, which is normal on a stream.",
        "Read more bytes, append them to what you have, and call again; a MISSING buffer says how many at least.",
    ),
    "SEC_E_INCOMPLETE_CREDENTIALS": (
        "The credentials lack a part that the package needs.",
        "A TLS server without its certificate or private key, or a client credential without a password.",
        (
            "Complete the credentials and acquire the handle anew; for a TLS server check that the private key is "
            "readable."
        ),
    ),
    "SEC_E_BUFFER_TOO_SMALL": (
        "An output buffer is too small for the token.",
        "The caller allocated less than the package's maximum token size.",
        "Ask QuerySecurityPackageInfo for cbMaxToken, or let the package allocate (ISC_REQ_ALLOCATE_MEMORY).",
    ),
    "SEC_E_WRONG_PRINCIPAL": (
        "The server is not the principal that was asked for.",
        "The certificate or Kerberos ticket names another host: an alias, an IP address, or a stale DNS record.",
        "Connect by the name in the certificate or the SPN, or register the alias as an SPN of that server.",
    ),
    "SEC_E_TIME_SKEW": (
        "The clocks of client and server are too far apart.",
        "Kerberos and NTLMv2 compare clocks; the usual Kerberos limit is five minutes.",
        "Synchronise both clocks with the domain's time source and check the time zone.",
    ),
    "SEC_E_UNTRUSTED_ROOT": (
        "The certificate chain ends in an authority that is not trusted.",
        "RDP and WinRM hosts come with a self-signed certificate unless somebody gives them a better one.",
        (
            "Install a certificate from a trusted authority, or trust or pin the host's own after checking its "
            "fingerprint."
        ),
    ),
    "SEC_E_ILLEGAL_MESSAGE": (
        "A TLS message arrived that is not allowed or not well-formed.",
        "The peer doesn't speak TLS on this port, or the two sides disagree about the protocol version.",
        "Check the port, then compare the TLS versions of both sides.",
    ),
    "SEC_E_CERT_UNKNOWN": (
        "The certificate could not be processed.",
        "It is malformed, uses an algorithm that this side doesn't have, or fails a check without a code of its own.",
        "Look at the certificate with 'openssl x509 -text' and replace it if it is damaged or exotic.",
    ),
    "SEC_E_CERT_EXPIRED": (
        "The certificate is outside its period of validity.",
        "It ran out, or one of the clocks is wrong.",
        (
            "Renew the server's certificate; for the self-signed RDP one delete it and restart the Remote Desktop "
            "service."
        ),
    ),
    "SEC_E_ENCRYPT_FAILURE": (
        "The data could not be encrypted.",
        "The context is broken or was closed, or a buffer of the wrong kind was passed.",
        "Check the buffer layout (stream header, data, trailer, empty) and that the context is complete.",
    ),
    "SEC_E_DECRYPT_FAILURE": (
        "The data could not be decrypted.",
        (
            "Bytes were lost or changed, or plain data follows where TLS records are expected, as after early user "
            "authorization."
        ),
        "Check that every byte went through the channel once and in order; a fresh connection is needed in any case.",
    ),
    "SEC_E_ALGORITHM_MISMATCH": (
        "Client and server have no common algorithm.",
        (
            "No common TLS version or cipher suite: an old host with TLS 1.0 and a client that asks for 1.2, or the "
            "reverse."
        ),
        "Enable TLS 1.2 with an AES-GCM suite on both sides.",
    ),
    "SEC_E_SECURITY_QOS_FAILED": (
        "The security context can't reach the requested quality of service.",
        "The caller's impersonation requirements are above what the server-side logon gives.",
        "Ask for the impersonation level that the logon gives, or log on with credentials that can be delegated.",
    ),
    "SEC_E_UNFINISHED_CONTEXT_DELETED": (
        "The context was deleted before it was complete.",
        "One side gave up in the middle of the login, often after a time limit or because the user cancelled.",
        "Find out who closed first, then look at that side's log; raise the login deadline if a KDC is slow.",
    ),
    "SEC_E_NO_TGT_REPLY": (
        "The server did not send its ticket-granting ticket.",
        "The client wanted user-to-user Kerberos, and the answer came without the TGT.",
        "Register an SPN for the service so that user-to-user is not needed.",
    ),
    "SEC_E_NO_IP_ADDRESSES": (
        "The client has no usable IP address.",
        "Kerberos wanted addresses for the ticket and the machine had none up.",
        "Bring a network interface up and check its configuration.",
    ),
    "SEC_E_WRONG_CREDENTIAL_HANDLE": (
        "The credential handle does not belong to this context.",
        "A context was begun with one credential handle and continued with another.",
        "Pass the handle of the first call in every later one.",
    ),
    "SEC_E_CRYPTO_SYSTEM_INVALID": (
        "The cryptographic provider is not valid or not available.",
        (
            "A provider is missing or damaged, or was switched off by policy, such as FIPS mode without an approved "
            "algorithm."
        ),
        "Check FIPS mode and the installed providers; NTLM needs MD4, MD5 and RC4 whatever the policy says.",
    ),
    "SEC_E_MAX_REFERRALS_EXCEEDED": (
        "The KDCs sent the client around too many realms.",
        "Trust paths form a loop, or the SPN's host is mapped to the wrong realm.",
        "Check the host-to-realm mapping and the trusts between the realms.",
    ),
    "SEC_E_MUST_BE_KDC": (
        "This function only works on a KDC.",
        "A call meant for a domain controller was made on a member or standalone machine.",
        "Direct the request to a domain controller.",
    ),
    "SEC_E_STRONG_CRYPTO_NOT_SUPPORTED": (
        "The other side can't do strong cryptography.",
        "An export-grade or very old system negotiated keys below 128 bits.",
        "Update the old side: a channel that carries passwords needs strong keys.",
    ),
    "SEC_E_TOO_MANY_PRINCIPALS": (
        "The token names more than one principal.",
        "A KDC reply held more names than the package can take.",
        "Look for duplicate or odd SPN and UPN entries on the account.",
    ),
    "SEC_E_NO_PA_DATA": (
        "The KDC's answer lacks the preauthentication data.",
        "The account or the KDC is set up without preauthentication although the client needs it.",
        'Clear "Do not require Kerberos preauthentication" on the account and try again.',
    ),
    "SEC_E_PKINIT_NAME_MISMATCH": (
        "The name in the smart card's certificate is not the user's name.",
        "The subject alternative name (UPN) of the certificate belongs to another account or domain.",
        "Issue a certificate with the right UPN, or map the certificate to the account explicitly.",
    ),
    "SEC_E_SMARTCARD_LOGON_REQUIRED": (
        "The account may log on with a smart card only.",
        '"Smart card is required for interactive logon" is set, and a password was used.',
        "Log on with the card.",
    ),
    "SEC_E_SHUTDOWN_IN_PROGRESS": (
        "The system is shutting down.",
        "The LSA accepts no new logons while the machine goes down.",
        "Wait until the machine is up again and connect anew.",
    ),
    "SEC_E_KDC_INVALID_REQUEST": (
        "The KDC got a request it considers malformed.",
        "A client library and the KDC differ about an option or extension.",
        "Capture port 88, look at the KDC's event log, and update the client library.",
    ),
    "SEC_E_KDC_UNABLE_TO_REFER": (
        "The KDC can't refer the client to the realm of the service.",
        "No trust leads there, or the SPN exists nowhere in the forest.",
        "Check the SPN and the trust; a standalone host needs NTLM or its own realm mapping.",
    ),
    "SEC_E_KDC_UNKNOWN_ETYPE": (
        "The KDC does not support the encryption type.",
        "RC4 was switched off for an account that has only RC4 keys, or AES was never enabled for it.",
        "Enable AES for the account, set its password anew so that AES keys exist, and try again.",
    ),
    "SEC_E_UNSUPPORTED_PREAUTH": (
        "The preauthentication method is not supported by the KDC.",
        "A smart card or FAST login against a KDC without the certificate or feature for it.",
        "Check that the domain controllers have a valid KDC certificate, or log on with a password.",
    ),
    "SEC_E_DELEGATION_REQUIRED": (
        "The operation needs delegation, and the context has none.",
        "The server wants to go on to a third machine with the user's identity.",
        "Ask for delegation (ISC_REQ_DELEGATE); CredSSP then sends the credentials if policy allows the target.",
    ),
    "SEC_E_BAD_BINDINGS": (
        "The channel bindings do not match.",
        "The TLS channel the client sees is not the server's: a proxy terminates TLS, or the certificates differ.",
        (
            "Take the proxy out of the path, or make it pass TLS through; check the extended protection setting of "
            "the service."
        ),
    ),
    "SEC_E_MULTIPLE_ACCOUNTS": (
        "More than one account matches the name.",
        "A UPN, SPN or certificate mapping is registered on several accounts.",
        "Find the duplicates with 'setspn -X' or a search for the UPN, and leave one.",
    ),
    "SEC_E_NO_KERB_KEY": (
        "There is no Kerberos key for the service.",
        "The keytab or machine account has no key of the ticket's encryption type or key version.",
        "Export a fresh keytab for the SPN with the current key version and AES types.",
    ),
    "SEC_E_CERT_WRONG_USAGE": (
        "The certificate is not meant for this purpose.",
        (
            "It lacks Server Authentication or Smart Card Logon among its extended key usages, or its key usage "
            "forbids it."
        ),
        "Issue one with the right usages; for RDP and WinRM that is Server Authentication (1.3.6.1.5.5.7.3.1).",
    ),
    "SEC_E_DOWNGRADE_DETECTED": (
        "The system found signs of an attempt to weaken the authentication.",
        (
            "A flag, mechanism list or ticket request arrived weaker than promised; broken SPNs and unreachable KDCs "
            "look the same."
        ),
        (
            "Check the path to a domain controller and the SPN first; if both are right, look for a device that "
            "changes traffic."
        ),
    ),
    "SEC_E_SMARTCARD_CERT_REVOKED": (
        "The smart card's certificate has been revoked.",
        "The card was reported lost, or replaced by a newer one.",
        "Get a new certificate onto the card.",
    ),
    "SEC_E_ISSUING_CA_UNTRUSTED": (
        "The authority that issued the smart card's certificate is not trusted for logon.",
        "Its certificate is missing from the NTAuth store or from the machine's trusted roots.",
        (
            "Publish the issuing authority to NTAuth with 'certutil -dspublish', and let group policy distribute the "
            "root."
        ),
    ),
    "SEC_E_REVOCATION_OFFLINE_C": (
        "Whether the smart card's certificate is revoked could not be checked.",
        "The revocation list or OCSP responder named in it can't be reached from the domain controller.",
        "Make the distribution point reachable, or publish a current list where it can be found.",
    ),
    "SEC_E_PKINIT_CLIENT_FAILURE": (
        "The client's certificate logon could not be validated.",
        "The KDC found a fault in the smart card certificate that has no code of its own.",
        "Run 'certutil -verify -urlfetch' on the certificate on a domain controller, and read its system event log.",
    ),
    "SEC_E_SMARTCARD_CERT_EXPIRED": (
        "The smart card's certificate has expired.",
        "It was not renewed, or the domain controller's clock is wrong.",
        "Renew the certificate on the card.",
    ),
    "SEC_E_NO_S4U_PROT_SUPPORT": (
        "The domain controller can't do service-for-user logons.",
        "A functional level or KDC from before the S4U extensions.",
        "Use an up-to-date domain controller, or give the service real credentials.",
    ),
    "SEC_E_CROSSREALM_DELEGATION_FAILURE": (
        "Delegation across realms is not possible here.",
        "Constrained delegation met a service in another domain, or the trust forbids ticket delegation.",
        "Use resource-based constrained delegation on the target, or CredSSP delegation of fresh credentials.",
    ),
    "SEC_E_REVOCATION_OFFLINE_KDC": (
        "Whether the KDC's certificate is revoked could not be checked.",
        "The client can't reach the revocation list that the KDC's certificate names.",
        "Make that list reachable from the client, or publish a current one.",
    ),
    "SEC_E_ISSUING_CA_UNTRUSTED_KDC": (
        "The authority that issued the KDC's certificate is not trusted.",
        "The client lacks the enterprise root, as with a machine outside the domain.",
        "Install the root that issued the domain controllers' certificates on the client.",
    ),
    "SEC_E_KDC_CERT_EXPIRED": (
        "The KDC's certificate has expired.",
        "Certificate renewal on the domain controller failed.",
        "Renew the certificate of the domain controller.",
    ),
    "SEC_E_KDC_CERT_REVOKED": (
        "The KDC's certificate has been revoked.",
        "The domain controller still uses a certificate that was withdrawn.",
        "Enrol a new certificate on the domain controller and remove the old one.",
    ),
    "SEC_E_INVALID_PARAMETER": (
        "A parameter is not valid.",
        (
            "The caller passed a value or a combination of values that the function does not take, or called it out "
            "of turn."
        ),
        (
            "Read the error's text for the parameter; compare flags, buffer types and order of calls with the "
            "documentation."
        ),
    ),
    "SEC_E_DELEGATION_POLICY": (
        "Policy does not allow delegating credentials to this server.",
        (
            "The target is not in the list of the matching setting (AllowFreshCredentials, AllowSavedCredentials and "
            "so on)."
        ),
        (
            "Add TERMSRV/host or WSMAN/host to the list, for example with Enable-WSManCredSSP -Role Client, then try "
            "again."
        ),
    ),
    "SEC_E_POLICY_NLTM_ONLY": (
        "Policy does not allow delegating credentials when only NTLM authenticated the server.",
        (
            "Kerberos was not used and the certificate is not trusted, so the list for strong authentication does not "
            "apply."
        ),
        "Get Kerberos or a trusted certificate to work, so that the server proves which one it is.",
    ),
    "SEC_E_NO_CONTEXT": (
        "There is no security context to answer with.",
        "The call needs an established context of this package, and none exists.",
        "Complete the handshake first, then make the call.",
    ),
    "SEC_E_PKU2U_CERT_FAILURE": (
        "A PKU2U certificate could not be validated.",
        "Peer-to-peer logon with an online identity met a certificate that is missing, expired or not trusted.",
        "Sign in to the online identity again so that its certificate is renewed, or use a local or domain account.",
    ),
    "SEC_E_MUTUAL_AUTH_FAILED": (
        "The server could not be authenticated although the caller demanded it.",
        (
            "Neither its certificate is trusted for the name nor was Kerberos used; NTLM does not prove who the "
            "server is."
        ),
        (
            "Trust the certificate's authority, pin the certificate after comparing it, or use a name that Kerberos "
            "knows."
        ),
    ),
    "SEC_E_ONLY_HTTPS_ALLOWED": (
        "Plain HTTP is not allowed here.",
        "A KDC proxy or federation address was given as http://.",
        "Use the https:// address.",
    ),
    "SEC_E_APPLICATION_PROTOCOL_MISMATCH": (
        "Client and server have no common application protocol.",
        "The TLS ALPN lists don't overlap; RDP and WinRM normally send none.",
        "Leave ALPN out, or offer a protocol the server lists.",
    ),
    "SEC_E_INVALID_UPN_NAME": (
        "The user principal name is not valid.",
        "A name with @ in the wrong place, more than one of them, or forbidden characters.",
        "Write it as user@realm, or use DOMAIN\\user.",
    ),
    "SEC_E_EXT_BUFFER_TOO_SMALL": (
        "The buffer for TLS extensions is too small.",
        "The caller subscribed to extensions and gave less room than they need.",
        "Allocate the size the call returned and repeat it.",
    ),
    "SEC_E_INSUFFICIENT_BUFFERS": (
        "Too few buffers were passed.",
        "The package has several things to return, and the descriptor has no free entry for one of them.",
        "Add an empty buffer (SECBUFFER_EMPTY) per thing expected: token, extra, alert.",
    ),
    "STATUS_UNSUCCESSFUL": (
        "The request failed, without a reason given.",
        "A server that has no better code, or does not want to tell.",
        "Read the server's security and system event logs of that minute.",
    ),
    "STATUS_INVALID_HANDLE": (
        "A handle on the server is not valid.",
        "The logon session or connection that the server refers to is gone, often after a restart of a service.",
        "Connect again; if it stays, restart the Remote Desktop or WinRM service.",
    ),
    "STATUS_INVALID_PARAMETER": (
        "The server found a field in the request that it does not accept.",
        "A malformed token, a flag combination it doesn't know, or an empty field that it needs.",
        "Dissect what the client sent; try again with user name and domain filled in plainly.",
    ),
    "STATUS_NO_MEMORY": (
        "The server has not enough virtual memory or quota for the logon.",
        "The host is overloaded, or a leak filled the LSA process.",
        "Free memory or restart the host, then try again.",
    ),
    "STATUS_ACCESS_DENIED": (
        "The account is authenticated but not permitted.",
        (
            "It lacks the right for this service: not in Remote Desktop Users, no WinRM access, or remote UAC filters "
            "local accounts."
        ),
        "Add it to the group that may use the service; a remote login filters the rights of local administrators.",
    ),
    "STATUS_BUFFER_TOO_SMALL": (
        "A buffer on the server was too small for the logon data.",
        "Usually very large tokens, as from an account in hundreds of groups.",
        "Raise MaxTokenSize on the server, or reduce the account's groups.",
    ),
    "STATUS_NO_IMPERSONATION_TOKEN": (
        "The server has no token to act with for the user.",
        "The login went as far as authentication, but nothing was delegated or the logon session ended.",
        "Check that the client really delegates credentials, and that policy allows the target.",
    ),
    "STATUS_NO_LOGON_SERVERS": (
        "The server reached no domain controller to check the credentials.",
        "The host is off its domain network, its DNS points elsewhere, or the controllers are down.",
        "Check the host's DNS and network, or log on with a local account as HOST\\user.",
    ),
    "STATUS_NO_SUCH_LOGON_SESSION": (
        "The logon session does not exist or has ended.",
        (
            "The session was closed meanwhile, or Credential Guard or Remote Credential Guard keeps its secrets out "
            "of reach."
        ),
        "Log on again; where saved credentials are used, enter them fresh.",
    ),
    "STATUS_PRIVILEGE_NOT_HELD": (
        "A privilege that the operation needs is missing.",
        "The service process lacks a right such as SeTcbPrivilege or SeImpersonatePrivilege.",
        "Run the service under an account that has it, LocalSystem or Network Service as a rule.",
    ),
    "STATUS_INVALID_ACCOUNT_NAME": (
        "The account name is malformed.",
        "Characters such as / [ ] : ; | = , + * ? < > in it, a name over 20 characters, or a domain put in twice.",
        "Write it as DOMAIN\\user or user@realm and nothing else.",
    ),
    "STATUS_NO_SUCH_USER": (
        "The account does not exist.",
        (
            "A typing error, or the right name in the wrong domain; most servers say STATUS_LOGON_FAILURE instead, to "
            "hide this."
        ),
        ("Check the spelling and the domain part: HOST\\user for a local account, DOMAIN\\user for a domain one."),
    ),
    "STATUS_WRONG_PASSWORD": (
        "The account exists and the password is wrong.",
        "A typing error, a keyboard layout, or a password changed since it was saved.",
        "Type the password again in a visible field first, and mind the lockout limit before further tries.",
    ),
    "STATUS_ILL_FORMED_PASSWORD": (
        "The new password holds characters that are not allowed.",
        "A password change with control or unpaired surrogate characters.",
        "Choose a password of ordinary characters.",
    ),
    "STATUS_PASSWORD_RESTRICTION": (
        "The new password breaks the password policy.",
        "Too short, too simple, used before, or changed again too soon.",
        "Choose another one that meets length, complexity, history and minimum age.",
    ),
    "STATUS_LOGON_FAILURE": (
        "The user name or the password is wrong; the server deliberately doesn't say which.",
        (
            "A typing error, a missing or wrong domain part, or NTLM settings (LmCompatibilityLevel) that don't fit "
            "together."
        ),
        (
            "Check name, domain and password on the host itself, then its security event 4625, whose sub-status names "
            "the reason."
        ),
    ),
    "STATUS_ACCOUNT_RESTRICTION": (
        "Name and password are right, but a restriction on the account forbids the logon.",
        (
            "A blank password over the network, a member of Protected Users with NTLM, or Restricted Admin switched "
            "off on the host."
        ),
        (
            "Set a password; use Kerberos (a host name, not an IP address) for Protected Users; check "
            "DisableRestrictedAdmin."
        ),
    ),
    "STATUS_INVALID_LOGON_HOURS": (
        "The account may not log on at this time.",
        "Logon hours are set on the account, or the host's clock or time zone is wrong.",
        "Try within the permitted hours or have them widened.",
    ),
    "STATUS_INVALID_WORKSTATION": (
        "The account may not log on from this workstation.",
        '"Log On To" lists certain computers, and the client\'s NetBIOS name is not among them.',
        (
            "Add the client and the target to the list, or empty it; with this library check the workstation name "
            "that is sent."
        ),
    ),
    "STATUS_PASSWORD_EXPIRED": (
        "The password has expired.",
        "It reached its maximum age; NLA can't change it, as the dialogue would come after the login.",
        "Change it from a domain machine, or have an administrator change it.",
    ),
    "STATUS_ACCOUNT_DISABLED": (
        "The account is disabled.",
        "It is the built-in Administrator or Guest, has left, or was never enabled.",
        "Enable it ('net user NAME /active:yes'), or use another one.",
    ),
    "STATUS_INSUFFICIENT_RESOURCES": (
        "The server lacks system resources for the logon.",
        "Paged pool, handles or sessions ran out on the host.",
        "End unused sessions or restart the host, then look at what consumes the pool.",
    ),
    "STATUS_BAD_IMPERSONATION_LEVEL": (
        "The impersonation level is too low for what the server wants to do.",
        "The client allowed identification only.",
        "Ask for impersonation or delegation on the client side.",
    ),
    "STATUS_IO_TIMEOUT": (
        "The request took too long on the server.",
        "It waited for a domain controller, a smart card, or a remote profile that did not answer in time.",
        "Try again, then measure the host's path to its domain controllers.",
    ),
    "STATUS_NOT_SUPPORTED": (
        "The server does not support the request, or refuses this CredSSP version or NTLM.",
        (
            "The CVE-2018-0886 update is missing on one side, NTLM is blocked by policy, or Remote Credential Guard "
            "is not enabled."
        ),
        (
            "Update both sides to CredSSP 5 or 6, connect by host name so that Kerberos is used, and check Restrict "
            "NTLM policies."
        ),
    ),
    "STATUS_INVALID_SERVER_STATE": (
        "The domain controller's account database is in the wrong state for the request.",
        "The controller is starting, in restore mode, or demoted halfway.",
        "Use another domain controller, and look at the directory service log of this one.",
    ),
    "STATUS_NO_SUCH_DOMAIN": (
        "The domain does not exist or can't be reached.",
        "A typing error in the domain part, or no trust to that domain.",
        "Check the domain's spelling, try the DNS name instead of the NetBIOS one, and test the trust.",
    ),
    "STATUS_INTERNAL_ERROR": (
        "Something failed inside the server.",
        "A fault in the LSA or an authentication package of the host.",
        "Read the host's system event log, install its updates, and restart it if needed.",
    ),
    "STATUS_NO_SUCH_PACKAGE": (
        "The server has no such authentication package.",
        "The client named a package that is not installed, or CredSSP or Kerberos was taken out of the host's list.",
        "Check the package name and the host's Security Packages and Authentication Packages values.",
    ),
    "STATUS_INVALID_LOGON_TYPE": (
        "The server asked for a kind of logon that does not exist.",
        "A service or add-on passes a wrong logon type to LsaLogonUser.",
        "Update or remove third-party credential providers on the host.",
    ),
    "STATUS_SPECIAL_ACCOUNT": (
        "The operation is not allowed on a built-in account.",
        "Something tries to change or delete Administrator, Guest or another special account.",
        "Use an ordinary account for this.",
    ),
    "STATUS_TIME_DIFFERENCE_AT_DC": (
        "The clocks of the client or host and the domain controller are too far apart.",
        "A virtual machine that was paused, a wrong time zone, or a host that can't reach its time source.",
        "Synchronise the clock ('w32tm /resync', chrony) to within five minutes and try again.",
    ),
    "STATUS_LOGON_NOT_GRANTED": (
        "The logon was not granted.",
        "A policy or a third-party logon filter on the host said no.",
        "Check the host's user rights assignment and any multi-factor or logon-control add-on.",
    ),
    "STATUS_TOO_MANY_CONTEXT_IDS": (
        "The account is in too many groups for one logon token.",
        "Nested groups and SID history add up to more than about 1,000 SIDs.",
        "Reduce the groups or clean up SID history.",
    ),
    "STATUS_LOGON_TYPE_NOT_GRANTED": (
        "The account lacks the right for this kind of logon on the host.",
        (
            "Not in Remote Desktop Users, or a Deny right (log on through Remote Desktop, access from the network) "
            "applies to it."
        ),
        (
            'Grant "Allow log on through Remote Desktop Services" or add it to the group, and check the Deny rights, '
            "which win."
        ),
    ),
    "STATUS_NO_TRUST_LSA_SECRET": (
        "The host has lost its own machine password.",
        "The LSA secret of the secure channel is missing, as after a reset or a bad restore.",
        "Join the host to the domain again, or run Test-ComputerSecureChannel -Repair.",
    ),
    "STATUS_NO_TRUST_SAM_ACCOUNT": (
        "The domain has no computer account for the host.",
        "The account was deleted, or the host restored from before it joined.",
        "Create the computer account again or rejoin the domain.",
    ),
    "STATUS_TRUSTED_DOMAIN_FAILURE": (
        "The trust between the host's domain and the account's domain does not work.",
        "The trust password is out of step, or the other domain can't be reached.",
        "Validate the trust with 'netdom trust' or 'nltest /sc_verify', and reset it if needed.",
    ),
    "STATUS_TRUSTED_RELATIONSHIP_FAILURE": (
        "The trust between the host and its domain is broken.",
        "The machine password differs from the one in the directory, typically after a snapshot was restored.",
        "Repair the secure channel (Test-ComputerSecureChannel -Repair) or rejoin; local accounts work meanwhile.",
    ),
    "STATUS_TRUST_FAILURE": (
        "The network logon failed because a trust does not hold.",
        "One link on the path from the host to the account's domain is broken.",
        "Follow the path with 'nltest /trusted_domains' and check each secure channel.",
    ),
    "STATUS_NETLOGON_NOT_STARTED": (
        "The Netlogon service is not running on the host.",
        "It was stopped, disabled, or is still starting after a boot.",
        "Start Netlogon on the host and try again.",
    ),
    "STATUS_ACCOUNT_EXPIRED": (
        "The account has expired.",
        "Its expiry date has passed, as with temporary staff.",
        "Have the expiry date moved or use another account.",
    ),
    "STATUS_NOLOGON_INTERDOMAIN_TRUST_ACCOUNT": (
        "The account is an interdomain trust account and can't log on.",
        "A name ending in $ of a trusted domain was given as user.",
        "Use a user account.",
    ),
    "STATUS_NOLOGON_WORKSTATION_TRUST_ACCOUNT": (
        "The account is a computer account and can't log on here.",
        "A name such as HOST$ was used for an interactive login.",
        "Use a user account or a managed service account where that is meant.",
    ),
    "STATUS_NOLOGON_SERVER_TRUST_ACCOUNT": (
        "The account is a domain controller's computer account and can't log on.",
        "The machine account of a controller was given as user.",
        "Use a user account that may administer the controller.",
    ),
    "STATUS_USER_SESSION_DELETED": (
        "The session on the server has been ended.",
        "An administrator or an idle limit closed it, or the server restarted its service.",
        "Connect again; check idle and session limits if it repeats.",
    ),
    "STATUS_PASSWORD_MUST_CHANGE": (
        "The user must change the password before the first logon.",
        "A new or reset account with that mark; NLA has no way to change it within the login.",
        'Change the password elsewhere first, or clear "User must change password at next logon".',
    ),
    "STATUS_DOMAIN_CONTROLLER_NOT_FOUND": (
        "No domain controller for the domain could be found.",
        "DNS has no SRV records for it that the host can see, or the site's controllers are down.",
        "Check _ldap._tcp.dc._msdcs of the domain in the host's DNS.",
    ),
    "STATUS_ACCOUNT_LOCKED_OUT": (
        "The account is locked.",
        "Too many wrong passwords, often from a saved old one on another machine.",
        "Wait for the lockout to end or have it unlocked, and find the source in the controller's event 4740.",
    ),
    "STATUS_MUTUAL_AUTHENTICATION_FAILED": (
        "Client and server could not authenticate each other.",
        "The server could not prove its name: duplicate or missing SPN, or a wrong machine password.",
        "Check the SPN with 'setspn -Q' and the host's secure channel.",
    ),
    "STATUS_WRONG_CREDENTIAL_HANDLE": (
        "The logon was continued with other credentials than it began with.",
        "A client or gateway mixed up two logins on one context.",
        "Use one context per login; update the gateway if one is in between.",
    ),
    "STATUS_PKINIT_NAME_MISMATCH": (
        "The certificate names another user than the logon does.",
        "The card belongs to somebody else, or its UPN differs from the account's.",
        "Check the UPN in the certificate against userPrincipalName of the account.",
    ),
    "STATUS_SMARTCARD_LOGON_REQUIRED": (
        "The account must log on with a smart card; a password is not accepted.",
        'The account has "Smart card is required for interactive logon", or the host demands cards for everybody.',
        "Use the card, or an account that is meant for passwords.",
    ),
    "STATUS_PKINIT_FAILURE": (
        "The Kerberos logon with a certificate failed.",
        "The KDC has no suitable certificate, or does not accept the client's one.",
        "Check the domain controllers' certificates (KDC Authentication usage) and the NTAuth store.",
    ),
    "STATUS_SMARTCARD_SUBSYSTEM_FAILURE": (
        "The smart card subsystem failed.",
        "The Smart Card service is not running, or the redirected reader is not visible in the session.",
        "Start the Smart Card service on both ends and check smart card redirection of the RDP client.",
    ),
    "STATUS_BAD_BINDINGS": (
        "The client's channel bindings differ from those of the server's TLS channel.",
        "A gateway or inspecting proxy terminates TLS between, or the client hashes another certificate.",
        "Remove the interception, or compare the certificate the client sees with the server's.",
    ),
    "STATUS_SMARTCARD_WRONG_PIN": (
        "The PIN of the smart card is wrong.",
        "A typing error or the PIN of another card.",
        "Enter it again with care: the card locks after a few wrong tries.",
    ),
    "STATUS_SMARTCARD_CARD_BLOCKED": (
        "The smart card is blocked.",
        "Too many wrong PINs.",
        "Unblock it with the PUK or at the card's issuer.",
    ),
    "STATUS_SMARTCARD_CARD_NOT_AUTHENTICATED": (
        "No PIN was presented to the card.",
        "The PIN was left out of the delegated credentials or the card was reset meanwhile.",
        "Give the PIN and log on again.",
    ),
    "STATUS_SMARTCARD_NO_CARD": (
        "There is no smart card in the reader.",
        "The card was taken out, or the wrong reader is named in the credentials.",
        "Insert the card and check the reader name (TSCspDataDetail.readerName).",
    ),
    "STATUS_SMARTCARD_NO_KEY_CONTAINER": (
        "The key container is not on the card.",
        "The container name in the credentials is wrong, or the key was deleted.",
        "List the containers with 'certutil -scinfo' and use the right name (TSCspDataDetail.containerName).",
    ),
    "STATUS_SMARTCARD_NO_CERTIFICATE": (
        "The card holds no certificate for the key.",
        "The key was made but no certificate was enrolled, or it was removed.",
        "Enrol a smart card logon certificate onto the card.",
    ),
    "STATUS_SMARTCARD_NO_KEYSET": (
        "The card holds no key set for logon.",
        "A new or wiped card, or a provider that does not know this card type.",
        "Initialise the card, and check that its minidriver is installed on the host.",
    ),
    "STATUS_SMARTCARD_IO_ERROR": (
        "Talking to the smart card failed.",
        "A loose or dirty card, a faulty reader, or a redirection that dropped out.",
        "Reinsert the card, try another reader or port, then log on again.",
    ),
    "STATUS_DOWNGRADE_DETECTED": (
        "The host suspects an attempt to weaken the authentication.",
        "The Kerberos path failed in a way an attacker could cause: controllers unreachable, SPN or time wrong.",
        "Check the host's connection to a controller, the SPN and the clock; log on by full host name.",
    ),
    "STATUS_SMARTCARD_CERT_REVOKED": (
        "The certificate on the smart card was withdrawn by its issuer.",
        "The card was replaced or reported lost.",
        "Use the newer card or have a new certificate issued.",
    ),
    "STATUS_ISSUING_CA_UNTRUSTED": (
        "The domain does not trust the authority that issued the smart card's certificate.",
        "The issuing authority is not in NTAuth, or its root is missing on the controllers.",
        "Add the authority to the NTAuth store and the root to the controllers' trusted roots.",
    ),
    "STATUS_REVOCATION_OFFLINE_C": (
        "The controller could not find out whether the smart card's certificate is revoked.",
        "The revocation list is out of date or its address can't be reached.",
        "Publish a fresh list and test it with 'certutil -url' on a controller.",
    ),
    "STATUS_PKINIT_CLIENT_FAILURE": (
        "The controller could not validate the client's certificate.",
        "The chain is incomplete, or the certificate lacks Smart Card Logon or Client Authentication.",
        "Check the chain and the usages with 'certutil -verify' on a controller.",
    ),
    "STATUS_SMARTCARD_CERT_EXPIRED": (
        "The certificate on the smart card is past its last day of validity.",
        "It was not renewed in time.",
        "Renew it, with a password logon or at the issuing desk.",
    ),
    "STATUS_SMARTCARD_SILENT_CONTEXT": (
        "The card wanted to ask for a PIN but was not allowed to show a dialogue.",
        "The provider was used in silent mode, without the PIN in the credentials.",
        "Put the PIN into the delegated credentials, or log on at the screen.",
    ),
    "STATUS_NO_S4U_PROT_SUPPORT": (
        "The controller doesn't support the service-for-user extension that the host wanted.",
        "The realm's KDC is not Windows or too old.",
        "Give the service credentials of its own instead of protocol transition.",
    ),
    "STATUS_KDC_CERT_EXPIRED": (
        "The domain controller's certificate is past its last day of validity.",
        "Automatic enrolment on the controller is not working.",
        "Renew the controller's certificate; use a password meanwhile.",
    ),
    "STATUS_KDC_CERT_REVOKED": (
        "The domain controller's certificate was withdrawn by its issuer.",
        "The controller kept a certificate that its authority revoked.",
        "Issue the controller a new certificate and restart the KDC service.",
    ),
    "STATUS_AUTHENTICATION_FIREWALL_FAILED": (
        "The account may not authenticate to this host across the trust.",
        'Selective authentication is on, and the account lacks "Allowed to authenticate" on the computer object.',
        'Grant "Allowed to authenticate" on the host\'s computer object to the account or its group.',
    ),
    "STATUS_NTLM_BLOCKED": (
        "NTLM is blocked by policy.",
        (
            "Restrict NTLM policies, or a client setting that forbids NTLM; the login fell back to it, as an IP "
            "address does."
        ),
        ("Connect by the full DNS name with a registered SPN, so that Kerberos is used."),
    ),
    "STATUS_PKU2U_CERT_FAILURE": (
        "The certificate of a peer-to-peer (PKU2U) logon could not be validated.",
        "An online identity or device certificate that is missing, expired, or refused by the host.",
        (
            "Renew the sign-in of that identity on the client, check the PKU2U policy on the host, or use another "
            "account."
        ),
    ),
    "STATUS_CTX_LOGON_DISABLED": (
        "Logons to the Remote Desktop host are switched off.",
        "The host is in drain mode or an administrator disabled logons ('change logon /disable').",
        "Run 'change logon /enable' on the host, or connect to another one of the farm.",
    ),
}

PEERS: Final[dict[int, tuple[str, str, str, str]]] = {
    0xC00700EA: (
        "NTSTATUS_FROM_WIN32(ERROR_MORE_DATA)",
        "A server with FreeRDP's library refused the login, most likely because user name or password is wrong.",
        (
            "FreeRDP 3, and so GNOME Remote Desktop, answers a wrong password and an unknown user with this number; "
            "FreeRDP 2 answers SPNEGO with it, which it does not speak."
        ),
        (
            "Check user name, domain and password in the server's own settings: GNOME Remote Desktop has an account of "
            "its own. If they are right and it is FreeRDP 2, log on with --mechanism auto, not negotiate."
        ),
    ),
}

"""Numbers that RDP and WinRM users meet and that are neither NTSTATUS nor SECURITY_STATUS.

One table for each kind of number. An entry is (name, what it means, and either the name of the status that has the
same cause and the same next step, or these two as texts). Read by `credssp.status_search`; no other module imports it.

The numbers of FreeRDP were read from its libraries (2.11.7 and 3.10.3), those of mstsc from the reference of
IMsTscAxEvents::OnDisconnected, those of WinRM from wsmerror.h.
"""

from __future__ import annotations

from typing import Final

__all__ = ["TABLES", "Entry"]

Entry = tuple[str, str, str | tuple[str, str]]

_NOT_REACHED: Final = (
    "The name is wrong, the port is closed or filtered, or the service is not running.",
    "Run `credssp probe` on the target: it says whether the name resolves and the port answers.",
)
_TIMEOUT: Final = (
    "A firewall drops the packets, or the server is overloaded.",
    "Run `credssp probe` on the target; if it times out too, look at the firewalls on the way.",
)
_TLS: Final = (
    "The TLS handshake failed: no version or cipher suite in common, or the certificate was refused.",
    "Run `credssp probe` on the target: it shows the certificate and the TLS versions that the server takes.",
)
_SESSION: Final = (
    "The server ended the session after the login; CredSSP has nothing to do with it.",
    "Look at the session limits and the event log of the server.",
)
_LICENSE: Final = (
    "The licensing of the Remote Desktop Session Host failed, after the login.",
    "Check the licensing mode and the license server of the session host.",
)
_BROKER: Final = (
    "The Connection Broker could not bring the client to its session, after the login.",
    "Look at the collection and at the event log of the Connection Broker.",
)
_NO_REMOTE_LOGON: Final = (
    "The user was authenticated and may not log on remotely.",
    "Add the user to Remote Desktop Users on the server, and check the right to log on through Remote Desktop.",
)
_INTERNAL: Final = (
    "The client could not read or protect a message of the session.",
    "Compare the versions of both sides; `credssp probe` shows what the server offers.",
)
_TRUSTED_HOSTS: Final = (
    "Outside a domain, or with an IP address, the WinRM client demands HTTPS or an entry in TrustedHosts.",
    "Use HTTPS, or a name that Kerberos knows; TrustedHosts gives up the proof of who the server is.",
)
_CREDSSP_CLIENT: Final = (
    "CredSSP must be enabled on the client, and the policy must name the server, before credentials are delegated.",
    "On the client: Enable-WSManCredSSP -Role Client -DelegateComputer SERVER; `credssp policy` explains the lists.",
)

_WIN32: Final[dict[int, Entry]] = {
    # Those that stand for a logon status are in `credssp.status`.
    53: ("ERROR_BAD_NETPATH", "The network path was not found.", _NOT_REACHED),
    121: ("ERROR_SEM_TIMEOUT", "The semaphore timeout period has expired.", _TIMEOUT),
    995: (
        "ERROR_OPERATION_ABORTED",
        "The operation was aborted.",
        ("The caller gave up, or the connection was closed.", "Look for the error before it."),
    ),
    1115: ("ERROR_SHUTDOWN_IN_PROGRESS", "The server is shutting down.", "SEC_E_SHUTDOWN_IN_PROGRESS"),
    1219: (
        "ERROR_SESSION_CREDENTIAL_CONFLICT",
        "There is a connection to this server with other credentials.",
        (
            "Windows allows one set of credentials for each server name.",
            "Close the other connection (net use), or use another name of the server.",
        ),
    ),
    1380: ("ERROR_LOGON_NOT_GRANTED", "The user has no right to log on.", "STATUS_LOGON_NOT_GRANTED"),
    1396: ("ERROR_WRONG_TARGET_NAME", "The target account name is wrong.", "SEC_E_WRONG_PRINCIPAL"),
    1398: ("ERROR_TIME_SKEW", "The clocks of client and server differ.", "SEC_E_TIME_SKEW"),
    1722: ("RPC_S_SERVER_UNAVAILABLE", "The RPC server is unavailable.", _NOT_REACHED),
    1787: ("ERROR_NO_TRUST_SAM_ACCOUNT", "The domain has no account for this computer.", "STATUS_NO_TRUST_SAM_ACCOUNT"),
    1788: ("ERROR_TRUSTED_DOMAIN_FAILURE", "The trust to the other domain failed.", "STATUS_TRUSTED_DOMAIN_FAILURE"),
    1789: (
        "ERROR_TRUSTED_RELATIONSHIP_FAILURE",
        "The trust between this computer and its domain failed.",
        "STATUS_TRUSTED_RELATIONSHIP_FAILURE",
    ),
    10054: (
        "WSAECONNRESET",
        "The peer reset the connection.",
        (
            "The server closed without an answer; some do so after a refused login.",
            "Read the server's event log at this time.",
        ),
    ),
    10060: ("WSAETIMEDOUT", "The connection attempt timed out.", _TIMEOUT),
    10061: ("WSAECONNREFUSED", "The connection was refused: no program listens on this port.", _NOT_REACHED),
    12002: ("ERROR_WINHTTP_TIMEOUT", "The HTTP request timed out.", _TIMEOUT),
    12007: ("ERROR_WINHTTP_NAME_NOT_RESOLVED", "The name of the server cannot be resolved.", _NOT_REACHED),
    12029: ("ERROR_WINHTTP_CANNOT_CONNECT", "The HTTP connection cannot be made.", _NOT_REACHED),
    12175: ("ERROR_WINHTTP_SECURE_FAILURE", "TLS failed.", _TLS),
}

_WSMAN: Final[dict[int, Entry]] = {
    0x80338012: (
        "ERROR_WSMAN_DESTINATION_UNREACHABLE",
        "The client cannot connect to the destination: the WinRM service does not answer there.",
        _NOT_REACHED,
    ),
    0x80338029: ("ERROR_WSMAN_OPERATION_TIMEDOUT", "The operation took longer than OperationTimeout allows.", _TIMEOUT),
    0x803380B2: (
        "ERROR_WSMAN_CLIENT_CREDENTIALS_NEEDED",
        "This way of authentication needs a user name and a password.",
        ("None were given.", "Give credentials explicitly."),
    ),
    0x803380E2: (
        "ERROR_WSMAN_CLIENT_KERBEROS_DISABLED",
        "Kerberos is disabled in the configuration of the WinRM client.",
        ("winrm/config/client/auth has Kerberos false.", "Enable it, or ask for another authentication."),
    ),
    0x803380E4: (
        "ERROR_WSMAN_SERVER_NOT_TRUSTED",
        "The client does not trust this server: not in the domain, not reached by HTTPS, not in TrustedHosts.",
        _TRUSTED_HOSTS,
    ),
    0x803380E5: (
        "ERROR_WSMAN_EXPLICIT_CREDENTIALS_REQUIRED",
        "Default credentials with an IP address need HTTPS or TrustedHosts, and explicit credentials.",
        _TRUSTED_HOSTS,
    ),
    0x8033810C: (
        "ERROR_WSMAN_WORKGROUP_NO_KERBEROS",
        "Kerberos cannot be used in a workgroup.",
        ("Client or server is not in a domain.", "Use CredSSP or Negotiate over HTTPS."),
    ),
    0x8033810E: (
        "ERROR_WSMAN_INVALID_AUTHENTICATION",
        "The server does not offer the authentication that was asked for.",
        (
            "CredSSP is disabled on the server unless an administrator enabled it.",
            "On the server: Enable-WSManCredSSP -Role Server; `credssp probe` lists what the server offers.",
        ),
    ),
    0x80338112: (
        "ERROR_WSMAN_HTTP_SERVICE_UNAVAILABLE",
        "The server answered with HTTP status 503.",
        ("The WinRM service or its quota is exhausted, or a proxy answered.", "Read the server's WinRM event log."),
    ),
    0x80338113: (
        "ERROR_WSMAN_URL_NOT_AVAILABLE",
        "The server has nothing at this URL (HTTP status 404).",
        ("The path is not /wsman, or another web server has the port.", "Use the path /wsman, and check the port."),
    ),
    0x80338126: (
        "ERROR_WSMAN_CANNOT_COMPLETE",
        "The client cannot complete the operation in time: the name is wrong, or a firewall drops packets.",
        _TIMEOUT,
    ),
    0x80338170: (
        "ERROR_WSMAN_HTTP_SERVICE_ERROR",
        "The server answered with HTTP status 500.",
        ("The service failed while it handled the request.", "Read the server's WinRM event log."),
    ),
    0x80338171: (
        "ERROR_WSMAN_HTTP_BAD_REQUEST",
        "The server answered with HTTP status 400.",
        (
            "http.sys refused the request; too large Kerberos tokens are the usual reason.",
            "Reduce the user's groups, or raise MaxFieldLength and MaxRequestBytes on the server.",
        ),
    ),
    0x803381A1: (
        "ERROR_WSMAN_CREDSSP_USERNAME_PASSWORD_NEEDED",
        "CredSSP needs a user name and a password.",
        ("CredSSP has to delegate a password, and none was given.", "Give credentials explicitly."),
    ),
    0x803381A2: (
        "ERROR_WSMAN_CLIENT_CREDSSP_AUTHENTICATION_DISABLED",
        "CredSSP is disabled in the configuration of the WinRM client.",
        _CREDSSP_CLIENT,
    ),
    0x803381A3: (
        "ERROR_WSMAN_CLIENT_ALLOWFRESHCREDENTIALS",
        "The policy does not allow fresh credentials to be delegated to this server.",
        _CREDSSP_CLIENT,
    ),
    0x803381A4: (
        "ERROR_WSMAN_CLIENT_ALLOWFRESHCREDENTIALS_NTLMONLY",
        "The policy does not allow fresh credentials to be delegated to a server that only NTLM authenticated.",
        _CREDSSP_CLIENT,
    ),
    0x803381B9: ("ERROR_WSMAN_COMPUTER_NOT_FOUND", "The name of the server cannot be resolved.", _NOT_REACHED),
    0x803381BB: (
        "ERROR_WSMAN_DEFAULTAUTH_IPADDRESS",
        "Default authentication is not possible with an IP address.",
        _TRUSTED_HOSTS,
    ),
}

# The last byte is the group: 04 sockets, 06 security of the session, 07 TLS and CredSSP, 08 others.
_MSTSC: Final[dict[int, Entry]] = {
    0x1: ("disconnectReasonLocalNotError", "The client ended the session.", _SESSION),
    0x2: ("disconnectReasonRemoteByUser", "The user ended the session on the server.", _SESSION),
    0x3: ("disconnectReasonByServer", "The server ended the session.", _SESSION),
    0x104: ("disconnectReasonDNSLookupFailed", "The name of the server cannot be resolved.", _NOT_REACHED),
    0x108: ("disconnectReasonConnectionTimedOut", "The connection timed out.", _TIMEOUT),
    0x204: ("disconnectReasonSocketConnectFailed", "The TCP connection failed.", _NOT_REACHED),
    0x208: ("disconnectReasonHostNotFound", "The host was not found.", _NOT_REACHED),
    0x304: ("disconnectReasonWinsockSendFailed", "Sending failed: the connection is gone.", _TIMEOUT),
    0x404: ("disconnectReasonSocketRecvFailed", "Receiving failed: the connection is gone.", _TIMEOUT),
    0x406: ("disconnectReasonInvalidSecurityData", "Security data of the server are not valid.", _INTERNAL),
    0x506: ("disconnectReasonInvalidEncryption", "The encryption method is not valid.", _INTERNAL),
    0x507: (
        "no published name",
        "An authentication error before there was a session; the group 07 is TLS and CredSSP.",
        (
            "TLS or CredSSP ended without a status of the server; mstsc has no closer reason.",
            "Run `credssp login` with the same account: it shows in which leg the server gives up, and with what.",
        ),
    ),
    0x508: ("disconnectReasonDNSLookupFailed2", "The name of the server cannot be resolved.", _NOT_REACHED),
    0x604: ("disconnectReasonGetHostByNameFailed", "The name of the server cannot be resolved.", _NOT_REACHED),
    0x606: ("disconnectReasonInvalidServerSecurityInfo", "Security data of the server are not valid.", _INTERNAL),
    0x704: ("disconnectReasonTimeoutOccurred", "The connection timed out.", _TIMEOUT),
    0x706: ("disconnectReasonServerCertificateUnpackErr", "The certificate of the server cannot be read.", _TLS),
    0x804: ("disconnectReasonInvalidIP", "The IP address is not valid.", _NOT_REACHED),
    0x807: ("SSL_ERR_LOGON_FAILURE", "The login failed.", "STATUS_LOGON_FAILURE"),
    0x808: ("disconnectReasonLicensingFailed", "The licensing failed.", _LICENSE),
    0x904: (
        "disconnectReasonAtClientWinsockFDCLOSE",
        "The connection was closed while the session was made or running.",
        (
            "The server or something on the way closed: its RDP service restarted, its certificate is unusable, "
            "or a firewall ended the flow.",
            "Run `credssp probe` on the target: it shows how far a connection gets, and the certificate.",
        ),
    ),
    0x906: ("disconnectReasonInternalSecurityError", "An internal error of the security layer.", _INTERNAL),
    0x908: ("disconnectReasonLicensingTimeout", "The licensing timed out.", _LICENSE),
    0xA06: ("disconnectReasonInternalSecurityError2", "An internal error of the security layer.", _INTERNAL),
    0xA07: ("SSL_ERR_NO_SUCH_USER", "The server knows no such user.", "STATUS_NO_SUCH_USER"),
    0xB06: ("disconnectReasonEncryptionError", "Encrypting a message failed.", _INTERNAL),
    0xB07: ("SSL_ERR_ACCOUNT_DISABLED", "The account is disabled.", "STATUS_ACCOUNT_DISABLED"),
    0xB09: (
        "no published name",
        "The server demands Network Level Authentication, which this client does not support or has disabled.",
        (
            "enablecredsspsupport is 0 in the .rdp file, or the client is too old.",
            "Enable CredSSP in the client; `credssp probe` shows what the server demands.",
        ),
    ),
    0xC06: ("disconnectReasonDecryptionError", "Decrypting a message failed.", _INTERNAL),
    0xC07: ("SSL_ERR_ACCOUNT_RESTRICTION", "The account is restricted.", "STATUS_ACCOUNT_RESTRICTION"),
    0xC08: ("disconnectReasonClientDecompressionError", "A message cannot be decompressed.", _INTERNAL),
    0xD07: ("SSL_ERR_ACCOUNT_LOCKED_OUT", "The account is locked.", "STATUS_ACCOUNT_LOCKED_OUT"),
    0xE07: ("SSL_ERR_ACCOUNT_EXPIRED", "The account is expired.", "STATUS_ACCOUNT_EXPIRED"),
    0xF07: ("SSL_ERR_PASSWORD_EXPIRED", "The password is expired.", "STATUS_PASSWORD_EXPIRED"),
    0x1207: (
        "SSL_ERR_PASSWORD_MUST_CHANGE",
        "The password must be changed before the first login.",
        "STATUS_PASSWORD_MUST_CHANGE",
    ),
    0x1607: (
        "SSL_ERR_DELEGATION_POLICY",
        "The policy does not allow credentials to be delegated to this server.",
        "SEC_E_DELEGATION_POLICY",
    ),
    0x1707: (
        "SSL_ERR_POLICY_NTLM_ONLY",
        "The policy does not allow credentials to be delegated to a server that only NTLM authenticated.",
        "SEC_E_POLICY_NLTM_ONLY",
    ),
    0x1807: (
        "SSL_ERR_NO_AUTHENTICATING_AUTHORITY",
        "No domain controller could be reached to authenticate the user.",
        "SEC_E_NO_AUTHENTICATING_AUTHORITY",
    ),
    0x1B07: ("SSL_ERR_CERT_EXPIRED", "The certificate of the server is expired.", "SEC_E_CERT_EXPIRED"),
    0x1C07: ("SSL_ERR_SMARTCARD_WRONG_PIN", "The PIN of the smart card is wrong.", "STATUS_SMARTCARD_WRONG_PIN"),
    0x2107: (
        "SSL_ERR_FRESH_CRED_REQUIRED_BY_SERVER",
        "The server does not accept saved credentials.",
        (
            "A policy of the server demands a password that is typed for each connection.",
            "Type the password; in the policy: 'Always prompt for password upon connection'.",
        ),
    ),
    0x2207: ("SSL_ERR_SMARTCARD_CARD_BLOCKED", "The smart card is blocked.", "STATUS_SMARTCARD_CARD_BLOCKED"),
    0x2407: (
        "no published name",
        "The user may not sign in remotely: authenticated, and refused by the authorization of the server.",
        _NO_REMOTE_LOGON,
    ),
}

_FREERDP_ERROR: Final[dict[int, Entry]] = {
    0x20001: (
        "ERRCONNECT_PRE_CONNECT_FAILED",
        "The configuration of the client prevented the connection.",
        ("An option does not fit.", "Read the client's log from its beginning."),
    ),
    0x20002: ("ERRCONNECT_CONNECT_UNDEFINED", "The connection failed for an unknown reason.", _INTERNAL),
    0x20003: ("ERRCONNECT_POST_CONNECT_FAILED", "The client could not set up the session after the login.", _INTERNAL),
    0x20004: ("ERRCONNECT_DNS_ERROR", "The name of the server cannot be resolved.", _NOT_REACHED),
    0x20005: ("ERRCONNECT_DNS_NAME_NOT_FOUND", "The name of the server does not exist.", _NOT_REACHED),
    0x20006: ("ERRCONNECT_CONNECT_FAILED", "The TCP connection failed.", _NOT_REACHED),
    0x20007: ("ERRCONNECT_MCS_CONNECT_INITIAL_ERROR", "The server refused MCS Connect Initial.", _INTERNAL),
    0x20008: ("ERRCONNECT_TLS_CONNECT_FAILED", "The TLS handshake failed.", _TLS),
    0x20009: ("ERRCONNECT_AUTHENTICATION_FAILED", "The authentication failed.", "SEC_E_LOGON_DENIED"),
    0x2000A: ("ERRCONNECT_INSUFFICIENT_PRIVILEGES", "The user may not log on remotely.", _NO_REMOTE_LOGON),
    0x2000B: (
        "ERRCONNECT_CONNECT_CANCELLED",
        "The connection was cancelled.",
        (
            "The user refused the certificate or closed the dialog.",
            "Check the fingerprint of the server's certificate.",
        ),
    ),
    0x2000C: (
        "ERRCONNECT_SECURITY_NEGO_CONNECT_FAILED",
        "Client and server have no security protocol in common.",
        (
            "The server demands or refuses NLA, or the answer was not RDP.",
            "Run `credssp probe` on the target: it shows which protocols the server takes.",
        ),
    ),
    0x2000D: (
        "ERRCONNECT_CONNECT_TRANSPORT_FAILED",
        "The connection broke while the login ran.",
        (
            "FreeRDP 2 reports a refused login with HYBRID this way too: the server closes without a status.",
            "Run `credssp login` with the same account: it says in which leg the server closed.",
        ),
    ),
    0x2000E: ("ERRCONNECT_PASSWORD_EXPIRED", "The password is expired.", "STATUS_PASSWORD_EXPIRED"),
    0x2000F: ("ERRCONNECT_PASSWORD_CERTAINLY_EXPIRED", "The password is expired.", "STATUS_PASSWORD_EXPIRED"),
    0x20010: ("ERRCONNECT_CLIENT_REVOKED", "The KDC revoked the client's credentials.", "STATUS_ACCOUNT_DISABLED"),
    0x20011: ("ERRCONNECT_KDC_UNREACHABLE", "No KDC can be reached.", "SEC_E_NO_AUTHENTICATING_AUTHORITY"),
    0x20012: ("ERRCONNECT_ACCOUNT_DISABLED", "The account is disabled.", "STATUS_ACCOUNT_DISABLED"),
    0x20013: ("ERRCONNECT_PASSWORD_MUST_CHANGE", "The password must be changed.", "STATUS_PASSWORD_MUST_CHANGE"),
    0x20014: ("ERRCONNECT_LOGON_FAILURE", "The login failed.", "STATUS_LOGON_FAILURE"),
    0x20015: ("ERRCONNECT_WRONG_PASSWORD", "The password is wrong.", "STATUS_WRONG_PASSWORD"),
    0x20016: ("ERRCONNECT_ACCESS_DENIED", "Access was denied.", "STATUS_ACCESS_DENIED"),
    0x20017: ("ERRCONNECT_ACCOUNT_RESTRICTION", "The account is restricted.", "STATUS_ACCOUNT_RESTRICTION"),
    0x20018: ("ERRCONNECT_ACCOUNT_LOCKED_OUT", "The account is locked.", "STATUS_ACCOUNT_LOCKED_OUT"),
    0x20019: ("ERRCONNECT_ACCOUNT_EXPIRED", "The account is expired.", "STATUS_ACCOUNT_EXPIRED"),
    0x2001A: (
        "ERRCONNECT_LOGON_TYPE_NOT_GRANTED",
        "The user may not log on in this way.",
        "STATUS_LOGON_TYPE_NOT_GRANTED",
    ),
    0x2001B: (
        "ERRCONNECT_NO_OR_MISSING_CREDENTIALS",
        "Credentials are missing.",
        ("No user or password was given.", "Give /u, /d and /p, or answer the question."),
    ),
    0x2001C: ("ERRCONNECT_ACTIVATION_TIMEOUT", "The session was not activated in time.", _TIMEOUT),
}

_ERROR_INFO: Final[dict[int, Entry]] = {
    0x1: ("ERRINFO_RPC_INITIATED_DISCONNECT", "An administrator disconnected the session.", _SESSION),
    0x2: ("ERRINFO_RPC_INITIATED_LOGOFF", "An administrator logged the user off.", _SESSION),
    0x3: ("ERRINFO_IDLE_TIMEOUT", "The session was idle for too long.", _SESSION),
    0x4: ("ERRINFO_LOGON_TIMEOUT", "The session was active for too long.", _SESSION),
    0x5: ("ERRINFO_DISCONNECTED_BY_OTHER_CONNECTION", "Another connection took over the session.", _SESSION),
    0x6: ("ERRINFO_OUT_OF_MEMORY", "The server has no memory left.", _SESSION),
    0x7: ("ERRINFO_SERVER_DENIED_CONNECTION", "The server denied the connection.", _NO_REMOTE_LOGON),
    0x9: (
        "ERRINFO_SERVER_INSUFFICIENT_PRIVILEGES",
        "The user has no right to connect.",
        _NO_REMOTE_LOGON,
    ),
    0xA: (
        "ERRINFO_SERVER_FRESH_CREDENTIALS_REQUIRED",
        "The server does not accept saved credentials.",
        ("A policy of the server demands a password that is typed for each connection.", "Type the password."),
    ),
    0xB: ("ERRINFO_RPC_INITIATED_DISCONNECT_BY_USER", "The user disconnected the session.", _SESSION),
    0xC: ("ERRINFO_LOGOFF_BY_USER", "The user logged off.", _SESSION),
    0xF: (
        "ERRINFO_CLOSE_STACK_ON_DRIVER_NOT_READY",
        "The display driver did not start in time.",
        _SESSION,
    ),
    0x10: ("ERRINFO_SERVER_DWM_CRASH", "The window manager (DWM) of the session crashed.", _SESSION),
    0x11: ("ERRINFO_CLOSE_STACK_ON_DRIVER_FAILURE", "The display driver of the session could not start.", _SESSION),
    0x12: (
        "ERRINFO_CLOSE_STACK_ON_DRIVER_IFACE_FAILURE",
        "The display driver of the session started and could not be used.",
        _SESSION,
    ),
    0x17: ("ERRINFO_SERVER_WINLOGON_CRASH", "Winlogon crashed in the session.", _SESSION),
    0x18: ("ERRINFO_SERVER_CSRSS_CRASH", "CSRSS crashed in the session.", _SESSION),
    0x19: ("ERRINFO_SERVER_SHUTDOWN", "The server is shutting down.", _SESSION),
    0x1A: ("ERRINFO_SERVER_REBOOT", "The server is restarting.", _SESSION),
    0x100: ("ERRINFO_LICENSE_INTERNAL", "The licensing failed.", _LICENSE),
    0x101: ("ERRINFO_LICENSE_NO_LICENSE_SERVER", "No license server is available.", _LICENSE),
    0x102: ("ERRINFO_LICENSE_NO_LICENSE", "No license is available.", _LICENSE),
    0x103: ("ERRINFO_LICENSE_BAD_CLIENT_MSG", "A licensing message of the client is not valid.", _LICENSE),
    0x104: ("ERRINFO_LICENSE_HWID_DOESNT_MATCH_LICENSE", "The license of the client was changed.", _LICENSE),
    0x105: ("ERRINFO_LICENSE_BAD_CLIENT_LICENSE", "The license of the client is not valid.", _LICENSE),
    0x106: ("ERRINFO_LICENSE_CANT_FINISH_PROTOCOL", "The network ended the licensing.", _LICENSE),
    0x107: ("ERRINFO_LICENSE_CLIENT_ENDED_PROTOCOL", "The client ended the licensing.", _LICENSE),
    0x108: ("ERRINFO_LICENSE_BAD_CLIENT_ENCRYPTION", "A licensing message is not encrypted correctly.", _LICENSE),
    0x109: ("ERRINFO_LICENSE_CANT_UPGRADE_LICENSE", "The license of the client cannot be upgraded.", _LICENSE),
    0x10A: (
        "ERRINFO_LICENSE_NO_REMOTE_CONNECTIONS",
        "The server has no license for remote connections.",
        _LICENSE,
    ),
    0x400: ("ERRINFO_CB_DESTINATION_NOT_FOUND", "The broker did not find the target.", _BROKER),
    0x402: ("ERRINFO_CB_LOADING_DESTINATION", "The target is leaving the broker.", _BROKER),
    0x404: ("ERRINFO_CB_REDIRECTING_TO_DESTINATION", "The redirection to the target failed.", _BROKER),
    0x405: ("ERRINFO_CB_SESSION_ONLINE_VM_WAKE", "The target, a virtual machine, did not wake up.", _BROKER),
    0x406: ("ERRINFO_CB_SESSION_ONLINE_VM_BOOT", "The target, a virtual machine, did not start.", _BROKER),
    0x407: ("ERRINFO_CB_SESSION_ONLINE_VM_NO_DNS", "The target, a virtual machine, has no known address.", _BROKER),
    0x408: ("ERRINFO_CB_DESTINATION_POOL_NOT_FREE", "No target of the pool is free.", _BROKER),
    0x409: ("ERRINFO_CB_CONNECTION_CANCELLED", "The broker cancelled the connection.", _BROKER),
    0x410: ("ERRINFO_CB_CONNECTION_ERROR_INVALID_SETTINGS", "The routing token is not valid.", _BROKER),
    0x411: (
        "ERRINFO_CB_SESSION_ONLINE_VM_BOOT_TIMEOUT",
        "The target, a virtual machine, did not start in time.",
        _BROKER,
    ),
    0x412: ("ERRINFO_CB_SESSION_ONLINE_VM_SESSMON_FAILED", "The sessions of the target cannot be observed.", _BROKER),
    0x10C9: ("ERRINFO_UNKNOWN_DATA_PDU_TYPE", "The client sent a data PDU of an unknown type.", _INTERNAL),
    0x10CA: ("ERRINFO_UNKNOWN_PDU_TYPE", "The client sent a PDU of an unknown type.", _INTERNAL),
    0x10CB: ("ERRINFO_DATA_PDU_SEQUENCE", "The client sent a data PDU at the wrong time.", _INTERNAL),
    0x10CD: ("ERRINFO_CONTROL_PDU_SEQUENCE", "The client sent a control PDU at the wrong time.", _INTERNAL),
    0x10D3: ("ERRINFO_CONNECT_FAILED", "The session could not be connected.", _SESSION),
    0x10D4: ("ERRINFO_CONFIRM_ACTIVE_HAS_WRONG_SHAREID", "Confirm Active names another share.", _INTERNAL),
    0x10E7: ("ERRINFO_CAPABILITY_SET_TOO_SMALL", "A capability set of the client is too small.", _INTERNAL),
    0x10E8: ("ERRINFO_CAPABILITY_SET_TOO_LARGE", "A capability set of the client is too large.", _INTERNAL),
    0x10EA: ("ERRINFO_BAD_CAPABILITIES", "The capabilities of the client cannot be used.", _INTERNAL),
    0x10F3: ("ERRINFO_REMOTEAPP_NOT_ENABLED", "The server does not offer RemoteApp programs.", _SESSION),
    0x112D: ("ERRINFO_GRAPHICS_MODE_NOT_SUPPORTED", "The graphics mode is not supported.", _SESSION),
    0x112E: ("ERRINFO_GRAPHICS_SUBSYSTEM_RESET_FAILED", "The graphics of the session cannot be reset.", _SESSION),
    0x112F: ("ERRINFO_GRAPHICS_SUBSYSTEM_FAILED", "The graphics of the session failed.", _SESSION),
    0x1134: ("ERRINFO_VIRTUALDESKTOPTOOLARGE", "The desktop that the client asks for is too large.", _SESSION),
    0x1191: ("ERRINFO_UPDATE_SESSION_KEY_FAILED", "The session keys could not be updated.", _INTERNAL),
    0x1192: ("ERRINFO_DECRYPT_FAILED", "The server could not decrypt what the client sent.", _INTERNAL),
    0x1193: ("ERRINFO_ENCRYPT_FAILED", "The server could not encrypt.", _INTERNAL),
}

_CLIENT_ERROR: Final = "SEC_E_LOGON_DENIED"
_FREERDP_EXIT: Final[dict[int, Entry]] = {
    0: ("XF_EXIT_SUCCESS", "FreeRDP ended without an error.", ("Nothing went wrong.", "Nothing to do.")),
    1: ("XF_EXIT_DISCONNECT", "An administrator disconnected the session.", _SESSION),
    2: ("XF_EXIT_LOGOFF", "The user was logged off.", _SESSION),
    3: ("XF_EXIT_IDLE_TIMEOUT", "The session was idle for too long.", _SESSION),
    4: ("XF_EXIT_LOGON_TIMEOUT", "The session was active for too long.", _SESSION),
    5: ("XF_EXIT_CONN_REPLACED", "Another connection took over the session.", _SESSION),
    6: ("XF_EXIT_OUT_OF_MEMORY", "The server has no memory left.", _SESSION),
    7: ("XF_EXIT_CONN_DENIED", "The server denied the connection.", _NO_REMOTE_LOGON),
    8: (
        "XF_EXIT_CONN_DENIED_FIPS",
        "The server denied the connection because of FIPS.",
        ("The server demands FIPS 140 algorithms.", "Use TLS, or enable FIPS mode in the client."),
    ),
    9: ("XF_EXIT_USER_PRIVILEGES", "The user has no right to connect.", _NO_REMOTE_LOGON),
    10: (
        "XF_EXIT_FRESH_CREDENTIALS_REQUIRED",
        "The server does not accept saved credentials.",
        ("A policy of the server demands a password that is typed for each connection.", "Type the password."),
    ),
    11: ("XF_EXIT_DISCONNECT_BY_USER", "The user disconnected the session.", _SESSION),
    16: ("XF_EXIT_LICENSE_INTERNAL", "The licensing failed.", _LICENSE),
    17: ("XF_EXIT_LICENSE_NO_LICENSE_SERVER", "No license server is available.", _LICENSE),
    18: ("XF_EXIT_LICENSE_NO_LICENSE", "No license is available.", _LICENSE),
    19: ("XF_EXIT_LICENSE_BAD_CLIENT_MSG", "A licensing message of the client is not valid.", _LICENSE),
    20: ("XF_EXIT_LICENSE_HWID_DOESNT_MATCH", "The hardware ID does not match the license.", _LICENSE),
    21: ("XF_EXIT_LICENSE_BAD_CLIENT", "The license of the client is not valid.", _LICENSE),
    22: ("XF_EXIT_LICENSE_CANT_FINISH_PROTOCOL", "The licensing did not end.", _LICENSE),
    23: ("XF_EXIT_LICENSE_CLIENT_ENDED_PROTOCOL", "The client ended the licensing.", _LICENSE),
    24: ("XF_EXIT_LICENSE_BAD_CLIENT_ENCRYPTION", "A licensing message is not encrypted correctly.", _LICENSE),
    25: ("XF_EXIT_LICENSE_CANT_UPGRADE", "The license cannot be upgraded.", _LICENSE),
    26: ("XF_EXIT_LICENSE_NO_REMOTE_CONNECTIONS", "The server has no license for remote connections.", _LICENSE),
    32: ("XF_EXIT_RDP", "The server ended the session with another error.", _SESSION),
    128: (
        "XF_EXIT_PARSE_ARGUMENTS",
        "The command line cannot be read.",
        ("An option is wrong.", "Compare it with xfreerdp /help."),
    ),
    129: ("XF_EXIT_MEMORY", "The client has no memory left.", ("No memory.", "Free some and try again.")),
    130: ("XF_EXIT_PROTOCOL", "The server broke the protocol.", _INTERNAL),
    131: ("XF_EXIT_CONN_FAILED", "The connection failed.", _NOT_REACHED),
    132: ("XF_EXIT_AUTH_FAILURE", "The authentication failed.", _CLIENT_ERROR),
    133: ("XF_EXIT_NEGO_FAILURE", "Client and server have no security protocol in common.", _FREERDP_ERROR[0x2000C][2]),
    134: ("XF_EXIT_LOGON_FAILURE", "The login failed.", "STATUS_LOGON_FAILURE"),
    135: ("XF_EXIT_ACCOUNT_LOCKED_OUT", "The account is locked.", "STATUS_ACCOUNT_LOCKED_OUT"),
    136: ("XF_EXIT_PRE_CONNECT_FAILED", "The configuration of the client prevented the connection.", _INTERNAL),
    137: ("XF_EXIT_CONNECT_UNDEFINED", "The connection failed for an unknown reason.", _INTERNAL),
    138: ("XF_EXIT_POST_CONNECT_FAILED", "The client could not set up the session after the login.", _INTERNAL),
    139: ("XF_EXIT_DNS_ERROR", "The name of the server cannot be resolved.", _NOT_REACHED),
    140: ("XF_EXIT_DNS_NAME_NOT_FOUND", "The name of the server does not exist.", _NOT_REACHED),
    141: ("XF_EXIT_CONNECT_FAILED", "The TCP connection failed.", _NOT_REACHED),
    142: ("XF_EXIT_MCS_CONNECT_INITIAL_ERROR", "The server refused MCS Connect Initial.", _INTERNAL),
    143: ("XF_EXIT_TLS_CONNECT_FAILED", "The TLS handshake failed.", _TLS),
    144: ("XF_EXIT_INSUFFICIENT_PRIVILEGES", "The user may not log on remotely.", _NO_REMOTE_LOGON),
    145: ("XF_EXIT_CONNECT_CANCELLED", "The connection was cancelled.", _FREERDP_ERROR[0x2000B][2]),
    147: ("XF_EXIT_CONNECT_TRANSPORT_FAILED", "The connection broke while the login ran.", _FREERDP_ERROR[0x2000D][2]),
    148: ("XF_EXIT_CONNECT_PASSWORD_EXPIRED", "The password is expired.", "STATUS_PASSWORD_EXPIRED"),
    149: ("XF_EXIT_CONNECT_PASSWORD_MUST_CHANGE", "The password must be changed.", "STATUS_PASSWORD_MUST_CHANGE"),
    150: ("XF_EXIT_CONNECT_KDC_UNREACHABLE", "No KDC can be reached.", "SEC_E_NO_AUTHENTICATING_AUTHORITY"),
    151: ("XF_EXIT_CONNECT_ACCOUNT_DISABLED", "The account is disabled.", "STATUS_ACCOUNT_DISABLED"),
    152: ("XF_EXIT_CONNECT_PASSWORD_CERTAINLY_EXPIRED", "The password is expired.", "STATUS_PASSWORD_EXPIRED"),
    153: ("XF_EXIT_CONNECT_CLIENT_REVOKED", "The KDC revoked the client's credentials.", "STATUS_ACCOUNT_DISABLED"),
    154: ("XF_EXIT_CONNECT_WRONG_PASSWORD", "The password is wrong.", "STATUS_WRONG_PASSWORD"),
    155: ("XF_EXIT_CONNECT_ACCESS_DENIED", "Access was denied.", "STATUS_ACCESS_DENIED"),
    156: ("XF_EXIT_CONNECT_ACCOUNT_RESTRICTION", "The account is restricted.", "STATUS_ACCOUNT_RESTRICTION"),
    157: ("XF_EXIT_CONNECT_ACCOUNT_EXPIRED", "The account is expired.", "STATUS_ACCOUNT_EXPIRED"),
    158: (
        "XF_EXIT_CONNECT_LOGON_TYPE_NOT_GRANTED",
        "The user may not log on in this way.",
        "STATUS_LOGON_TYPE_NOT_GRANTED",
    ),
    159: (
        "XF_EXIT_CONNECT_NO_OR_MISSING_CREDENTIALS",
        "Credentials are missing.",
        _FREERDP_ERROR[0x2001B][2],
    ),
    255: ("XF_EXIT_UNKNOWN", "FreeRDP ended with an unknown error.", _INTERNAL),
}

_NEGOTIATION: Final[dict[int, Entry]] = {
    1: (
        "SSL_REQUIRED_BY_SERVER",
        "The server demands TLS.",
        ("The client asked for standard RDP security only, or the server has no CredSSP.", "Offer TLS in the client."),
    ),
    2: (
        "SSL_NOT_ALLOWED_BY_SERVER",
        "The server takes standard RDP security only.",
        (
            "The security layer of the server is set to RDP.",
            "Set the security layer of the server to Negotiate or SSL; CredSSP needs TLS.",
        ),
    ),
    3: (
        "SSL_CERT_NOT_ON_SERVER",
        "The server has no usable certificate.",
        (
            "The certificate is missing, or the service may not read its private key.",
            "Repair the certificate of the RDP listener.",
        ),
    ),
    4: (
        "INCONSISTENT_FLAGS",
        "What was asked for does not fit a connection that began with TLS.",
        ("The client began with TLS and asked for another protocol in it.", "Use the negotiated approach."),
    ),
    5: (
        "HYBRID_REQUIRED_BY_SERVER",
        "The server demands CredSSP (Network Level Authentication).",
        ("The client offered TLS or standard RDP security only.", "Enable NLA in the client (HYBRID or HYBRID_EX)."),
    ),
    6: (
        "SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER",
        "The server demands TLS with a client certificate.",
        ("The server is set up for certificates of users.", "Give the client a certificate."),
    ),
    7: (
        "ENTRA_AUTH_REQUIRED_BY_SERVER",
        "The server demands Microsoft Entra authentication (RDSAAD).",
        ("The server is joined to Entra ID and does not take CredSSP.", "Use a client with RDSAAD."),
    ),
}

_AUTHORIZATION: Final[dict[int, Entry]] = {
    0: (
        "AUTHZ_SUCCESS",
        "The user may log on (HYBRID_EX).",
        ("The server checked the rights of the user.", "Nothing to do."),
    ),
    5: (
        "AUTHZ_ACCESS_DENIED",
        "The user was authenticated and may not log on to this server (HYBRID_EX).",
        _NO_REMOTE_LOGON,
    ),
}

# As in events 4624, 4625 and 4771 of the Security log.
_AUDIT: Final[dict[int, Entry]] = {
    2304: ("%%2304", "An error occurred during logon.", "STATUS_LOGON_FAILURE"),
    2305: ("%%2305", "The user account has expired.", "STATUS_ACCOUNT_EXPIRED"),
    2306: ("%%2306", "The Netlogon service is not active.", "STATUS_NETLOGON_NOT_STARTED"),
    2307: ("%%2307", "The account is locked out.", "STATUS_ACCOUNT_LOCKED_OUT"),
    2308: ("%%2308", "The user may not log on in this way.", "STATUS_LOGON_TYPE_NOT_GRANTED"),
    2309: ("%%2309", "The password of the account has expired.", "STATUS_PASSWORD_EXPIRED"),
    2310: ("%%2310", "The account is disabled.", "STATUS_ACCOUNT_DISABLED"),
    2311: ("%%2311", "The user may not log on at this time.", "STATUS_INVALID_LOGON_HOURS"),
    2312: ("%%2312", "The user may not log on at this computer.", "STATUS_INVALID_WORKSTATION"),
    2313: ("%%2313", "The user name is unknown or the password is wrong.", "STATUS_LOGON_FAILURE"),
}

TABLES: Final[dict[str, dict[int, Entry]]] = {
    "Win32 error": _WIN32,
    "WSMan error": _WSMAN,
    "RDP_NEG_FAILURE": _NEGOTIATION,
    "Early User Authorization Result": _AUTHORIZATION,
    "RDP error info": _ERROR_INFO,
    "mstsc disconnect reason": _MSTSC,
    "FreeRDP error": _FREERDP_ERROR,
    "FreeRDP exit code": _FREERDP_EXIT,
    "logon audit message": _AUDIT,
}
"""By kind, in the order in which matches are shown."""

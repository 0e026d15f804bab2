"""ThreeLeg: an example of a security package, and of how its two halves divide the work.

    client                                                          server
      1  flags, client nonce, user name                    ->
                                            <-  2  server nonce, HMAC(K, "server" ...)      "I know K"
      3  HMAC(K, "client" ...)                             ->       "so do I"
                                            <-  4  HMAC(S, "confirm")        only if USE_SESSION_KEY asks for it

K comes from the password, the session key S from K and both nonces. With ISC_REQ_USE_DCE_STYLE tokens 2 and 3 end with
a signature under S that the *user-mode* half makes: the leg returns SEC_I_COMPLETE_NEEDED or
SEC_I_COMPLETE_AND_CONTINUE, and the program calls CompleteAuthToken before it sends the token.

An example: it has no protection against guessing the password offline.
"""

from credssp_example_package.lsa_mode import ThreeLegPackage
from credssp_example_package.user_mode import ThreeLegMessages

INTERFACE_VERSION = 0x00010000


def sp_lsa_mode_initialize(lsa_version):
    """SpLsaModeInitialize: the version we were written for, and one table per package."""
    return INTERFACE_VERSION, (ThreeLegPackage().table(),)


def sp_user_mode_initialize(lsa_version):
    """SpUserModeInitialize."""
    return INTERFACE_VERSION, (ThreeLegMessages().table(),)

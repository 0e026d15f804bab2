"""The user-mode half: knows the session key and nothing else, and protects messages with it."""

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

import credssp.sspi as sspi
from credssp.sspi import SecpkgUserFunctionTable, SecurityStatus, SSPIError

TAG = 16
MAC = 32
SIZES = sspi.SecPkgContext_Sizes(max_token=512, max_signature=MAC, block_size=1, security_trailer=TAG)


class Session:
    """One side of a context: a key per direction and the numbers of the messages."""

    def __init__(self, packed):
        if len(packed) != 1 + MAC + 8 or packed[:1] not in (b"C", b"S"):
            raise SSPIError("no context of ThreeLeg", status=SecurityStatus.SEC_E_INVALID_TOKEN)
        self.role, self.key = packed[:1], packed[1 : 1 + MAC]
        self.sent = int.from_bytes(packed[-8:-4], "big")
        self.received = int.from_bytes(packed[-4:], "big")

    def pack(self, *, reset):
        numbers = (0, 0) if reset else (self.sent, self.received)
        return self.role + self.key + b"".join(number.to_bytes(4, "big") for number in numbers)

    def direction(self, sending):
        """Return key and nonce for the next message of a direction."""
        who = self.role if sending else (b"S" if self.role == b"C" else b"C")
        number = self.sent if sending else self.received
        return hmac.digest(self.key, who, "sha256"), number.to_bytes(12, "big")

    def count(self, sending):
        if sending:
            self.sent += 1
        else:
            self.received += 1


class ThreeLegMessages:
    def __init__(self):
        self.contexts = {}
        self.functions = None

    def table(self):
        return SecpkgUserFunctionTable(
            instance_init=self.instance_init,
            init_user_mode_context=self.init_user_mode_context,
            make_signature=self.make_signature,
            verify_signature=self.verify_signature,
            seal_message=self.seal_message,
            unseal_message=self.unseal_message,
            query_context_attributes=self.query_context_attributes,
            complete_auth_token=self.complete_auth_token,
            delete_user_mode_context=self.delete_user_mode_context,
            export_context=self.export_context,
            import_context=self.import_context,
        )

    def instance_init(self, version, functions):
        self.functions = functions

    def init_user_mode_context(self, context, packed):
        self.contexts[context] = Session(bytes(packed) + bytes(8))

    def delete_user_mode_context(self, context):
        self.contexts.pop(context, None)

    def make_signature(self, context, qop, buffers, sequence):
        token, data = pair(buffers)
        session = self.contexts[context]
        key, nonce = session.direction(sending=True)
        token.buffer[:MAC] = hmac.digest(key, nonce + data.data, "sha256")
        session.count(sending=True)

    def verify_signature(self, context, buffers, sequence):
        token, data = pair(buffers)
        session = self.contexts[context]
        key, nonce = session.direction(sending=False)
        if not hmac.compare_digest(token.data, hmac.digest(key, nonce + data.data, "sha256")):
            raise SSPIError("the signature does not match", status=SecurityStatus.SEC_E_MESSAGE_ALTERED)
        session.count(sending=False)
        return 0

    def seal_message(self, context, qop, buffers, sequence):
        token, data = pair(buffers)
        session = self.contexts[context]
        key, nonce = session.direction(sending=True)
        sealed = ChaCha20Poly1305(key).encrypt(nonce, data.data, None)
        data.buffer[: data.size], token.buffer[:TAG] = sealed[:-TAG], sealed[-TAG:]
        session.count(sending=True)
        return SecurityStatus.SEC_E_OK

    def unseal_message(self, context, buffers, sequence):
        token, data = pair(buffers)
        session = self.contexts[context]
        key, nonce = session.direction(sending=False)
        try:
            data.buffer[: data.size] = ChaCha20Poly1305(key).decrypt(nonce, data.data + token.data, None)
        except InvalidTag:
            raise SSPIError("the message was altered", status=SecurityStatus.SEC_E_MESSAGE_ALTERED) from None
        session.count(sending=False)
        return SecurityStatus.SEC_E_OK, 0

    def query_context_attributes(self, context, attribute):
        if attribute == sspi.SECPKG_ATTR_SIZES:
            return SIZES
        raise SSPIError("not known", status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION, parameter="ulAttribute")

    def complete_auth_token(self, context, buffers):
        """Sign a token of the exchange over the room that the LSA-mode half left at its end."""
        token = buffers[0]
        view = memoryview(token.buffer)[: token.size]
        view[-MAC:] = hmac.digest(self.contexts[context].key, b"complete" + bytes(view[:-MAC]), "sha256")

    def export_context(self, context, flags):
        return self.contexts[context].pack(reset=bool(flags & sspi.SECPKG_CONTEXT_EXPORT_RESET_NEW))

    def import_context(self, context, packed):
        self.contexts[context] = Session(bytes(packed))


def pair(buffers):
    kinds = {buffer.buffer_type: buffer for buffer in buffers}
    if set(kinds) != {sspi.SECBUFFER_TOKEN, sspi.SECBUFFER_DATA}:
        raise SSPIError("TOKEN and DATA", status=SecurityStatus.SEC_E_INVALID_TOKEN, parameter="pMessage")
    return kinds[sspi.SECBUFFER_TOKEN], kinds[sspi.SECBUFFER_DATA]

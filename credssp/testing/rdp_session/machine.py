"""A server's side of a whole RDP session, bytes in, bytes out ([MS-RDPBCGR] 1.3.1.1 to 1.3.1.4).

====================== ============================================ ====================================================
state                  the client sends                             the answer
====================== ============================================ ====================================================
EXPECT_CONNECT_INITIAL Connect Initial                              Connect Response
EXPECT_CLIENT_INFO     Erect Domain, Attach User, Channel Joins,    confirms; then the licence, and Demand Active or
                       Client Info (`SessionStart`)                 the end
EXPECT_CONFIRM_ACTIVE  Confirm Active                               Synchronize, Control (Cooperate)
EXPECT_FONT_LIST       Synchronize, Control (Cooperate)             none any more
..                     Control (Request Control)                    Control (Granted Control)
..                     Font List                                    Font Map, "logged on" if asked for; `draw`
ACTIVE                 Refresh Rect, Suppress Output (allow)        `draw`
..                     Shutdown Request                             Shutdown Request Denied, or the end
..                     input, channels, anything else               none
any but the first two  Disconnect Provider Ultimatum                none: the client left
====================== ============================================ ====================================================

A session is deactivated and activated again from ACTIVE to EXPECT_CONFIRM_ACTIVE (1.3.1.3). What a client still sends
of the old share meanwhile, such as input, is read and ignored. Synchronize and Cooperate need not wait for those of the
client (1.3.1.1), and aardwolf waits for them. Nothing waits here: the driver calls `draw` when a screen is due, and
`expire` when the session has lasted long enough.
"""

from __future__ import annotations

from typing import Final

from credssp.errors import RemoteProtocolError
from credssp.rdp.client_info import ClientInfo, InfoFlags
from credssp.rdp.error_info import ErrorInfo
from credssp.rdp.mcs import PROVIDER_INITIATED, USER_REQUESTED
from credssp.rdp.negotiation import Protocol
from credssp.rdp.session_pdus import ConnectInitial, DomainPDU, EarlyCapabilities, domain_pdu
from credssp.rdp.session_start import SessionStart, valid_client
from credssp.testing.rdp_session import share
from credssp.testing.rdp_session.capabilities import DEPTHS, ClientCapabilities, demand_active, read_confirm_active
from credssp.testing.rdp_session.frames import SessionFrames
from credssp.testing.rdp_session.modes import Desktop, Disconnect
from credssp.testing.rdp_session.report import SessionReport, SessionState
from credssp.testing.rdp_session.screen import LARGEST, SMALLEST, Screen
from credssp.testing.rdp_session.share import ControlAction, DataType, ShareMessage, ShareType

__all__ = ["SessionMachine"]

_SECTION: Final = "[MS-RDPBCGR] 1.3.1.1"
_ALLOW_DISPLAY_UPDATES: Final = 1  # of Suppress Output


class SessionMachine:
    """One session.

    Attributes:
        report: what was seen of it.
        screen_due: whether the client waits for the screen, which `draw` returns.
        ended: whether it is over: nothing is read or written any more.
    """

    def __init__(
        self,
        mode: Desktop | Disconnect,
        requested: Protocol,
        *,
        selected: Protocol | None = None,
        report: SessionReport | None = None,
    ) -> None:
        """Prepare.

        Args:
            mode: what the server does.
            requested: what the client requested in its Connection Request.
            selected: what was selected; None where it is not compared with what the client says.
            report: a new report to fill, if the caller keeps it.
        """
        self.report = SessionReport() if report is None else report
        self.ended = False
        self._mode = mode
        self._start: SessionStart | None = SessionStart(requested, selected=selected)
        self._frames = SessionFrames()
        self._reads_errors = False
        self._reactivations = mode.reactivations if isinstance(mode, Desktop) else 0
        self._client = ClientCapabilities()
        self._notify = False
        self.screen_due = False

    @property
    def active(self) -> bool:
        """Whether the client has its screen."""
        return self.report.state is SessionState.ACTIVE and not self.ended

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the client and return the answer; the screen is not part of it.

        Raises:
            RemoteProtocolError: the client sent something that has no place here, or that does not decode.
            LimitExceededError: a frame is longer than any that a client sends.
        """
        out: list[bytes] = []
        if self._start is not None:
            out.append(self._start.feed(data))
            self._note_start(self._start)
            info = self._start.info
            if info is None:
                return out[0]
            data, self._start = self._start.take_rest(), None
            out.append(self._licensed(info))
        if self.ended:
            return b"".join(out)
        self._frames.feed(data)
        while not self.ended and (frame := self._frames.next_frame()) is not None:
            self._answer(frame, out)
        return b"".join(out)

    def draw(self) -> bytes:
        """Return the screen if it is due: once, however often the client asked for it."""
        if not (self.screen_due and self.active):
            return b""
        self.screen_due = False
        out = list(self._screen().updates())
        self._reactivate(out)
        return b"".join(out)

    def expire(self) -> bytes:
        """End the session, and return what tells the client so and why."""
        mode = self._mode
        return b"" if self.ended else self._end(mode.error)

    # The beginning

    def _note_start(self, start: SessionStart) -> None:
        initial = start.initial
        if initial is None or self.report.state is not SessionState.EXPECT_CONNECT_INITIAL:
            return
        report = self.report
        report.state = SessionState.EXPECT_CLIENT_INFO
        report.client_name, report.client_build = initial.client_name, initial.client_build
        report.channels = initial.channels
        report.desktop = _desktop_of(initial)
        report.color_depth = initial.color_depth if initial.color_depth in DEPTHS else DEPTHS[0]
        self._reads_errors = EarlyCapabilities.SUPPORT_ERRINFO_PDU in initial.early_capabilities

    def _licensed(self, info: ClientInfo) -> bytes:
        report = self.report
        report.username, report.domain = info.username, info.domain
        report.sent_password = bool(info.password.reveal())
        self._notify = bool(info.flags & InfoFlags.INFO_LOGONNOTIFY)
        if isinstance(self._mode, Disconnect):
            return valid_client() + self._end(self._mode.error)
        report.state = SessionState.EXPECT_CONFIRM_ACTIVE
        return valid_client() + demand_active(report.desktop, report.color_depth)

    def _end(self, error: int) -> bytes:
        self.ended = True
        self.report.ended_by = "server"
        # The reason of a user who logs off is in this PDU too: 1.3.1.4.2.
        goodbye = USER_REQUESTED if error == ErrorInfo.ERRINFO_LOGOFF_BY_USER else PROVIDER_INITIATED
        if error == ErrorInfo.ERRINFO_NONE or not self._reads_errors:
            return goodbye
        self.report.error_info = int(error)
        return share.set_error_info(error) + goodbye

    # The share

    def _answer(self, frame: bytes, out: list[bytes]) -> None:
        pdu = domain_pdu(frame)
        if pdu is DomainPDU.DISCONNECT_PROVIDER_ULTIMATUM:
            self.ended = True
            self.report.ended_by = "client"
            return
        if pdu is not DomainPDU.SEND_DATA_REQUEST:
            raise RemoteProtocolError(f"the client sent {pdu.name}, which is not due", section=_SECTION)
        for message in share.read_request(frame):
            if self.ended:
                return
            self._take(message, out)

    def _take(self, message: ShareMessage, out: list[bytes]) -> None:
        report = self.report
        if message.kind == ShareType.CONFIRM_ACTIVE:
            if report.state is not SessionState.EXPECT_CONFIRM_ACTIVE:
                raise RemoteProtocolError("the client sent Confirm Active, which is not due", section=_SECTION)
            self._client = read_confirm_active(message.body)
            report.color_depth = self._client.depth or report.color_depth
            report.state = SessionState.EXPECT_FONT_LIST
            out += [share.synchronize(), share.control(ControlAction.COOPERATE)]
        elif message.kind != ShareType.DATA:
            raise RemoteProtocolError(f"the client sent a PDU of type {message.kind}", section=_SECTION)
        elif report.state is SessionState.EXPECT_FONT_LIST:
            self._finalize(message, out)
        elif report.state is SessionState.ACTIVE:
            self._serve(message, out)

    def _finalize(self, message: ShareMessage, out: list[bytes]) -> None:
        """Answer the PDUs of connection finalization (1.3.1.1 phase 10); others have no answer."""
        if message.data_kind == DataType.CONTROL:
            if message.body.number(2, "action") == ControlAction.REQUEST_CONTROL:
                out.append(share.control(ControlAction.GRANTED_CONTROL))
        elif message.data_kind == DataType.FONT_LIST:
            out.append(share.font_map())
            if self._notify and not self.report.activations:
                out.append(share.logged_on())
            self.report.state = SessionState.ACTIVE
            self.report.activations += 1
            self.screen_due = True

    def _serve(self, message: ShareMessage, out: list[bytes]) -> None:
        if message.data_kind == DataType.REFRESH_RECT:
            self.screen_due = True
        elif message.data_kind == DataType.SUPPRESS_OUTPUT:
            self.screen_due |= message.body.number(1, "allowDisplayUpdates") == _ALLOW_DISPLAY_UPDATES
        elif message.data_kind == DataType.SHUTDOWN_REQUEST:
            deny = isinstance(self._mode, Desktop) and self._mode.shutdown == "deny"
            out.append(share.shutdown_denied() if deny else self._end(ErrorInfo.ERRINFO_LOGOFF_BY_USER))

    def _screen(self) -> Screen:
        report, client = self.report, self._client
        color = self._mode.color if isinstance(self._mode, Desktop) else 0
        return Screen(report.desktop, report.color_depth, color, client.fast_path, client.bare_bitmaps)

    def _reactivate(self, out: list[bytes]) -> None:
        if self._reactivations:
            self._reactivations -= 1
            self.report.state = SessionState.EXPECT_CONFIRM_ACTIVE
            out += [share.deactivate_all(), demand_active(self.report.desktop, self.report.color_depth)]


def _desktop_of(initial: ConnectInitial) -> tuple[int, int]:
    """Return the size that the client asks for, within the bounds of this server."""
    width, height = (
        max(least, min(most, asked)) for asked, least, most in zip(initial.desktop, SMALLEST, LARGEST, strict=True)
    )
    return width, height

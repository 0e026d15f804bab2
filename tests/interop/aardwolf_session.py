"""An RDP session with aardwolf: ``python aardwolf_session.py HOST PORT DOMAIN USER PASSWORD``.

Prints the colours on its screen and how many pixels have each, and exits with 0; or the error, and exits with 1.
"""

from __future__ import annotations

import asyncio
import json
import sys
from urllib.parse import quote

from aardwolf.commons.factory import RDPConnectionFactory
from aardwolf.commons.iosettings import RDPIOSettings
from aardwolf.commons.queuedata.constants import VIDEO_FORMAT


async def main(host: str, port: str, domain: str, user: str, password: str) -> int:
    account = f"{quote(domain)}\\{quote(user)}:{quote(password)}"
    settings = RDPIOSettings()
    factory = RDPConnectionFactory.from_url(f"rdp+ntlm-password://{account}@{host}:{port}", settings)
    connection = factory.get_connection(settings)
    try:
        _, error = await connection.connect()
        if error is not None:
            print(error)
            return 1
        pixels = settings.video_width * settings.video_height
        while True:
            await connection.ext_out_queue.get()
            shown = connection.get_desktop_buffer(VIDEO_FORMAT.PIL).convert("RGB").getcolors(maxcolors=pixels)
            if len(shown) == 1 and shown[0][1] != (0, 0, 0):
                break
    finally:
        await connection.terminate()
    print(json.dumps({f"{red:02x}{green:02x}{blue:02x}": count for count, (red, green, blue) in shown}))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(asyncio.wait_for(main(*sys.argv[1:6]), 60)))

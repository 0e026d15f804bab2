"""Pages in Chromium without a display: at three widths, light and dark, judged by axe-core."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.peers import require_npm_package, require_program

__all__ = ["WIDTHS", "browse", "look_at"]

AXE = "4.14.1"
WIDTHS = (375, 800, 1400)
"""A phone, half a screen, a screen."""

_WRAPPER = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>frames</title></head><body><script>
const page = PAGE, found = [];
async function look(width) {
  const frame = document.createElement('iframe');
  frame.style = `width: ${width}px; height: 2000px; border: 0`;
  frame.srcdoc = page;
  const loaded = new Promise(done => { frame.onload = done; });
  document.body.append(frame);
  await loaded;
  const inside = frame.contentWindow, root = frame.contentDocument.documentElement;
  const judged = await inside.axe.run(frame.contentDocument, {iframes: false});
  found.push({
    width: inside.innerWidth,
    overflow: root.scrollWidth - root.clientWidth,
    dark: inside.matchMedia('(prefers-color-scheme: dark)').matches,
    checked: judged.passes.length,
    violations: judged.violations.map(v => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map(n => n.html).join(' | ')}`),
  });
  frame.remove();
}
(async () => {
  try { for (const width of WIDTHS) await look(width); }
  catch (error) { found.push({error: String(error)}); }
  const result = document.createElement('pre');
  result.id = 'result';
  result.textContent = JSON.stringify(found);
  document.body.append(result);
})();
</script></body></html>"""


def browse(folder: Path, *arguments: str) -> str:
    """Run Chromium; returns what it prints."""
    command = [require_program("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
    command += ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout


def look_at(page: str, folder: Path, *, dark: bool) -> list[dict[str, Any]]:
    """Return what is seen at each of `WIDTHS`: width, overflow in pixels, violations that axe-core found.

    Args:
        page: HTML. It forbids scripts, so the copy that is looked at is one without its Content-Security-Policy.
        folder: where files can be written.
        dark: whether the user prefers dark colours.
    """
    axe = require_npm_package("axe-core", AXE) / "axe.min.js"
    open_page, count = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert count == 1, "the page does not forbid scripts"
    open_page = open_page.replace("</body>", f'<script src="{axe.as_uri()}"></script></body>')
    quoted = json.dumps(open_page).replace("</", "<\\/")
    wrapper = folder / f"frames-{'dark' if dark else 'light'}.html"
    wrapper.write_text(_WRAPPER.replace("PAGE", quoted, 1).replace("WIDTHS", str(list(WIDTHS)), 1), encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    dumped = browse(folder, scheme, "--virtual-time-budget=60000", "--dump-dom", wrapper.as_uri())
    (result,) = re.findall(r'<pre id="result">(.*?)</pre>', dumped, re.DOTALL)
    found: list[dict[str, Any]] = json.loads(html.unescape(result))
    assert [each.get("error") for each in found] == [None] * len(WIDTHS), found
    return found

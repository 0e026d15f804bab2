"""What ``import credssp`` may load later: everything but tools and tests, which a program that needs them imports."""

from PyInstaller.utils.hooks import collect_submodules  # type: ignore[import-untyped, import-not-found, unused-ignore]

_TOOLS = (
    "cli",
    "conformance",
    "dissect",
    "exchange",
    "fleet",
    "pages",
    "schemas",
    "testing",
    "pytest_plugin",
    "_pyinstaller",
)

hiddenimports = collect_submodules("credssp", filter=lambda name: [*name.split("."), ""][1] not in _TOOLS)

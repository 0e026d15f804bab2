"""What the command line may load later: sub-commands, and all that they work with."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

hiddenimports = collect_submodules(
    "credssp", filter=lambda name: not name.startswith(("credssp.pytest_plugin", "credssp._pyinstaller"))
)
datas = collect_data_files("credssp")

"""The table of all settings in docs/configuration.md: `python -m coda.config.page [PAGE]` writes it anew.

Guarantee: the table is made from the settings themselves; a test compares it with the page.
"""

from __future__ import annotations

import sys
from pathlib import Path

from coda.config.settings import Setting, settings

BEGIN, END = "<!-- settings:begin -->\n", "<!-- settings:end -->\n"


def table() -> str:
    """Gives the table as Markdown."""
    rows = ["| setting | value | default | verbs | what it means |", "| --- | --- | --- | --- | --- |"]
    rows += [_row(setting) for setting in settings().values()]
    return "".join(f"{row}\n" for row in rows)


def _row(setting: Setting) -> str:
    name = f"`{setting.name}`" + ("" if setting.project else " ¹")
    value = setting.kind.metavar.replace("|", "\\|")
    verbs = ", ".join(setting.verbs) if len(setting.verbs) < 8 else "all that name a run"
    return f"| {name} | {value} | `{setting.show(setting.default)}` | {verbs} | {setting.words} |"


def renewed(text: str) -> str:
    """Gives the text of the page with the table of now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def main(arguments: list[str]) -> int:
    """Writes the table into a page, `docs/configuration.md` unless one is named."""
    page = Path(arguments[0] if arguments else "docs/configuration.md")
    page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

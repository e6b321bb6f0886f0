"""`coda doctor`: what recording and replaying can do on this machine, and how to get more."""

from __future__ import annotations

import sys

import click

from coda.cli.options import json_option
from coda.cli.render import Printer
from coda.replay import Health, examine

_ADVICE = {
    "mount": "user namespaces are refused: `sysctl user.max_user_namespaces`, and on some distributions "
    "`kernel.unprivileged_userns_clone` or `kernel.apparmor_restrict_unprivileged_userns`; in a container, a "
    "profile that allows unshare and mount",
    "landlock": "this kernel has no Landlock (5.13 and newer have it; `lsm=` on the kernel's command line "
    "must name it): recorded code could write into named pipes of others",
    "system-calls": "no filter of system calls: its numbers are known for x86_64 and aarch64, and the kernel "
    "must have seccomp",
    "devices": "no /dev of its own could be mounted: recorded code of root could open a disk",
}


@click.command(short_help="Tell what works on this machine, and how to get more.")
@json_option
def command(as_json: bool) -> int:
    """Tell what works on this machine, and how to get more.

    Records a block in a temporary folder and replays it. Exit status: 0 everything works and the kernel keeps
    replays in, 1 something is missing.
    """
    health = examine()
    printer = Printer()
    if as_json:
        printer.json("doctor", health)
    else:
        _print(printer, health)
    return 0 if health.is_well else 1


def _print(printer: Printer, health: Health) -> None:
    printer.line(f"coda {health.coda}, {health.implementation} {health.python}, {health.platform}")
    printer.line(f"recording   {health.recording or 'works'}")
    printer.line(f"replay      {health.replay or 'faithful'}")
    held = ", ".join(health.layers) or "nothing keeps a replay in: it needs --trust or a trace of your own"
    printer.line(f"isolation   {health.isolation}: {held}")
    for problem in health.problems:
        printer.line(f"  because   {problem}")
    for layer in health.missing if sys.platform.startswith("linux") else ():
        if layer in _ADVICE:
            printer.line(f"  {layer:<9} {_ADVICE[layer]}")
    if health.missing and not sys.platform.startswith("linux"):
        printer.line("  because   only Linux has the fences that coda knows")
    fixed = "the same in each worker"
    printer.line(
        f"addresses   {fixed if health.addresses_fixed else 'random: sets of objects may change order'}"
    )
    printer.line("children    their output and files are recorded; what they read themselves is not seen")

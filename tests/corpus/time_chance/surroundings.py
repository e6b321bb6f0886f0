import getpass
import locale
import os
import platform
import shutil
import socket
import sys

print(os.getpid(), os.getppid(), os.cpu_count(), os.getcwd(), os.getuid(), os.umask(0o22))
print(platform.platform(), platform.node(), socket.gethostname(), sys.executable, os.path.expanduser("~"))
print(os.environ.get("HOME"), os.getenv("LANG"), os.environ.get("NOT_SET", "fallback"), "PATH" in os.environ)
print(locale.getlocale(), shutil.which("sh"), shutil.get_terminal_size(), os.getloadavg())
os.environ["MADE_HERE"] = "yes"
print(os.environ["MADE_HERE"], len(os.environ) > 1, getpass.getuser())

import socket
import urllib.error
import urllib.request

with socket.socket() as closed:
    closed.bind(("127.0.0.1", 0))
    port = closed.getsockname()[1]
try:
    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2)
except urllib.error.URLError as error:
    print(type(error.reason).__name__, error.reason.errno)
try:
    socket.getaddrinfo("no-such-host.invalid", 80)
except socket.gaierror as error:
    print("unknown host", error.errno)

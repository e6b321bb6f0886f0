import socket
from urllib.parse import urlsplit

parts = urlsplit(open("url.txt").read())
with socket.create_connection((parts.hostname, parts.port), timeout=10) as sock:
    sock.sendall(b"GET /raw HTTP/1.0\r\n\r\n")
    received = b""
    while chunk := sock.recv(16):
        received += chunk
print(received.split(b"\r\n\r\n")[1], sock.fileno())

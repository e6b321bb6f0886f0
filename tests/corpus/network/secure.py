import http.client
import ssl
import urllib.request

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
base = open("safe_url.txt").read()
with urllib.request.urlopen(base + "/secret", context=context) as response:
    print(response.read())
connection = http.client.HTTPSConnection(base.split("//")[1], context=context)
connection.request("GET", "/again")
print(connection.getresponse().read(), connection.sock.version().startswith("TLS"))
connection.close()

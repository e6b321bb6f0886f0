import json
import urllib.error
import urllib.parse
import urllib.request

base = open("url.txt").read()
with urllib.request.urlopen(base + "/items?" + urllib.parse.urlencode({"q": "a b"})) as response:
    print(response.status, response.headers["Content-Length"], response.read())
request = urllib.request.Request(base + "/echo", data=json.dumps({"a": 1}).encode(), method="POST")
with urllib.request.urlopen(request) as response:
    print(response.read())
try:
    urllib.request.urlopen(base + "/missing")
except urllib.error.HTTPError as error:
    print(error.code, error.reason)

import requests

base = open("url.txt").read()
with requests.Session() as session:
    session.headers["X-Client"] = "corpus"
    for page in range(3):
        answer = session.get(f"{base}/page", params={"n": page}, timeout=10)
        print(answer.status_code, answer.text)
    print(session.post(base + "/echo", data=b"abc", timeout=10).content)
missing = requests.get(base + "/missing", timeout=10)
try:
    missing.raise_for_status()
except requests.HTTPError as error:
    print(str(error)[:3])

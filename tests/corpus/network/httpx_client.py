import httpx

base = open("url.txt").read()
with httpx.Client(base_url=base, timeout=10) as client:
    answers = [client.get(f"/n/{n}") for n in range(2)]
    print([answer.text for answer in answers])
    with client.stream("GET", "/big") as response:
        print(sum(len(chunk) for chunk in response.iter_bytes()) > 1_000_000)

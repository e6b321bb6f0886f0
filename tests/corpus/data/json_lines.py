import json

events = [{"id": n, "kind": "even" if n % 2 == 0 else "odd", "tags": ["a"] * n} for n in range(6)]
with open("events.jsonl", "w", encoding="utf-8") as out:
    for event in events:
        out.write(json.dumps(event, ensure_ascii=False) + "\n")

with open("events.jsonl", encoding="utf-8") as lines:
    parsed = [json.loads(line) for line in lines if line.strip()]
by_kind = {}
for event in parsed:
    by_kind.setdefault(event["kind"], []).append(event["id"])
print(json.dumps(by_kind, sort_keys=True, indent=2))
# %%
try:
    json.loads('{"broken": [1, 2')
except json.JSONDecodeError as error:
    print(f"line {error.lineno} column {error.colno}: {error.msg}")

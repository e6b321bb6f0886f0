class Ring:
    pass


made = 0
for number in range(3000):
    ring = Ring()
    ring.self = ring
    ring.data = [number] * 3
    made += 1
print(made)
lookup = {}
for number in range(500):
    lookup[f"key-{number}"] = {"n": number, "even": number % 2 == 0}
print(sum(entry["n"] for entry in lookup.values() if entry["even"]))

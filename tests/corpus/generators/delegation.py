def averager():
    total, count = 0.0, 0
    while (value := (yield)) is not None:
        total += value
        count += 1
    return total / count


def collect(results):
    while True:
        results.append((yield from averager()))


means = []
collector = collect(means)
next(collector)
for value in (1, 2, 3, None, 10, 20, None):
    collector.send(value)
collector.close()
print(means)


def nested(tree):
    for part in tree:
        if isinstance(part, list):
            yield from nested(part)
        else:
            yield part


print(list(nested([1, [2, [3, [4]], 5]])))

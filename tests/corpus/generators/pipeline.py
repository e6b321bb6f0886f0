import itertools


def read_lines(text):
    yield from text.splitlines()


def clean(lines):
    return (line.strip() for line in lines if line.strip())


def numbered(lines):
    for number, line in enumerate(lines, 1):
        yield f"{number}: {line}"


print(list(numbered(clean(read_lines(" one \n\n two\nthree ")))))


def primes():
    found = []
    for candidate in itertools.count(2):
        if all(candidate % prime for prime in itertools.takewhile(lambda p: p * p <= candidate, found)):
            found.append(candidate)
            yield candidate


print(list(itertools.islice(primes(), 12)))
pairs = zip(primes(), itertools.pairwise("abcd"), strict=False)
print(list(pairs))

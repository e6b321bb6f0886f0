from functools import partial, reduce, singledispatch


def make_counter(start=0):
    count = start

    def step(by=1):
        nonlocal count
        count += by
        return count

    return step


first, second = make_counter(), make_counter(10)
print(first(), first(), second(5), first.__closure__[0].cell_contents)
adders = [lambda x, n=n: x + n for n in range(3)]
late = [lambda: n for n in range(3)]
print([add(10) for add in adders], [each() for each in late])
print(reduce(lambda a, b: a * b, range(1, 6)), partial(int, base=2)("1011"))


@singledispatch
def describe(value):
    return f"something: {value!r}"


@describe.register
def _(value: int):
    return f"whole number {value}"


@describe.register(list)
def _(value):
    return f"list of {len(value)}"


print(describe(3), describe([1]), describe("x"))
# %%
print(first(), second(), make_counter.__code__.co_cellvars)

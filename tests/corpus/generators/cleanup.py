import contextlib


@contextlib.contextmanager
def managed(name):
    print("open", name)
    try:
        yield name.upper()
    except ValueError as error:
        print("handled", error)
    finally:
        print("close", name)


with contextlib.ExitStack() as stack:
    names = [stack.enter_context(managed(name)) for name in ("a", "b")]
    print(names)
    raise ValueError("inside")


def unfinished():
    try:
        yield 1
    finally:
        print("finalised")


half = unfinished()
next(half)
del half

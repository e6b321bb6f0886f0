class ConfigError(Exception):
    def __init__(self, key):
        super().__init__(f"bad key {key!r}")
        self.key = key


def load(key):
    try:
        return {"a": 1}[key]
    except KeyError as error:
        raise ConfigError(key) from error


try:
    load("b")
except ConfigError as error:
    print(error, error.key, repr(error.__cause__))
    error.add_note("while loading")
    kept = error
print(kept.__notes__)


def order():
    try:
        return "try"
    finally:
        print("finally")


print(order())
for attempt in range(3):
    try:
        if attempt == 1:
            continue
        assert attempt != 2, "two is not allowed"
    except AssertionError as error:
        print(error)
        break
    else:
        print("else", attempt)
